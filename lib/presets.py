"""Preset files: YAML read so that nothing changes its meaning, with the line of every key.

PyYAML reads YAML 1.1, where 1e-3 is text, 010 is eight, 1:30 is ninety, `no` is false and the second of two equal keys
wins. Here a number is what everybody takes for one, true and false are the only truth values, everything else is text,
and an equal key is refused.
"""

import difflib
import re
from pathlib import Path

import yaml
from pydantic import BaseModel

from lib import paths

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")  # eight to some, ten to others: kept as text
TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "timestamp", "merge", "value")}
TAGS |= {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}
KINDS = {  # pydantic's types of errors → what is wanted
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "finite_number": "a finite number", "bool_type": "true or false", "string_type": "text, in quotes",
    "tuple_type": "a list, such as [1, 2]", "missing": "a longer list", "too_long": "a shorter list",
}  # fmt: skip
WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def preset_path(preset: str | Path, beside: Path = Path()) -> Path:
    """The YAML file behind a preset's name or path.

    Args:
        preset: name in workflow/presets, or path. beside: folder that a relative path starts from.

    Raises:
        ValueError: there is none, or a folder; names the known presets.
    """
    given = Path(preset).expanduser()
    for path in (paths.PRESETS / f"{preset}.yaml", beside / given):
        if path.is_file():
            return path.resolve()
    if (beside / given).is_dir() and str(preset).strip():
        raise ValueError(f"preset {str(preset)!r} is a folder; name a YAML file in it")
    known = ", ".join(sorted(p.stem for p in paths.PRESETS.glob("*.yaml")))
    found = [f"{given}{suffix}" for suffix in (".yaml", ".yml") if (beside / f"{given}{suffix}").is_file()]
    meant = f"did you mean {found[0]}? " if found else ""
    raise ValueError(f"unknown preset {str(preset)!r}; {meant}known: {known}, or the path of a YAML file")


def read_preset(path: Path, seen: tuple = ()) -> tuple[dict, dict]:
    """Values of a preset file over those of its `base`, and where each was written.

    Args:
        path: as `preset_path`. seen: files that led here.

    Returns:
        nested values; {(key, key …): "file, line n"}.

    Raises:
        ValueError: no YAML, an equal key, no such base or encoder; the message names file and line.
    """
    values, places = _mapping(path)
    if isinstance(file := values.get("encoder"), str) and file:
        values["encoder"] = _file_beside(path, file, places[("encoder",)])
    if "base" not in values:
        return values, places
    base, place = values.pop("base"), places[("base",)]
    if not isinstance(base, str):
        raise ValueError(f"{place}: base must be the name or the path of a preset, found {base!r}")
    try:
        start = preset_path(base, path.parent)
    except ValueError as error:
        raise ValueError(f"{place}: base: {error}") from None
    if start in (*seen, path):
        raise ValueError(f"{place}: its base {base!r} leads back to itself")
    below, places_below = read_preset(start, (*seen, path))
    return _merge(below, values), places_below | places


def _file_beside(path, file, place):
    found = (path.parent / Path(file).expanduser()).resolve()
    if not found.is_file():
        raise ValueError(f"{place}: encoder: there is no file {found}; name one relative to {path.parent}")
    return str(found)


def _mapping(path):
    text = _text(path)
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explain(path, error)) from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: no valid YAML: {error}") from None
    if node is None:
        raise ValueError(f"{path}: is empty; write what differs, as in `training: {{epochs: 3}}`, or {{}}")
    if not isinstance(node, yaml.MappingNode):
        raise ValueError(f"{path}: expected keys and values such as `training: {{epochs: 3}}`, found a {node.id}")
    places = {}
    return _Reader(path, places).value(node, ()), places


def _text(path):
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path}, line {line}: not UTF-8; save it as text in UTF-8") from None
    if "\0" in text:
        raise ValueError(f"{path}: holds binary data; a preset is a text file in YAML")
    return text


def _explain(path, error):
    mark = error.problem_mark or error.context_mark
    line = mark.buffer.splitlines()[mark.line] if mark.buffer and mark.line < len(mark.buffer.splitlines()) else ""
    mend = "; indent with spaces, never with a tab" if "\t" in line else ""
    return f"{path}, line {mark.line + 1}: no valid YAML: {error.problem}{mend}"


