"""The paper's machines and Table 1 as data: what each system trains and which detectors score its clips.

A new system is one more row.
"""

from dataclasses import dataclass
from typing import NamedTuple

ALL = "all"  # parameter of a system that is trained once
DEVELOPMENT_MACHINES = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")  # of Tables 2–4


@dataclass(frozen=True)
class System:
    """One row of Table 1.

    Attributes:
        name: as in the paper's tables.
        losses: the terms of `losses.TERMS` in its training loss.
        latent: of the flow: "standard", N(0, 1); "invariant", z_d and z_c (Sec. 3.1); "" without a flow.
        detectors: families of `detectors.FAMILIES` and `OF_CLIPS` fitted on the embeddings, and "flow".
        inlier_models: the paper's column "Inlier models".
        of_all: whether one training, or none, is for all machines of a run.
    """

    name: str
    losses: tuple[str, ...]
    latent: str
    detectors: tuple[str, ...]
    inlier_models: str
    of_all: bool = False

    @property
    def families(self) -> tuple[str, ...]:
        """The detectors that are fitted on embeddings (05_inlier_fitting)."""
        return tuple(name for name in self.detectors if name != "flow")

    @property
    def notebook(self) -> str:
        """The notebook that trains it."""
        if self.of_all:
            return "09_shared_extractor" if self.losses else "10_frozen_encoder"
        return "04_joint_flow_training" if self.latent else "03_oe_training"

    @property
    def without_flow(self) -> str:
        """The system of the same losses but L_Flow."""
        return "Serial-OE" if "attribute" in self.losses else "OE"

    @property
    def per_parameter(self) -> bool:
        """Whether it is trained once per attribute parameter, and averaged over them."""
        return self.latent == "invariant"


class Trained(NamedTuple):
    """One training: where `paths.Run.trained` puts it."""

    machine: str
    system: str
    parameter: str
    seed: int


_OE, _FLOW = ("machine",), ("machine", "flow")
_SERIAL, _SERIAL_FLOW = ("machine", "attribute"), ("machine", "attribute", "flow")
SYSTEMS = {
    system.name: system
    for system in (
        System("OE", _OE, "", ("GMM", "KNN"), "GMM and KNN"),
        System("Serial-OE", _SERIAL, "", ("GMM", "KNN"), "GMM and KNN"),  # Sec. 2; no row of the paper
        System("OE-Flow", _FLOW, "standard", ("GMM", "KNN", "flow"), "GMM, KNN, and Normalizing flow"),
        System("OE-DFlow", _FLOW, "invariant", ("GMM", "KNN"), "GMM and KNN"),
        System("SerialOE-Flow", _SERIAL_FLOW, "standard", ("flow",), "Normalizing flow"),
        System("SerialOE-DFlow", _SERIAL_FLOW, "invariant", ("flow",), "Normalizing flow"),
    )
}
BASELINES = ("Baseline (MSE)", "Baseline (Mahalanobis)")  # one autoencoder, two modes
BASELINE = "Baseline"  # its folder in a run
SUBMITTED = {  # the paper's ensembles of systems, and its words for them
    "Submitted 1": (("OE", "OE-Flow", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow"), "Our all methods"),
    "Submitted 2": (("OE-DFlow", "SerialOE-DFlow"), "OE-DFlow and SerialOE-DFlow"),
    "Submitted 3": (("OE", "OE-Flow", "OE-DFlow"), "OE, OE-Flow, and OE-DFlow"),
    "Submitted 4": (("OE", "OE-Flow", "OE-DFlow", "SerialOE-DFlow"), "Our methods except for SerialOE-Flow"),
}
SPECTRUM, SHARED, ENCODER = "Spectrum", "Shared", "Encoder"  # beyond the paper; folders in a run
BEYOND = (SPECTRUM, SHARED)
ALONE = ("02_autoencoder_baseline", "08_spectrum_reference")  # notebooks that hear a machine's own clips and no other's
SPECTRA = tuple(f"Spectrum ({view})" for view in ("level", "modulation", "both", "power", "flux"))
FUSIONS = {  # beyond the paper: means of rows, never in Submitted 1–4, and what they are
    "Spectrum": (("Spectrum (power)", "Spectrum (flux)"), "power and flux of each band; no training"),
    "Shared + Spectrum": ((SHARED, "Spectrum"), "Shared and Spectrum"),
    "Shared + OE": ((SHARED, "OE"), "Shared and OE"),
    "Spectrum + Submitted 1": (("Spectrum", "Submitted 1"), "Spectrum and Submitted 1"),
}
SPECTRUM_CLIPS = 4  # training clips that Spectrum needs: of two domains a fold leaves two, which have a covariance
EXTRACTORS = SYSTEMS | {  # every system that has one
    SHARED: System(SHARED, ("adacos",), "", ("cosine",), "nearest training clip by cosine", of_all=True),
    ENCODER: System(ENCODER, (), "", ("GMM", "KNN", "cosine"), "GMM, KNN, and nearest by cosine", of_all=True),
}
ROWS_OF = {BASELINE: BASELINES, SPECTRUM: SPECTRA}  # folders whose scores are of several rows
ENSEMBLES = SUBMITTED | FUSIONS
ROWS = (
    *BASELINES,
    *SYSTEMS,
    *SUBMITTED,
    *SPECTRA,
    SHARED,
    ENCODER,
    *FUSIONS,
)  # of the tables, the paper's in its order


def folder_of(row: str) -> str:
    """The folder of a machine that holds the scores of a row; of an ensemble its name, which is none.

    >>> folder_of("Spectrum (flux)"), folder_of("OE")
    ('Spectrum', 'OE')
    """
    return next((folder for folder, rows in ROWS_OF.items() if row in rows), row)


def score_files_of(system: str) -> tuple[str, ...]:
    """Names of the files of clip scores that a training's folder should hold.

    >>> score_files_of("OE-Flow"), score_files_of("Baseline")
    (('detector_scores.parquet', 'flow_scores.parquet'), ('scores.parquet',))
    """
    if (row := EXTRACTORS.get(system)) is None:
        return ("scores.parquet",)
    fitted = ("detector_scores.parquet",) if row.families else ()
    return fitted + (("flow_scores.parquet",) if "flow" in row.detectors else ())


def find_system(name: str, notebook: str | None = None) -> System:
    """The system of that name.

    Args:
        name: as in the tables. notebook: that must train it; None takes any.

    Raises:
        ValueError: an unknown system, or one that another notebook trains; names the ones that are allowed.
    """
    allowed = [s.name for s in EXTRACTORS.values() if notebook in (None, s.notebook)]
    if name not in EXTRACTORS:
        raise ValueError(f"unknown system {name!r}; known: {', '.join(allowed)}")
    if name not in allowed:
        raise ValueError(f"{name} is trained by {EXTRACTORS[name].notebook}; this notebook trains {', '.join(allowed)}")
    return EXTRACTORS[name]
