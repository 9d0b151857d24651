"""The names of clips: the challenge's grammar, and what browsers, file managers and sync tools do to a name.

A name in the grammar is `section_00_{source|target}_{train|test}_{normal|anomaly}_0000_<key>_<value>…`. Evaluation
clips (`section_00_0000`, in 2021 `section_03_source_test_0000`) and those of 2020 (`anomaly_id_02_00000000`) say less.
"""

import re
import unicodedata
from collections.abc import Container
from dataclasses import dataclass

AUDIO_SUFFIXES = (".wav", ".flac")

_LABELLED = re.compile(
    r"section_(?P<section>\d+)_(?P<domain>source|target)_(?P<split>train|test)_(?P<label>normal|anomaly)"
    r"_(?P<number>\d+)(?:_(?P<tail>.+))?"
)
_UNLABELLED = re.compile(r"section_(?P<section>\d+)(?:_(?P<domain>source|target)_(?P<split>test))?_(?P<number>\d+)")
_KEY = re.compile(r"[^\W\d_]+(-[^\W\d_]+)*")
_LABEL = re.compile(r"(normal|anomaly|anomalous|abnormal)(?![^\W\d_])(?:.*?id_(\d+))?", re.IGNORECASE)

_COPY = (
    "copy|kopie|copie|copia|cópia|kopia|kopya|kopi|kopio|kópia|kopija|kopiering|másolat|kopírovat|копия|копія|"
    "コピー|副本|复制|複製|복사본"
)
_MARKS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<mark>[\s\u200b\ufeff]+)$",
        r"^(?P<mark>[\s\u200b\ufeff]+)",
        r"(?P<mark>\.(wav|flac))$",  # x.wav.wav
        r"(?P<mark>\s*[(\[]\d+[)\]])$",  # browsers, Explorer
        r"(?P<mark>\s*\([^()]*(conflict|konflikt|conflit|conflict[oa]|conflit[oa])[^()]*\))$",  # Dropbox, Nextcloud
        r"(?P<mark>\.sync-conflict-[\w-]+)$",  # Syncthing
        rf"(?P<mark>(\s*[-–]\s*|\s+|の)({_COPY})(\s*\d+|\s*\(\d+\))?)$",  # Explorer, Finder
        rf"^(?P<mark>({_COPY})(\s*\(\d+\))?\s+(of|von|de|di|av|af|van)\s+)",  # Copy of x
        rf"(?P<mark>\s*\((another\s+|\d+(st|nd|rd|th)\s+)?({_COPY})(\s*\d+)?\))$",  # Nautilus
        r"(?P<mark>~\d*)$",  # backups
    )
)


@dataclass(frozen=True)
class ClipName:
    """What a file name says. `domain` and `label` are "" where it is silent."""

    section: str = ""
    domain: str = ""
    split: str = ""
    label: str = ""
    attributes: tuple[tuple[str, str], ...] = ()


def parse_attributes(tail: str | None) -> tuple[tuple[str, str], ...]:
    """Keys and values of a name's tail; one that is no list of them is kept as `raw`.

    A key is of letters and hyphens: in `weight00_BckgA` or `mic_pos_A` nothing says where a key ends.

    >>> parse_attributes("car_B1_spd_31V")
    (('car', 'B1'), ('spd', '31V'))
    >>> parse_attributes("weight00_BckgA"), parse_attributes("noAttribute")
    ((('raw', 'weight00_BckgA'),), ())
    """
    if not tail or tail == "noAttribute":
        return ()
    parts = tail.split("_")
    keys, values = parts[::2], parts[1::2]
    paired = len(keys) == len(values) == len(set(keys)) and all(values)
    if paired and all(_KEY.fullmatch(key) for key in keys):
        return tuple(zip(keys, values, strict=True))
    return (("raw", tail),)


def parse_name(stem: str) -> ClipName | None:
    """Read a file's stem by the challenge's grammar; None when it is outside it.

    >>> parse_name("section_00_target_test_anomaly_0007_m-n_X")
    ClipName(section='00', domain='target', split='test', label='anomaly', attributes=(('m-n', 'X'),))
    >>> parse_name("section_00_0007").label, parse_name("Monday morning")
    ('', None)
    """
    if match := _LABELLED.fullmatch(stem):
        found = match.groupdict()
        attributes = parse_attributes(found["tail"])
        return ClipName(found["section"], found["domain"], found["split"], found["label"], attributes)
    if match := _UNLABELLED.fullmatch(stem):
        return ClipName(match["section"], match["domain"] or "", match["split"] or "")
    return None


def format_name(domain: str, split: str, label: str, number: int, attributes: dict[str, str]) -> str:
    """The inverse of `parse_name` for a labelled clip of section 00.

    >>> format_name("source", "train", "normal", 3, {"vel": "300"})
    'section_00_source_train_normal_0003_vel_300'
    """
    tail = "".join(f"_{key}_{value}" for key, value in attributes.items())
    return f"section_00_{domain}_{split}_{label}_{number:04d}{tail}"


def label_of(name: str) -> tuple[str, str]:
    """Label and section of a name that begins with its label, as those of 2020 do; "" where it says nothing.

    >>> label_of("anomaly_id_02_00000000"), label_of("normal"), label_of("normality")
    (('anomaly', '02'), ('normal', ''), ('', ''))
    """
    match = _LABEL.match(name)
    if not match:
        return "", ""
    return "normal" if match[1].lower() == "normal" else "anomaly", match[2] or ""


def composed(text: str) -> str:
    """One spelling of letters with accents; macOS writes them in two characters, spreadsheets in one (NFC)."""
    return unicodedata.normalize("NFC", text)


def without_copy_marks(stem: str) -> str:
    """The stem that a copy was made of, or that a browser, file manager or sync tool changed.

    >>> [without_copy_marks(stem) for stem in ("x (1)", "x - Copy (2)", "x.wav", "Copy of x", "x copy 2")]
    ['x', 'x', 'x', 'x', 'x']
    """
    while True:
        for pattern in _MARKS:
            cut = pattern.sub("", stem)
            if cut and cut != stem:
                stem = cut
                break
        else:
            return stem


def without_number(stem: str, known: Container[str]) -> str:
    """The stem without a number that Finder or iCloud added (`x 2`), where `x` is known or ends in a number itself.

    >>> without_number("day 2", {"day"}), without_number("spd_28V 2", ()), without_number("day 2", ())
    ('day', 'spd_28V', 'day 2')
    """
    match = re.fullmatch(r"(.+\S)\s+\d{1,2}", stem)
    return match[1] if match and (match[1] in known or re.search(r"_\d[\d.]*[A-Za-z%]*$", match[1])) else stem


def stem_of(file_name: str) -> str:
    """Stem of a file that a row names, with or without folders and suffix (a value may hold a dot).

    >>> stem_of("ToyCar/train/x_ac_0.11.wav"), stem_of("x_ac_0.11")
    ('x_ac_0.11', 'x_ac_0.11')
    """
    name = composed(file_name.replace("\\", "/").rsplit("/", 1)[-1].strip())
    while name.lower().endswith(AUDIO_SUFFIXES):
        name = name.rsplit(".", 1)[0].rstrip()
    return name
