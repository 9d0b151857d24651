"""What made a run and what went wrong in it: command, versions, fingerprint, settings, failures, problems."""

import json

import pandas as pd

from lib.network.device import versions
from lib.report.files import RunFiles
from lib.report.table_pages import Table
from lib.results import clock_table
from lib.settings import Settings

MOST = 300  # problems that a page lists


def context(files: RunFiles) -> dict:
    """What the template run.html shows."""
    problems, made, clocks = files.problems, files.made_with, files.clocks
    return {
        "facts": files.facts, "data": made.get("data", {}), "versions": made.get("versions") or versions(),
        "settings": Table.of(settings_table(files.settings), "Settings"),
        "failures": files.failures, "refusals": files.refusals,
        "left_out": Table.of(files.left_out, "Left out"), "problems": Table.of(problems.head(MOST), "Problems"),
        "clocks": clock_tables(clocks), "without_clock": clock_table.without_clock(clocks) if clocks.without else "",
        "problem_count": len(problems), "most": MOST,
    }  # fmt: skip


def clock_tables(clocks: clock_table.ClockTable) -> list[Table]:
    """Where the seconds went, of a run whose steps kept a clock: by kind of work, by notebook, the longest steps."""
    if not clocks.steps:
        return []
    found = {clock_table.ALL: clock_table.of_kinds(clocks.by_kind())} | clock_table.of_steps(clocks)
    return [Table.of(frame, caption) for caption, frame in found.items()]


def settings_table(settings: Settings) -> pd.DataFrame:
    """`setting`, `value` and `default` (where it differs) of every setting, those that differ first."""
    values, defaults = _flat(settings), _flat(Settings())
    rows = [
        {"setting": name, "value": value, "default": "" if value == defaults[name] else defaults[name]}
        for name, value in values.items()
    ]
    table = pd.DataFrame(rows, columns=["setting", "value", "default"])
    return table.sort_values("default", key=lambda column: column == "", kind="stable", ignore_index=True)


def _flat(settings):
    """{group.field: its value as text}."""
    found = {}
    for name, value in settings.model_dump(mode="json").items():
        group = value if isinstance(value, dict) else {"": value}
        found |= {f"{name}.{field}".strip("."): _words(each) for field, each in group.items()}
    return found


def _words(value):
    if isinstance(value, list):
        return ", ".join(map(_words, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value)
