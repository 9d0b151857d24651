"""What the study compares: which row of which run with which other (docs/study.md)."""

from dataclasses import dataclass

from lib.detection.nearest import VARIANTS
from lib.paths import PRESETS
from lib.systems import SPECTRA

FOLDER = PRESETS / "study"


@dataclass(frozen=True)
class Side:
    """Whose clip scores.

    Attributes:
        run: name of the preset, and of its run. system: a row of the tables.
        detectors: pattern that the names "detector fit set" match whose mean it is; "" for the row of protocol `all`.
    """

    run: str
    system: str
    detectors: str = ""


@dataclass(frozen=True)
class Table:
    """Rows that are compared with the first of them, {words: side}."""

    title: str
    rows: dict[str, Side]


def words_of(run):
    """The first line of a run's preset, which says what it is."""
    return (FOLDER / f"{run}.yaml").read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rstrip(".")


OE = {run: "OE" for run in ("oe_joint_schedule", "oe")}
FLOWS = {run: "OE-Flow" for run in ("flow_detached", "flow_1e-7", "flow_1e-5", "flow_1e-3")}
SHARED = ("shared", "shared_no_domain", "shared_machine", "shared_one_centre", "shared_no_mixup", "shared_no_shift",
          "shared_150", "shared_600", "shared_windows", "shared_unheard")  # fmt: skip
SPECTRUM = ("spectrum", "spectrum_0", "spectrum_1", "spectrum_16")
RUNS = (*SPECTRUM, *OE, *FLOWS, *SHARED)
DETECTORS = {
    **{f"{family} on {words}": rf"{family}-\d+ {fit_set}" for family in ("GMM", "KNN") for fit_set, words in
       (("source", "source"), ("pseudo_target", "pseudo-target"), (r"source\+target", "source + target"))},
    **{name: rf"{name} extended" for name in VARIANTS},
}  # fmt: skip


def _tables():
    for family, pattern in (("GMM", r"GMM-.*"), ("KNN", r"KNN-.*"), ("flow", "flow")):
        systems = FLOWS if family == "flow" else OE | FLOWS
        yield Table(
            f"Does joint training help? Scores of {family}",
            {words_of(run): Side(run, system, pattern) for run, system in systems.items()},
        )
    yield Table("The shared extractor, one change at a time", {words_of(run): Side(run, "Shared") for run in SHARED})
    yield Table(
        "Spectrum: views and local density",
        {"Spectrum, K = 4": Side("spectrum", "Spectrum")}
        | {view: Side("spectrum", view) for view in SPECTRA}
        | {f"Spectrum: {words_of(run)}": Side(run, "Spectrum") for run in SPECTRUM[1:]},
    )
    for run, system in (("oe", "OE"), ("flow_1e-7", "OE-Flow"), ("shared", "Shared")):
        names = DETECTORS if system != "Shared" else {name: DETECTORS[name] for name in VARIANTS}
        yield Table(
            f"Detectors on {system}",
            {f"{system}, its row of `all`": Side(run, system)}
            | {name: Side(run, system, pattern) for name, pattern in names.items()},
        )


TABLES = tuple(_tables())
