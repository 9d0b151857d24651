"""What `01_data_audit` measures on every clip, and the problems it lists, each with the mend."""

import re

import numpy as np
import pandas as pd

from lib.recordings.attributes import parameters
from lib.recordings.clips import PLACE, ClipBank
from lib.recordings.dcase import PROBLEM_COLUMNS, attribute_table
from lib.recordings.reading import FULL_SCALE

QUIET = -80.0  # dBFS
FRAME = 400  # samples = 25 ms at 16 kHz
BLOCK = 40_000 * FRAME  # samples that are measured at once


def summary(bank: ClipBank) -> dict[str, str]:
    """{machine: what of it is not used as it stands, "" where all is}, for a run's first lines.

    Problems are counted by their kind, which they begin with; also of a machine that has no clips left.
    """
    found = {}
    for machine in sorted({*bank.clips["machine"], *bank.problems["machine"]}):
        clips = bank.clips[bank.clips["machine"] == machine]
        problems = bank.problems.loc[bank.problems["machine"] == machine, "problem"]
        unused, scaled = int((~clips["usable"]).sum()), int((clips["divisor"] != 1).sum())
        said = [f"{unused} of {len(clips)} clips are not used"] if unused else []
        said += [f"{scaled} scaled"] if scaled else []
        said += ["no clips"] if clips.empty else []
        kinds = problems[~problems.str.startswith("scaled:")].map(_kind).value_counts(sort=False)
        said += [f"{count} × {kind}" for kind, count in sorted(kinds.items(), key=lambda each: (-each[1], each[0]))]
        found[machine] = ", ".join(said)
    return found


def _kind(problem):
    """A problem's kind; with the attribute where v is no number any more, which changes a whole system."""
    if match := re.match(r"no number: (.+?)=", problem):
        return f"attribute {match[1]} is no number"
    return problem.split(":")[0]


def measure_clips(bank: ClipBank, rows: pd.DataFrame) -> pd.DataFrame:
    """Level, clipping, silence and DC of every clip.

    Args:
        bank: `clips.ClipBank`. rows: of its index.

    Returns:
        DataFrame on the index of `rows`: `rms_dbfs`, `peak_dbfs`, `clipped` (share of samples at full scale),
        `silent` (share of 25 ms frames below −80 dBFS), `dc` (mean, full scale = 1).
    """
    found = [_measure(bank.sound(row)) for row in rows[PLACE].itertuples()]
    return pd.DataFrame(found, index=rows.index, columns=["rms_dbfs", "peak_dbfs", "clipped", "silent", "dc"])


def _measure(sound):
    """Of (samples,) int16; hours of them a block at a time, whose copies would be gigabytes."""
    if not len(sound):
        return (np.nan,) * 5
    blocks = [sound[first : first + BLOCK] for first in range(0, len(sound), BLOCK)]
    peak, *means, silent = np.array([_measure_block(block) for block in blocks]).T
    square, clipped, dc = np.average(means, axis=1, weights=[len(block) for block in blocks])
    frames = [len(block) // FRAME for block in blocks] if len(sound) >= FRAME else [1]
    return _decibel(np.sqrt(square)), _decibel(peak.max()), clipped, np.average(silent, weights=frames), dc


def _measure_block(sound):
    """Peak, mean square, share at full scale, mean, share of quiet frames."""
    sound = sound.astype(np.float32) / FULL_SCALE
    peak = np.abs(sound)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME) if len(sound) >= FRAME else sound[None]
    quiet = _decibel(np.sqrt(np.mean(frames**2, axis=1))) < QUIET
    clipped = np.mean(peak >= (FULL_SCALE - 1) / FULL_SCALE)
    return peak.max(), np.mean(sound**2), clipped, sound.mean(), quiet.mean()


def _decibel(amplitude):
    return 20 * np.log10(np.maximum(amplitude, 1e-10))


UNITS, FORMATS = {"rms_dbfs": " dBFS", "seconds": " s"}, {"rms_dbfs": ".0f", "seconds": ".1f"}


def measured_problems(machine: str, clips: pd.DataFrame, usual: float | None = None) -> list[tuple]:
    """Entries (machine, file, problem, mend) of what was measured.

    Args:
        machine: name. clips: usable rows of the index joined with `measure_clips`. usual: seconds of a clip; None: the
            median of these.
    """
    usual = clips["seconds"].median() if usual is None else usual
    rules = (
        ("clipped", clips["clipped"] > 1e-3, "more than 0.1 % of the samples clipped", "lower the recording gain"),
        ("rms_dbfs", clips["rms_dbfs"] < QUIET, "almost silent", "check microphone and gain; delete the clip"),
        ("dc", clips["dc"].abs() > 0.01, "a DC offset above 1 % of full scale", "high-pass or record again"),
        ("silent", clips["silent"].between(0.5, 0.999), "silent for more than half of the clip", "check the recording"),
        (
            "seconds",
            (clips["seconds"] / usual - 1).abs() > 0.5,
            f"far from the usual {usual:.1f} s",
            "check the length",
        ),
    )
    return [
        (machine, row["path"], f"{problem} ({row[field]:{FORMATS.get(field, '.3g')}}{UNITS.get(field, '')})", mend)
        for field, wrong, problem, mend in rules
        if wrong.any()
        for _, row in clips[wrong].iterrows()
    ]


def unseen_values(clips: pd.DataFrame) -> pd.DataFrame:
    """Attribute values in test but never in training: DataFrame of `parameter`, `value`, `test_clips`."""
    values = attribute_table(clips)
    train, rows = clips["split"] == "train", []
    for parameter in values.columns:
        seen = set(values.loc[train, parameter])
        counts = values.loc[~train, parameter].value_counts()
        rows += [(parameter, value, n) for value, n in counts.items() if value and value not in seen]
    return pd.DataFrame(rows, columns=["parameter", "value", "test_clips"])


def list_problems(bank: ClipBank, machine: str, clips: pd.DataFrame, unseen: pd.DataFrame) -> pd.DataFrame:
    """All problems of one machine: of the index, the decoder, the levels and the attributes, as one DataFrame."""
    known = bank.problems[bank.problems["machine"] == machine]
    found = measured_problems(machine, clips[clips["usable"]])
    found += [
        (machine, f"{machine}/test", f"{u.parameter}={u.value} in {u.test_clips} test clips, never in training",
         "record training clips with it, or expect false alarms there")
        for u in unseen.itertuples()
    ]  # fmt: skip
    training = clips[clips["split"] == "train"]
    found += [
        (machine, f"{machine}/train", f"{name} has one value in training: no invariant latent follows it (OE-DFlow, "
         "SerialOE-DFlow)", "record normal clips with other values, or leave it")
        for name in attribute_table(training).columns.difference(parameters(training))
    ]  # fmt: skip
    return pd.concat([known, pd.DataFrame(found, columns=PROBLEM_COLUMNS)], ignore_index=True)