class _Reader:
    """Turns the nodes of one file into values and notes in `places` where each key stands."""

    def __init__(self, path, places):
        self.path, self.places, self.open = path, places, []

    def value(self, node, keys):
        if node.tag not in TAGS:
            raise ValueError(f"{self._place(node)}: {node.tag}: tags are not allowed")
        if isinstance(node, yaml.ScalarNode):
            return node.value if node.style in ("'", '"', "|", ">") else plain_value(node.value)
        if node in self.open:
            raise ValueError(f"{self._place(node)}: an anchor that holds itself")
        self.open.append(node)
        if isinstance(node, yaml.MappingNode):
            found = self._map(node, keys)
        else:
            found = [self.value(item, (*keys, i)) for i, item in enumerate(node.value)]
        self.open.pop()
        return found

    def _map(self, node, keys):
        values, lines, merged = {}, {}, {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"{self._place(key)}: a key must be a word")
            name, line = key.value, key.start_mark.line + 1
            if name in lines:
                shown = ".".join([*map(str, keys), name])
                both = f"in lines {lines[name]} and {line}"
                raise ValueError(f"{self.path}: {shown} stands twice, {both}; write all of it in one place")
            lines[name] = line
            if name == "<<":
                merged = self._merged(value, keys)
                continue
            self.places[(*keys, name)] = self._place(key)
            values[name] = self.value(value, (*keys, name))
        return merged | values

    def _merged(self, node, keys):
        """`<<: *anchor`, or a list of anchors, the first of which wins."""
        found = {}
        for one in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(one, yaml.MappingNode):
                raise ValueError(f"{self._place(node)}: << takes what an anchor of a group names")
            found = self.value(one, keys) | found
        return found

    def _place(self, node):
        return f"{self.path}, line {node.start_mark.line + 1}"


def plain_value(text: str) -> str | int | float | bool | None:
    """What an unquoted text of a preset means.

    >>> [plain_value(text) for text in ("1e-3", "7", "true", "no", "010", "1:30", "1_000", "~")]
    [0.001, 7, True, 'no', '010', '1:30', '1_000', None]
    """
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    if INTEGER.fullmatch(text):
        return int(text)
    if NUMBER.fullmatch(text) and not LEADING_ZERO.fullmatch(text):
        return float(text)
    return text


def _merge(base, values):
    """`values` over `base`; a group that says nothing changes nothing."""
    merged = dict(base)
    for key, value in values.items():
        if isinstance(merged.get(key), dict) and (value is None or isinstance(value, dict)):
            merged[key] = _merge(merged[key], value or {})
        else:
            merged[key] = value
    return merged


def explain(error: dict, model: type[BaseModel], places: dict, path: Path) -> str:
    """One line for one error of pydantic: file, line, setting, what is wrong, what is allowed.

    Args:
        error: of `ValidationError.errors`. model: that refused. places, path: as `read_preset` gives and takes them.
    """
    keys, found = error["loc"], error["input"]
    if error["type"] == "missing":  # an item of a list of fixed length
        keys = keys[:-1]
    name = ".".join(map(str, keys))
    if error["type"] == "extra_forbidden":
        said = f"{name}: no such setting; {_allowed(keys, model)}"
    elif error["type"] in ("model_type", "model_attributes_type"):
        fields = ", ".join(groups(model)[keys[0]])
        space = "; a space belongs behind its colon" if isinstance(found, str) and ":" in found else ""
        said = f"{name}: must be a group of settings ({fields}), found {found!r}{space}"
    elif error["type"] in KINDS:
        said = f"{name}: must be {KINDS[error['type']]}, found {'nothing' if found is None else repr(found)}"
    elif error["type"] == "value_error":
        said = f"{name}: {error['ctx']['error']}" if name else str(error["ctx"]["error"])
    else:
        said = f"{name}: {error['msg'].replace('Input should', 'must')}, found {found!r}"
    named = keys or tuple(re.findall(r"\w+", said.split(" ")[0]))
    while named and named not in places:
        named = named[:-1]
    return f"{places.get(named, path)}: {said}"


def _allowed(keys, model):
    """For a setting that does not exist: the one that is meant, else all that stand beside it."""
    siblings = groups(model)[keys[0]] if len(keys) > 1 else model.model_fields
    name = str(keys[-1])
    close = difflib.get_close_matches(name, siblings, 1)
    elsewhere = [f"{group}.{name}" for group, fields in groups(model).items() if name in fields]
    elsewhere += [name] if name in model.model_fields else []
    meant = [".".join([*keys[:-1], *close])] if close else elsewhere
    return (f"did you mean {' or '.join(meant)}? " if meant else "") + f"allowed: {', '.join(siblings)}"


def groups(model: type[BaseModel]) -> dict[str, dict]:
    """{name: fields} of the groups of settings in a model."""
    kinds = {name: field.annotation for name, field in model.model_fields.items()}
    found = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, BaseModel)}
    return {name: kind.model_fields for name, kind in found.items()}
