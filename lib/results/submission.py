"""Decisions of every row, and the challenge's submission files (DCASE 2023 Task 2, arXiv:2305.07828).

The official evaluator aligns a file's rows with the test clips by sorted order, so one with a clip too many or too few
would be judged wrongly in silence: it is refused, not written.
"""

import csv
import glob
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from lib import clock
from lib.detection.metrics import decision_scores
from lib.detection.scoring import decision_threshold
from lib.paths import Run, whole_file, write_text
from lib.recordings.dcase import Dataset

KINDS = ("anomaly_score", "decision_result")


@clock.counts("scoring")
def decisions(rows: pd.DataFrame, quantile: float) -> pd.DataFrame:
    """Threshold and decisions of each row and machine (protocol `all`), and their quality where labels are known.

    Args:
        rows: as `ensembles.add_submitted`. quantile: of `scoring.decision_threshold`.

    Returns:
        DataFrame with `system`, `machine`, `seed`, `threshold`, `fit` (gamma or empirical), `domain`, `precision`,
        `recall`, `f1`, in shares of 1; the last four are NaN where no label is known.
    """
    columns, found = ["system", "machine", "seed", "threshold", "fit", "domain", "precision", "recall", "f1"], []
    rows = rows[rows["protocol"] == "all"]
    part, label, domain, score = (rows[name].to_numpy() for name in ("part", "label", "domain", "score"))
    for (system, machine, seed), here in rows.groupby(["system", "machine", "seed"], sort=False).indices.items():
        threshold, fit = decision_threshold(score[here[part[here] == "calibration"]], quantile)
        test = here[(part[here] == "test") & (label[here] != "")]
        quality = decision_scores(score[test] > threshold, domain[test], label[test])
        facts = {"system": system, "machine": machine, "seed": seed, "threshold": threshold, "fit": fit}
        found += [facts | {"domain": name} | scores for name, scores in quality.items()] or [facts]
    return pd.DataFrame(found, columns=columns)


@clock.counts("writing")
def export(rows: pd.DataFrame, dataset: Dataset, run: Run, team: str, quantile: float) -> tuple[list[Path], list[str]]:
    """Write the files of every row and machine; a refused one stops no other. Files that an earlier call left go.

    Args:
        rows: as `ensembles.add_submitted`; protocol `all` is written. dataset: `dcase.Dataset` that was scored.
        run: `paths.Run`. team: folder of the files. quantile: of `scoring.decision_threshold`.

    Returns:
        The written paths and a list of refusals (text), which stand in `Run.refusals`, too.
    """
    tests = {machine: dataset.of(machine, "test") for machine in rows["machine"].unique()}
    written, refusals = write_files(rows, tests, run, team, quantile)
    for kind in KINDS:
        for old in set((run.root / "teams" / team).glob(f"*/{kind}_*.csv")) - set(written):
            old.unlink()
    run.refusals.unlink(missing_ok=True)
    if refusals:
        write_text(run.refusals, "\n".join(refusals) + "\n")
    return written, refusals


def write_files(
    rows: pd.DataFrame,
    tests: Mapping[str, pd.DataFrame],
    run: Run,
    team: str,
    quantile: float,
    refused: Mapping[tuple[str, str], str] | None = None,
) -> tuple[list[Path], list[str]]:
    """Write the files of every row and machine; of a refused one no older file stays.

    Args:
        rows, run, team, quantile: as `export`. tests: {machine: its test clips}, as `Dataset.of(machine, "test")`.
        refused: {(row, machine): why it cannot be written} of those that are not in `rows`.

    Returns:
        The written paths and a list of refusals (text).
    """
    written, why = [], dict(refused or {})
    for (system, machine), clips in rows[rows["protocol"] == "all"].groupby(["system", "machine"], sort=False):
        try:
            files = submission(clips, tests[machine], quantile)
        except ValueError as error:
            why[system, machine] = str(error)
            continue
        for (kind, section), text in files.items():
            path = run.submission(team, system, kind, machine, section)
            with whole_file(path, sync=False) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(path)
    for system, machine in why:
        for kind in KINDS:
            name = run.submission(team, system, kind, glob.escape(machine), "*")
            for old in name.parent.glob(name.name):
                old.unlink()
    return written, [f"{system}, {machine}: not written: {reason}" for (system, machine), reason in why.items()]


def submission(clips: pd.DataFrame, index: pd.DataFrame, quantile: float) -> dict[tuple[str, str], str]:
    """The texts of one row's files on one machine.

    Args:
        clips: rows of one system and machine, of the parts "calibration" and "test" and every seed.
        index: the machine's test clips, as `Dataset.of(machine, "test")`. quantile: of `scoring.decision_threshold`.

    Returns:
        {(kind, section): text} with `KINDS`; a line is `<stem>.wav,<value>`, lines are in the order of the names.
        Several seeds give their mean score, and the threshold is that of their mean calibration scores.

    Raises:
        ValueError: the scored clips are not the index's; a clip needs a finite score of every seed.
    """
    seeds, scores = clips["seed"].nunique(), {"test": {}, "calibration": {}}
    for part, clip, score in zip(*(clips[name].tolist() for name in ("part", "clip", "score")), strict=True):
        if math.isfinite(score):
            scores[part].setdefault(clip, []).append(score)
    test, calibration = (
        {clip: sum(values) / seeds for clip, values in part.items() if len(values) == seeds} for part in scores.values()
    )
    check_clips(test, index["stem"])
    threshold, _ = decision_threshold(list(calibration.values()), quantile)
    files = {}
    for section, here in index.groupby("section"):
        lines = sorted((f"{stem}.wav", test[stem]) for stem in here["stem"])
        decided = [(name, int(score > threshold)) for name, score in lines]
        for kind, values in zip(KINDS, (lines, decided), strict=True):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(values)
            files[kind, section] = text.getvalue()
    return files


def check_clips(scored: Iterable[str], expected: Iterable[str]) -> None:
    """Raise a ValueError, with the first names and the mend, where the scored clips are not the expected ones."""
    scored, expected = set(scored), set(expected)
    if expected.isdisjoint(scored):
        raise ValueError("no test clip has a score; were the scores made from another data root?")
    for odd, what, mend in (
        (expected - scored, "no score for", "see problems.csv, mend or remove these recordings, score again"),
        (scored - expected, "no recording for", "put it back under the data root, or score the machine again"),
    ):
        if odd:
            names = ", ".join(sorted(odd)[:5]) + (" …" if len(odd) > 5 else "")
            raise ValueError(f"{what} {len(odd)} of {len(expected)} test clips ({names}); {mend}")
