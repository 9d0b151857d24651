"""What the bench prints: a line an entry, what became slower in red."""

from collections.abc import Sequence

import pandas as pd

from workflow.bench.entry import Entry
from workflow.bench.history import SLOWER, change

RED, GREEN, PLAIN = "\033[31m", "\033[32m", "\033[0m"
HEAD = ("stage", "size", "rate", "floor", "ratio", "goal", "peer", "since last")


def number(value: float | None) -> str:
    """Three digits, or none.

    >>> [number(v) for v in (66534.2, 20.14, 0.51234, None, float("nan"))]
    ['66 500', '20.1', '0.512', '–', '–']
    """
    if value is None or value != value:
        return "–"
    if value < 1000:
        return f"{value:.3g}"
    digits = len(str(int(value))) - 3
    return f"{round(value, -digits):,.0f}".replace(",", " ")


def quantity(value: float | None, unit: str) -> str:
    """A number with its unit; of what should be small the rate is its inverse, and it is shown as itself.

    >>> quantity(4.0, "1/GiB"), quantity(20.14, "clips/s")
    ('0.25 GiB', '20.1 clips/s')
    """
    if unit.startswith("1/") and value:
        return f"{number(1 / value)} {unit[2:]}"
    return f"{number(value)} {unit}"


def ratio_text(ratio: float) -> str:
    """Two decimals of a rate over its floor; of what is far above it, three digits.

    >>> ratio_text(0.9512), ratio_text(1e8)
    ('0.95', '100 000 000')
    """
    return f"{ratio:.2f}" if ratio < 100 else number(ratio)


def cells(entry: Entry) -> list[str]:
    """Stage, size, rate, floor, ratio, goal, peer of an entry, in words."""
    ratio = entry.rate / entry.floor if entry.floor else None
    met = "" if not entry.goal else f"≥ {entry.goal:.2f} {'met' if ratio >= entry.goal else 'missed'}"
    peer = f"{number(entry.peer)} ({entry.peer_of})" if entry.peer else entry.peer_of
    floor = f"{number(entry.floor)} ({entry.floor_of})" if entry.floor else "–"
    floor = entry.floor_of if entry.unit.startswith("1/") else floor
    shown = "–" if ratio is None else ratio_text(ratio)
    return [entry.stage, entry.size, quantity(entry.rate, entry.unit), floor, shown, met, peer]


def since(entry: Entry, rows: pd.DataFrame) -> str:
    """How much faster or slower than the last entry that was kept.

    A word marks more than 15 % slower, where there are no colours, too.
    """
    found = change(entry, rows)
    if found is None:
        return "new"
    return f"{100 * found:+.0f} %" + (" SLOWER" if 1 + found < SLOWER else "")


def table(entries: Sequence[Entry], rows: pd.DataFrame, coloured: bool) -> str:
    """All entries beneath each other; `rows`: what was kept for this machine. coloured: for a terminal."""
    lines = [list(HEAD)] + [[*cells(entry), since(entry, rows)] for entry in entries]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        shown = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        if coloured:
            shown[-1] = f"{RED}{shown[-1]}{PLAIN}" if line[-1].endswith("SLOWER") else shown[-1]
            colour = {"met": GREEN, "sed": RED}.get(line[5][-3:])
            shown[5] = f"{colour}{shown[5]}{PLAIN}" if colour else shown[5]
        text.append("  ".join(shown).rstrip())
    return "\n".join(text)
