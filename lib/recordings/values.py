"""What an attribute's value says: its number and unit, blanks of spreadsheets, and one spelling for one value.

METHOD: v is numeric where every value of a parameter is a number with an optional unit, else the rank. One odd value
among a thousand changes v of all clips, so it is named with its file.
"""

import math
import re
from collections import Counter, defaultdict

from lib.recordings.names import composed

_UNIT = r"(?:[^\W\d_]|[%°²³/])*"
_NUMBER = re.compile(rf"([+-]?\d+(?:\.\d+)?(?:[eE][+-]\d+)?) ?({_UNIT})")
_COMMA = re.compile(rf"([+-]?\d+),(\d+)( ?{_UNIT})")
_THOUSANDS = re.compile(rf"[+-]?[1-9]\d{{0,2}},\d{{3}} ?{_UNIT}")  # 1,200 is one thing to some, another to others
_BEGINS = re.compile(r"[+-]?[.,]?\d")
_BLANK = re.compile(r"[\s\u200b\u2060\ufeff]+")
_ABSENT = re.compile(r"-+|–|—|\?+|n/a|n\.a\.?|nan|null|nil|#[\w/?!]+|\(?(blank|leer)\)?", re.IGNORECASE)
_UNSURE = re.compile(r"na|none|unknown|undefined|unbekannt|missing|tbd|k\.? ?a\.?", re.IGNORECASE)  # may be a value
_MONTH = r"(jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[^\W\d_]*\.?"
_DATE = re.compile(
    rf"\d{{1,4}}[.\-/ ]+{_MONTH}([.\-/ ]*\d{{2,4}})?|{_MONTH}[.\-/ ]+\d{{1,4}}"
    r"|\d{1,4}(?P<mark>[./-])\d{1,2}(?P=mark)\d{1,4}.*",
    re.IGNORECASE,
)


def number_of(text: str) -> tuple[float, str] | None:
    """Number and unit (in small letters) of a value; None where it is no number.

    >>> number_of("28V"), number_of("28 v"), number_of("0.11"), number_of("B1")
    ((28.0, 'v'), (28.0, 'v'), (0.11, ''), None)
    """
    match = _NUMBER.fullmatch(text)
    if not match or not math.isfinite(float(match[1])):
        return None
    return float(match[1]), match[2].lower()


def tidy(text: str) -> str:
    """A value without the quotes, blanks and decimal commas that spreadsheets add.

    >>> tidy(" 28\\u00a0V "), tidy("0,11"), tidy("half  load")
    ('28V', '0.11', 'half load')
    """
    text = _BLANK.sub(" ", composed(text)).strip(" \"'“”„’‘")
    text = re.sub(r"^[\u2212\ufe63\uff0d](?=\d)", "-", text)  # the minus signs of typesetters
    text = _COMMA.sub(r"\1.\2\3", text) if _COMMA.fullmatch(text) and not _THOUSANDS.fullmatch(text) else text
    return text.replace(" ", "") if _NUMBER.fullmatch(text) else text


def same_value(one: str, other: str) -> bool:
    """Whether two spellings are of one value; a number with and without its unit is.

    >>> same_value("28V", "28.0"), same_value("02", "2"), same_value("28V", "28A")
    (True, True, False)
    """
    one, other = tidy(one), tidy(other)
    if one == other:
        return True
    a, b = number_of(one), number_of(other)
    return bool(a and b) and a[0] == b[0] and (a[1] == b[1] or not (a[1] and b[1]))


def abbreviates(short: str, long: str) -> bool:
    """Whether `short` (spd) can be read in `long` (speed) from left to right, or the other way round.

    >>> abbreviates("spd", "speed"), abbreviates("speed", "spd"), abbreviates("vel", "volt")
    (True, True, False)
    """
    if len(short) > len(long):
        short, long = long, short
    letters = iter(long.lower())
    return short[:1].lower() == long[:1].lower() and all(letter in letters for letter in short.lower())


def settle(machine: str, clips: list[dict], problems: list[tuple]) -> None:
    """Give one key and one value one spelling over a machine's clips, and list what stays odd.

    The training clips decide: what a test clip is called changes no category and no v of theirs.

    Args:
        machine: its name. clips: rows of the index with `attributes` (a dictionary, changed in place), `path` and
            `split`. problems: entries (machine, file, problem, mend) are added.
    """
    _settle_keys(machine, clips, problems)
    for key in sorted({key for clip in clips for key in clip["attributes"]} - {"raw"}):
        having = [clip for clip in clips if key in clip["attributes"]]
        _drop_blanks(machine, key, having, problems)
        having = [clip for clip in having if key in clip["attributes"]]
        _settle_values(machine, key, having, problems)
        _list_odd(machine, key, [clip for clip in having if clip["split"] == "train"], problems)


