"""docs/performance.md and its figures, from docs/bench/*.csv: python -m workflow.bench.page."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lib.paths import PROJECT, whole_file, write_text
from lib.results.plots import PAGE as WIDTH
from lib.results.plots import laid_out, write_png
from workflow.bench import history, nights
from workflow.bench.entry import Entry
from workflow.bench.table import cells, ratio_text

PAGE = PROJECT / "docs" / "performance.md"
NOTES = Path(__file__).with_name("notes.md")
MET, MISSED, FREE = "#0072B2", "#D55E00", "#999999"  # told apart by every eye; missed ones are hatched, too
MOST = 2.0  # times the floor: a longer bar says no more
HEAD = """# Performance

*Made from `docs/bench/*.csv` by `make bench`, or by `.venv/bin/python -m workflow.bench.page`.*
"""


def text() -> str:
    """The page."""
    measured = {machine: history.read(path) for machine, path in history.files().items()}
    parts = [HEAD, CAPTION]
    for machine, rows in measured.items():
        parts.append(f"\n## {machine}\n\n![Rate over floor of each stage]({history.FOLDER.name}/{machine}.png)\n")
        parts.append("| stage | size | rate | floor | ratio | goal | peer | measured |")
        parts.append("| --- " * 8 + "|")
        for row in history.newest(rows).to_dict("records"):
            entry = entry_of(row)
            parts.append(f"| {' | '.join(cells(entry))} | {row['date']}, {row['commit']} |")
    parts += ["", NOTES.read_text(encoding="utf-8").strip(), "", NIGHTS, *nights.lines(measured)]
    return "\n".join(parts).rstrip() + "\n"


CAPTION = "Rate over what bare arithmetic or reading allows; the line is the goal, hatched what misses it."
NIGHTS = f"""\
## A night

All trainings of a preset on the seven machines of the development set at full size, {nights.CLIPS} training clips each:
49 by Table 1, 56 with Serial-OE. Computed from the clip rates above, as many trainings at a time as there are cores,
one on a card; embeddings, detectors and notebooks' starts are not in it. A night has {nights.NIGHT} hours.

| on | preset | trainings | hours for all | in a night |
| --- | --- | --- | --- | --- |"""


def entry_of(row: dict) -> Entry:
    """The entry of a row of a file."""
    values = {name: row[name] for name in history.NAMES}
    return Entry(**{name: None if value != value else value for name, value in values.items()})


@laid_out
def figure(rows: pd.DataFrame) -> Figure:
    """Bars of rate over floor by stage, of the newest `history.read` rows of a machine."""
    rows = history.newest(rows)
    rows = rows[rows["floor"].notna()]
    drawn, axis = plt.subplots(figsize=(WIDTH, 0.7 + 0.22 * len(rows)))
    _bars(axis, rows)
    axis.set_xlabel("rate over floor")
    sns.despine(drawn)
    return drawn


def _bars(axis, rows: pd.DataFrame):
    ratio, goal = (rows["rate"] / rows["floor"]).to_numpy(), rows["goal"].to_numpy(float)
    for place, (value, wanted) in enumerate(zip(ratio, goal, strict=True)):
        missed = value < wanted
        colour = FREE if np.isnan(wanted) else MISSED if missed else MET
        hatch, long = "////" if missed else None, min(value, MOST)
        axis.barh(place, long, 0.7, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        axis.text(np.fmax(long, wanted) + 0.01, place, ratio_text(value), va="center", fontsize=6)
        if not np.isnan(wanted):
            axis.plot([wanted, wanted], [place - 0.45, place + 0.45], color="#111111", lw=1.5)
    axis.set_yticks(range(len(rows)), rows["stage"] + ", " + rows["size"], fontsize=5)
    axis.set(ylim=(len(rows) - 0.4, -0.6), xlim=(0, max(1.1, min(MOST, np.nanmax(ratio, initial=1)) + 0.1)))
    axis.axvline(1, color="#999999", lw=0.6, zorder=0)


def write() -> None:
    """Write the page and its figures."""
    for path in history.files().values():
        drawn = figure(history.read(path))
        with whole_file(path.with_suffix(".png"), sync=False) as temporary:
            write_png(drawn, temporary, 150)
        plt.close(drawn)
    write_text(PAGE, text())


if __name__ == "__main__":
    try:
        write()
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    print(PAGE.relative_to(PROJECT))
