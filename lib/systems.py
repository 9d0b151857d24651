"""Table 1 as data: what each system trains and which detectors score its clips. A new system is one more row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One row of Table 1.

    Attributes:
        name: as in the paper's tables.
        losses: weight of each term of `losses.TERMS` in the training loss.
        detectors: families of `inliers.FAMILIES` fitted on the embeddings.
        inlier_models: the paper's column "Inlier models".
    """

    name: str
    losses: dict[str, float]
    detectors: tuple[str, ...]
    inlier_models: str


SYSTEMS = {
    system.name: system
    for system in (System("OE", losses={"machine": 1.0}, detectors=("GMM", "KNN"), inlier_models="GMM and KNN"),)
}


def find_system(name):
    """The system of that name; ValueError names the known ones."""
    if name not in SYSTEMS:
        raise ValueError(f"unknown system {name!r}; known: {', '.join(SYSTEMS)}")
    return SYSTEMS[name]
