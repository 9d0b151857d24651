"""What a run has trained for a machine, as its folders and its tables say: whole, counted, of one seed."""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lib.detection import score_files
from lib.listening.trained import Ear
from lib.paths import Run, readable
from lib.settings import Settings
from lib.systems import EXTRACTORS, ROWS_OF, SPECTRUM, Trained, score_files_of

FOLDERS = {*EXTRACTORS, *ROWS_OF}  # of a machine, in which something is trained


class Found(NamedTuple):
    """The trainings of a machine, their scores, and the settings and systems of the run's tables."""

    machine: str
    ears: dict[Trained, Ear]
    scores: pd.DataFrame
    settings: Settings
    asked: tuple[str, ...]


def find(folder: Path, seed: int | None = None) -> Found:
    """The trainings under the folder of a machine, or of one trained system.

    Args:
        folder: absolute. seed: of the trainings; without one the smallest.

    Raises:
        ValueError: nothing is trained there, or nothing of that seed.
    """
    one = folder.name.startswith("seed") and folder.parents[1].name in FOLDERS
    machine = folder.parents[2] if one else folder
    run = Run(machine.parent)
    places = [folder] if one else [place for place in sorted(machine.glob("*/*/seed*")) if _is_trained(place)]
    made = {place: _trained(place) for place in places}
    if not one:
        made = {place: which for place, which in made.items() if _counted(run, which)}
    made = {place: which for place, which in made.items() if _whole(run, place, which)}
    files = {place / name: which for place, which in made.items() for name in score_files_of(which.system)}
    if not files:
        there = ", ".join(machines(Run(folder.parent)) if folder.parent.is_dir() else ())
        raise ValueError(
            f"{folder}: nothing trained there, or its detectors are not fitted yet; give the folder of a machine of a "
            "run, outputs/<run>/…, or run the same command again: it goes on where it ended"
            + (f"; beside it are {there}" if there else "")
        )
    seeds = {which.seed for which in files.values() if which.system != SPECTRUM} or {0}
    seed = min(seeds) if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"{folder}: no seed {seed}; it has {', '.join(map(str, sorted(seeds)))}")
    files = {path: which for path, which in files.items() if which.system == SPECTRUM or which.seed == seed}
    ears = {which: Ear(which, path.parent, run.common(which.system, seed)) for path, which in files.items()}
    scores = pd.concat([score_files.load_scores(path).assign(seed=seed) for path in files], ignore_index=True)
    newest = max(ears.values(), key=lambda ear: ear.written)
    settings = _settings_of_tables(run) or newest.settings
    return Found(machine.name, ears, scores, settings, () if one else settings.systems)


def machines(run: Run) -> list[str]:
    """The machines of a run that something is trained for, whole."""
    made = {place: _trained(place) for place in run.root.glob("*/*/*/seed*") if _is_trained(place)}
    made = {place: which for place, which in made.items() if _counted(run, which)}
    return sorted({which.machine for place, which in made.items() if _whole(run, place, which)})


def counted(run: Run, machine: str) -> set[str]:
    """The systems that the run's tables counted for a machine; none before them."""
    return {system for system, _ in _facts_of_tables(run).get("counted", {}).get(machine, [])}


def _is_trained(folder):
    return folder.parents[1].name in FOLDERS and folder.name.removeprefix("seed").isdecimal()


def _whole(run, folder, made):
    """Whether all that scores is there, of one training; one whose detectors are not fitted yet, or are still those of
    an earlier training, is not."""
    ear = Ear(made, folder, run.common(made.system, made.seed))
    files = [folder / name for name in score_files_of(made.system)]
    if not all(path.exists() for path in (*files, (ear.common or folder) / "model.json")):
        return False
    return all(score_files.trained_with(path) == ear.facts.get("made") for path in files)


def _facts_of_tables(run):
    """What 06 wrote on the tables of the run; empty before them."""
    path = run.tables / "run.json"
    if not path.exists():
        return {}
    with readable(path, "run 06_ensemble_and_tables again"):
        return json.loads(path.read_text(encoding="utf-8"))


def _settings_of_tables(run):
    """The settings that the run's tables were made by; None before them."""
    found = _facts_of_tables(run).get("settings")
    return None if found is None else Settings.model_validate(found)


def _counted(run, made):
    """Whether the run's tables counted this training, where they say which; one that they never asked for is left."""
    found = _facts_of_tables(run).get("counted", {}).get(made.machine)
    return found is None or [made.system, made.parameter] in found


def _trained(folder):
    """Which training lies in …/<machine>/<system>/<parameter>/seed<k>."""
    *_, machine, system, parameter, seed = folder.parts
    return Trained(machine, system, parameter, int(seed.removeprefix("seed")))
