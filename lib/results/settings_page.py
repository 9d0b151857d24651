"""`docs/settings.md`: every setting, its default, what is allowed, what the presets take, and what it is.

From the settings object and the comments beside its fields: `python -m lib.results.settings_page`.
"""

import io
import json
import re
import tokenize
from pathlib import Path

from pydantic import BaseModel

from lib import settings
from lib.paths import PROJECT, write_text
from lib.settings import Settings, load_settings

PAGE = PROJECT / "docs" / "settings.md"
SHOWN = ("quick", "demo")  # presets that have a column where they differ
HEAD = """# Settings and presets

*Made from `lib/settings.py` by `.venv/bin/python -m lib.results.settings_page`.*

A preset is a YAML file in `workflow/presets`, or one of your own, given by its path: `base: quick` and only what
differs. A key that is not below, or a value that is not allowed, is refused with its line. Defaults are the paper's,
whose section stands in brackets, or a choice of this implementation where it is silent. A setting of a group is
written as `flow: {steps: 4}`.
"""
SYSTEMS = """
## Systems

`systems: [OE, OE-DFlow]` trains these two alone; `baselines: false` leaves the autoencoders out; `beyond: [Spectrum]`
chooses what goes beyond the paper.

| row | loss | latent of the flow | detectors |
| --- | --- | --- | --- |
"""


def comments() -> dict[str, str]:
    """{name of a class, or "class.field": the comment beside its first lines} of `lib/settings.py`."""
    text = Path(settings.__file__).read_text(encoding="utf-8")
    found, group, field = {}, "", ""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line = lines[min(token.start[0], len(lines)) - 1]
        if named := re.match(r"class (\w+)", line):
            group = named[1]
        if named := re.match(r"    (\w+): ", line):
            field = named[1]
        if token.type == tokenize.COMMENT and group and line[:1] == " ":
            found.setdefault(f"{group}.{field}", token.string.lstrip("# "))
    return found


def allowed(field: dict) -> str:
    """What a field's JSON schema allows, in words.

    >>> allowed({"type": "number", "minimum": 0, "exclusiveMaximum": 1}), allowed({"enum": ["a", "b"]})
    ('0 ≤ number < 1', '`a`, `b`')
    """
    if "anyOf" in field:
        return ", or ".join(allowed(part) for part in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {allowed(field.get('items', {'type': 'number'}))}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false", "null": "null"}
    bounds = [("minimum", "{} ≤ "), ("exclusiveMinimum", "{} < ")]
    limits = [("maximum", " ≤ {}"), ("exclusiveMaximum", " < {}")]
    below = "".join(text.format(field[key]) for key, text in bounds if key in field)
    above = "".join(text.format(field[key]) for key, text in limits if key in field)
    steps = f", a multiple of {field['multipleOf']}" if "multipleOf" in field else ""
    return below + words[field["type"]] + above + steps


def text() -> str:
    """The page."""
    presets, said = {name: load_settings(name) for name in SHOWN}, comments()
    whole = Settings()
    groups = [name for name, value in whole if isinstance(value, BaseModel)]
    parts = [HEAD, _table("Settings", whole, [n for n, _ in whole if n not in groups], presets, said)]
    for name in groups:
        group = getattr(whole, name)
        kind = type(group).__name__
        doc = type(group).__doc__ if "__doc__" in vars(type(group)) else ""
        parts.append(f"\n## {name}\n" + (f"\n{doc.strip()}\n" if doc else ""))
        chosen = {preset: getattr(values, name) for preset, values in presets.items()}
        parts.append(_table(kind, group, list(type(group).model_fields), chosen, said))
    rows = [
        f"| {s.name} | {' + '.join(f'L_{term}' for term in s.losses)} | {s.latent or '–'} | {', '.join(s.detectors)} |"
        for s in settings.SYSTEMS.values()
    ]
    return "\n".join(parts).rstrip() + "\n" + SYSTEMS + "\n".join(rows) + "\n"


def _table(kind, group, fields, presets, said):
    schema = type(group).model_json_schema()["properties"]
    lines = [
        f"| setting | default | allowed | {' | '.join(presets)} | what it is |",
        "| --- | --- | --- " + "| --- " * (len(presets) + 1) + "|",
    ]
    for name in fields:
        default = getattr(group, name)
        owner = next(k.__name__ for k in type(group).__mro__ if name in vars(k).get("__annotations__", {}))
        others = [getattr(values, name) for values in presets.values()]
        chosen = " | ".join("" if value == default else _value(value) for value in others)
        what = said.get(f"{owner}.{name}", "").replace("|", "\\|")
        lines.append(f"| `{name}` | {_value(default)} | {allowed(schema[name])} | {chosen} | {what} |")
    return "\n".join(lines) + "\n"


def _value(value):
    return f"`{json.dumps(value, ensure_ascii=False)}`"


if __name__ == "__main__":
    write_text(PAGE, text())
    print(PAGE.relative_to(PROJECT))
