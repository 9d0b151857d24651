"""What a computer does in a night, from the clip rates of its trainings."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from lib.settings import load_settings
from lib.systems import SYSTEMS
from workflow.bench.history import cores_of, newest

PARAMETERS = {"bearing": 2, "fan": 1, "gearbox": 2, "slider": 2, "valve": 1, "ToyCar": 3, "ToyTrain": 3}  # attributes
CLIPS = 848  # of a machine that a training hears: 85 % of 990 source clips and six of ten target clips
MIXED = 0.75  # of all batches, by mixup's schedule
NIGHT = 10  # hours
SIZES = {"paper": "224 × 313", "quick": "64 × 157"}


@dataclass(frozen=True)
class Trainings:
    """All trainings of a preset on the development set: how many of each system, and clips that one hears in all."""

    counts: dict[str, int]
    clips: dict[str, int]

    @classmethod
    def of(cls, preset: str) -> "Trainings":
        """Of the systems of Table 1 and of Serial-OE.

        >>> paper = Trainings.of("paper")
        >>> sum(paper.counts.values()), paper.counts["OE-DFlow"], paper.clips["OE"]
        (56, 14, 268800)
        """
        settings, counts, clips = load_settings(preset), {}, {}
        for name, system in SYSTEMS.items():
            schedule = settings.training_of(system)
            steps = schedule.epochs * -(-CLIPS // (schedule.batch // 2))
            counts[name] = sum(PARAMETERS.values()) if system.per_parameter else len(PARAMETERS)
            clips[name] = steps * schedule.batch
        return cls(counts, clips)


def rate_of(rows: pd.DataFrame, preset: str, joint: bool) -> float | None:
    """Clips a second of one training at a preset's size, over the whole of it; None where it was not measured."""
    found = newest(rows)
    found = found[(found["stage"] == ("joint training" if joint else "OE training"))]
    found = found[found["size"].str.startswith(SIZES[preset])]
    mixed, plain = (found.loc[found["size"].str.endswith(w), "rate"] for w in ("every batch mixed", "none mixed"))
    if mixed.empty or (joint and plain.empty):
        return None
    if not joint:
        return float(mixed.iloc[0])  # the slower case
    return 1 / (MIXED / float(mixed.iloc[0]) + (1 - MIXED) / float(plain.iloc[0]))


def hours(rows: pd.DataFrame, preset: str, serial: bool) -> tuple[int, float] | None:
    """Number of a preset's trainings, without Serial-OE unless `serial`, and the hours of all, one behind the other."""
    rates, all_ = {joint: rate_of(rows, preset, joint) for joint in (False, True)}, Trainings.of(preset)
    if None in rates.values():
        return None
    chosen = [name for name in SYSTEMS if serial or name != "Serial-OE"]
    seconds = sum(all_.counts[name] * all_.clips[name] / rates[bool(SYSTEMS[name].latent)] for name in chosen)
    return sum(all_.counts[name] for name in chosen), seconds / 3600


def lines(measured: dict[str, pd.DataFrame]) -> Iterator[str]:
    """The rows of a table: hardware, preset, trainings, hours for all of them, how many a night."""
    cards = {machine: rows for machine, rows in measured.items() if cores_of(machine) == 1 and "core" not in machine}
    others = {machine: rows for machine, rows in measured.items() if machine not in cards}
    for preset in SIZES:
        for machine, rows in others.items():
            yield from _lines(f"a laptop of {machine}", preset, rows, cores_of(machine))
        if not cards:
            yield f"| one card; ten nodes of one | {preset} | 49 or 56 | owed: no card has been measured | |"
        for machine, rows in cards.items():
            yield from _lines(f"one {machine}", preset, rows, 1)
            yield from _lines(f"ten nodes of one {machine}", preset, rows, 10)
        for machine, rows in others.items():
            yield from _lines(f"ten nodes of {machine}", preset, rows, 10 * cores_of(machine))


def _lines(words, preset, rows, at_once):
    for serial in (False, True):
        if found := hours(rows, preset, serial):
            count, total = found
            took = total / at_once
            share = min(count, count * NIGHT / took)
            kept = "all" if share >= count else f"{share:.0f}" if share >= 1 else f"{share:.1f}"
            yield (
                f"| {words} | {preset} | {count} | {took:.0f} | {kept} |"
                if took >= 10
                else (f"| {words} | {preset} | {count} | {took:.1f} | {kept} |")
            )
