"""What a run is made of: every training that a machine's clips allow, and what is left out and why.

All of it is known before the first notebook starts, so that none starts only to fail of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.paths import Run
from lib.recordings import attributes
from lib.recordings.classes import of_all_machines
from lib.recordings.clips import ClipBank
from lib.recordings.dcase import validation_mask
from lib.settings import Settings
from lib.systems import (
    ALL,
    BASELINE,
    ENCODER,
    EXTRACTORS,
    SHARED,
    SPECTRUM,
    SPECTRUM_CLIPS,
    SYSTEMS,
    System,
    Trained,
    find_system,
    score_files_of,
)

SOURCE_CLIPS = 2  # that a system needs in its training part, as `machine.MachineClips`


class LeftOut(NamedTuple):
    """What was asked for and cannot be; `system` is "" where it is the whole machine."""

    machine: str
    system: str
    why: str


def machine_names(text: str) -> list[str]:
    """Names of machines as 06 is given them: with a slash between, which no folder's name can hold.

    >>> machine_names("fan/Bay 2 spindle"), machine_names("")
    (['fan', 'Bay 2 spindle'], [])
    """
    return [name for name in text.split("/") if name]


@dataclass(frozen=True)
class Plan:
    """What a run is asked for and can do.

    Attributes:
        machines: targets of which something can be trained, in the order of the tables.
        seeds: of every training.
        trainings: of the systems of Table 1.
        baselines: of the autoencoder.
        spectra: of Spectrum, which nothing random is in: seed 0.
        shared: machines and seeds that embeddings by a system for all machines are scored of.
        left_out: what was asked for and cannot be.
        audits: machines whose recordings are looked at, those without a training, too.
        notes: (machine, what its recordings change in what is trained).
    """

    machines: tuple[str, ...]
    seeds: tuple[int, ...]
    trainings: tuple[Trained, ...]
    baselines: tuple[Trained, ...]
    left_out: tuple[LeftOut, ...] = ()
    audits: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    spectra: tuple[Trained, ...] = ()
    shared: tuple[Trained, ...] = ()

    @classmethod
    def of(
        cls, bank: ClipBank, settings: Settings, machines: Sequence[str] = (), seeds: Sequence[int] = (0,)
    ) -> "Plan":
        """The plan of a run.

        Args:
            bank: of the data root. settings: of the preset. machines: names; none takes every target. seeds: numbers.

        Raises:
            ValueError: a machine that is not there, no machine to score, or none of which anything can be trained.
        """
        systems = [find_system(name) for name in settings.systems]
        classes = of_all_machines(bank, settings)["class"].nunique() if SHARED in settings.beyond else 0
        found = [_Recorded.of(bank, machine, settings) for machine in _known(bank, machines)]
        left_out = [row for own in found for row in _left_out(bank, own, systems, settings, classes)]
        lost = {(row.machine, row.system) for row in left_out}
        heard = [own for own in found if (own.machine, "") not in lost]
        able = [own.machine for own in heard]
        trainings = [
            Trained(own.machine, *training, seed)
            for own in heard
            for training in attributes.trainings(own.parameters, systems, settings)
            if (own.machine, training[0]) not in lost
            for seed in seeds
        ]
        others = {
            BASELINE: settings.baselines,
            SPECTRUM: SPECTRUM in settings.beyond,
            SHARED: SHARED in settings.beyond,
            ENCODER: bool(settings.encoder),
        }
        baselines, spectra, shared, encoded = (
            [Trained(m, name, ALL, s) for m in able if asked and (m, name) not in lost for s in seeds]
            for name, asked in others.items()
        )
        shared += encoded
        spectra = list(dict.fromkeys(made._replace(seed=0) for made in spectra))
        trained = {made.machine for made in (*trainings, *baselines, *spectra, *shared)}
        if not trained:
            reasons = "".join(f"\n  {line}" for line in told(left_out))
            raise ValueError(f"{bank.dataset.root}: nothing can be trained{reasons}")
        able = tuple(machine for machine in able if machine in trained)
        notes = tuple((own.machine, note) for own in heard if own.machine in trained for note in _notes(own))
        audits = [own.machine for own in found]
        made = map(tuple, (seeds, trainings, baselines, left_out, audits, notes, spectra, shared))
        return cls(able, *made)

    @property
    def notebooks(self) -> int:
        """How many notebooks the run consists of."""
        fits = sum(bool(SYSTEMS[made.system].families) for made in self.trainings)
        fits += len(self.shared) + len({(made.system, made.seed) for made in self.shared})
        return len(self.audits) + len(self.baselines) + len(self.spectra) + len(self.trainings) + fits + 1

    def chosen(self, bank: ClipBank) -> tuple[str, ...]:
        """The machines that were asked for by name; none where they are those that a run takes by itself."""
        return () if set(self.audits) == set(bank.dataset.targets()) else self.audits

    def score_files(self, run: Run) -> dict[Path, Trained]:
        """{path: `Trained`} of every file of scores that the run should hold when it has finished."""
        every = (*self.baselines, *self.spectra, *self.shared, *self.trainings)
        return {run.trained(*made) / name: made for made in every for name in score_files_of(made.system)}


def split_names(text: str, known: Iterable[str]) -> list[str]:
    """Names with blanks between, read by the names that there are: a name may hold blanks itself.

    >>> split_names("fan Bay 2 spindle", ["Bay 2 spindle", "fan", "Bay"])
    ['fan', 'Bay 2 spindle']
    """
    ordered, found = sorted(known, key=len, reverse=True), []
    while text := text.strip():
        name = next((n for n in ordered if text == n or text.startswith(f"{n} ")), text.split()[0])
        found.append(name)
        text = text[len(name) :]
    return list(dict.fromkeys(found))


def told(left_out: Iterable[LeftOut]) -> list[str]:
    """What is left out, a line for each machine and reason.

    >>> told([LeftOut("fan", "OE-DFlow", "no attributes"), LeftOut("fan", "SerialOE-DFlow", "no attributes")])
    ['fan without OE-DFlow, SerialOE-DFlow: no attributes']
    """
    grouped: dict[tuple[str, str], list[str]] = {}
    for row in left_out:
        grouped.setdefault((row.machine, row.why), []).append(row.system)
    return [
        f"{machine}{' without ' if any(systems) else ''}{', '.join(systems)}: {why}"
        for (machine, why), systems in grouped.items()
    ]


def _known(bank, asked):
    """The machines asked for, else all targets."""
    there = sorted(bank.dataset.clips["machine"].unique())
    if unknown := sorted(set(asked) - set(there)):
        raise ValueError(f"unknown machine {', '.join(unknown)}; {bank.dataset.root} has {', '.join(there)}")
    targets = bank.dataset.targets()
    if not asked and not targets:
        raise ValueError(
            f"{bank.dataset.root}: no machine has both train and test clips; put recordings into <machine>/train and "
            "<machine>/test"
        )
    return tuple(dict.fromkeys(asked)) or tuple(targets)


class _Recorded(NamedTuple):
    """The usable recordings of a machine: training and test rows; of the training rows the source clips of the part
    that trains and all that are held out; and the attribute parameters of two values or more."""

    machine: str
    training: pd.DataFrame
    test: pd.DataFrame
    source: pd.DataFrame
    held: pd.DataFrame
    parameters: list[str]

    @classmethod
    def of(cls, bank, machine, settings):
        rows, test = bank.of(machine, "train"), bank.of(machine, "test")
        held = validation_mask(bank.dataset.of(machine, "train"), settings.data.validation_fraction).loc[rows.index]
        source = rows[~held & (rows["domain"] == "source")]
        return cls(machine, rows, test, source, rows[held], attributes.parameters(rows))


def _left_out(bank, own, systems, settings, classes):
    """`LeftOut` rows of one machine."""
    machine, training, found = own.machine, own.training, []
    for rows, split, use in ((training, "train", "train on"), (own.test, "test", "score")):
        if rows.empty:
            return [LeftOut(machine, "", _no_clips(bank, machine, split, use))]
    if settings.baselines and (why := _too_short(training, settings.autoencoder)):
        found.append(LeftOut(machine, BASELINE, why))
    if SPECTRUM in settings.beyond and len(training) < SPECTRUM_CLIPS:
        why = f"{len(training)} training clips to compare with, at least {SPECTRUM_CLIPS} needed; record more"
        found.append(LeftOut(machine, SPECTRUM, why))
    if SHARED in settings.beyond and (why := _nothing_shared(training, classes)):
        found.append(LeftOut(machine, SHARED, why))
    few = _too_few(own)
    if settings.encoder and (why := few or _no_fit(own, EXTRACTORS[ENCODER], settings)):
        found.append(LeftOut(machine, ENCODER, why))
    common = _no_outlier_exposure(bank, machine) or few
    for system in systems:
        why = common or _no_attributes(own, system, settings) or _no_fit(own, system, settings)
        found += [LeftOut(machine, system.name, why)] if why else []
    return found


def _nothing_shared(training, classes):
    """Whether the shared extractor has less than two classes, or the machine less than two folds of references."""
    if len(training) < 2:
        return "1 training clip to compare with, at least 2 needed; record more"
    if classes > 1:
        return ""
    return "all training clips are of one machine, domain and attribute: nothing to tell apart; put others beside it"


def _no_clips(bank, machine, split, use):
    rows = bank.dataset.of(machine, split)
    kind = "normal recordings" if split == "train" else "recordings, labelled or not,"
    mend = f"put {kind} into {machine}/{split}"
    if rows.empty:
        return f"no {split} clips to {use}; {mend}"
    problems = bank.problems[bank.problems["file"].isin(rows["path"])]
    first = "".join(f" (first {row.file}: {row.problem})" for row in problems.head(1).itertuples())
    return f"none of its {len(rows)} {split} clips can be used{first}; {mend}"


def _too_short(training, autoencoder):
    vectors = (training["length"] // autoencoder.hop + 2 - autoencoder.frames).clip(lower=1).sum()
    kept = vectors - round(autoencoder.validation_fraction * vectors)
    return "" if kept >= 2 else "fewer than 2 vectors of frames to train on; record more or longer training clips"


def _no_outlier_exposure(bank, machine):
    if bank.train_machines - {machine}:
        return ""
    return (
        "it is the only machine with training clips, and outlier exposure needs others to tell it from; put recordings "
        "of at least one other machine beside it, as <other machine>/train/*.wav"
    )


def _too_few(own):
    if (count := len(own.source)) >= SOURCE_CLIPS:
        return ""
    mend = f"record more into {own.machine}/train"
    return f"{count} usable source clips to train on, at least {SOURCE_CLIPS} needed; {mend}"


def _no_attributes(own, system: System, settings):
    if attributes.trainings(own.parameters, [system], settings):
        return ""
    return "no attribute has two values in its training clips; name them in the files or in attributes_00.csv"


def _no_fit(own, system, settings):
    """Whether GMM and KNN have enough segments in their smallest fit: a fold, where few clips are held out."""
    if not system.families:
        return ""
    inliers = settings.inliers
    counts = sorted(segment_count(length, settings) for length in own.source["length"])
    if inliers.fit_on == "all" or len(own.held) < inliers.calibration_minimum:
        folds = min(inliers.calibration_folds, len(counts))
        counts = counts[: len(counts) - -(-len(counts) // folds)]
    needed = max(2 if "GMM" in system.families else 1, min(inliers.knn_neighbours))
    if sum(counts) >= needed:
        return ""
    families = " and ".join(system.families)
    return f"{sum(counts)} segments for a fit of {families}, at least {needed} needed; record more or longer clips"


def segment_count(length: int, settings: Settings) -> int:
    """Segments of a clip of `length` samples, as many as `frontend.segment_starts` gives."""
    segment = settings.segment_samples
    hop = max(1, round(segment * (1 - settings.frontend.segment_overlap)))
    beyond = max(length - segment, 0)
    return beyond // hop + 1 + bool(beyond % hop)


def _notes(own):
    test = own.test
    if not (own.training["domain"] == "target").any():
        yield "no target-domain training clips: GMM and KNN are fitted on its source clips alone"
    if not (test["label"] != "").any():
        yield "no labelled test clips: scores and decisions, but no metrics"
    domains = sorted(set(test.loc[test["label"] != "", "domain"]) - {""})
    if len(domains) == 1:
        yield f"labelled test clips of one domain ({domains[0]}): no metrics of the other"