def _settle_keys(machine, clips, problems):
    """`spd`, `Spd` and `SPD` are one key, unless one clip has two of them."""
    counts, groups = Counter(key for clip in clips for key in clip["attributes"]), defaultdict(set)
    for key in counts:
        groups[key.casefold()].add(key)
    for keys in groups.values():
        if len(keys) < 2 or any(len(keys & clip["attributes"].keys()) > 1 for clip in clips):
            continue
        kept = min(keys, key=lambda key: (-counts[key], key))
        other = [clip for clip in clips if keys & clip["attributes"].keys() - {kept}]
        said = f"one key in several spellings: {', '.join(sorted(keys))}; taken as {kept}"
        problems.append((machine, other[0]["path"], said, f"write {kept} everywhere"))
        for clip in other:
            clip["attributes"] = {(kept if k in keys else k): v for k, v in clip["attributes"].items()}


def _drop_blanks(machine, key, clips, problems):
    """n/a and the like are no value; words that may be one (none) only among numbers."""
    values = {clip["attributes"][key] for clip in clips}
    absent = {value for value in values if not value or _ABSENT.fullmatch(value)}
    unsure = {value for value in values - absent if _UNSURE.fullmatch(value)}
    decisive = {clip["attributes"][key] for clip in _training(clips)} - absent - unsure
    if decisive and all(number_of(tidy(value)) for value in decisive):
        absent |= unsure
    for value in sorted(absent):
        found = [clip for clip in clips if clip["attributes"].get(key) == value]
        said = f"no value: {key}={value!r} in {_count(found)}; taken as a clip without {key}"
        problems.append((machine, found[0]["path"], said, "give the value, or leave it out"))
        for clip in found:
            del clip["attributes"][key]


def _settle_values(machine, key, clips, problems):
    trained = Counter(clip["attributes"][key] for clip in _training(clips))
    counts = Counter(clip["attributes"][key] for clip in clips)
    numbers = {value: number_of(tidy(value)) for value in counts}
    units = {numbers[value][1] for value in trained if numbers[value]} - {""}
    if len(units) > 1 and all(numbers[value] for value in trained):
        said = f"several units: {key} in {', '.join(sorted(units))}; the numbers are taken as they are"
        problems.append((machine, clips[0]["path"], said, "write all values in one unit"))
    elif units and all(numbers[value] for value in trained):
        having = {numbers[value][0] for value in trained if numbers[value][1]}
        if bare := sorted(value for value in trained if not numbers[value][1] and numbers[value][0] not in having):
            other = next(clip for clip in clips if clip["attributes"][key] == bare[0])
            said = f"a unit missing: {key}={', '.join(bare)} without {units.pop()!r}; the numbers are taken as they are"
            problems.append((machine, other["path"], said, "write all values in one unit"))
    groups = defaultdict(list)
    for value, number in numbers.items():
        groups[number[: 2 if len(units) > 1 else 1] if number else tidy(value)].append(value)
    for spellings in groups.values():
        deciding, tidied = trained if any(trained[value] for value in spellings) else counts, Counter()
        for value in spellings:
            tidied[tidy(value)] += deciding[value]
        kept = min(tidied, key=lambda value: (-tidied[value], value[-1:].isdigit(), len(value), value))
        if len(tidied) > 1 or any("," in value and "," not in tidy(value) for value in spellings):
            other = next(clip for clip in clips if clip["attributes"][key] in set(spellings) - {kept})
            said = f"one value in several spellings: {key}={', '.join(sorted(spellings))}; taken as {kept}"
            problems.append((machine, other["path"], said, f"write {kept} everywhere"))
        for clip in clips:
            if clip["attributes"][key] in spellings:
                clip["attributes"][key] = kept


def _list_odd(machine, key, training, problems):
    """Values that are no number where most clips have or begin with one: they turn v of all clips into ranks."""
    odd = defaultdict(list)
    for clip in training:
        if not number_of(clip["attributes"][key]):
            odd[clip["attributes"][key]].append(clip)
    wrong = sum(map(len, odd.values()))
    meant = sum(len(found) for value, found in odd.items() if _BEGINS.match(value))  # 900 1/min
    most = 2 * wrong <= len(training)
    if not odd or 2 * (wrong - meant) > len(training):
        return
    for value, found in sorted(odd.items()):
        why = "where most are" if most else "though most begin as one"
        if _DATE.fullmatch(value):
            why = "a date, as spreadsheets make of numbers such as 3.4"
        elif _THOUSANDS.fullmatch(value):
            why = "a comma that may be of thousands or of decimals"
        said = f"no number: {key}={value!r} in {_count(found)}, {why}; v of {key} turns into ranks for all clips"
        problems.append((machine, found[0]["path"], said, "correct the value in the name or the attribute file"))


def _training(clips):
    """The training clips, where there are some."""
    return [clip for clip in clips if clip["split"] == "train"] or clips


def _count(clips):
    return "1 clip" if len(clips) == 1 else f"{len(clips)} clips"
