"""What tests of detection and results make: rows of made scores, embeddings, and a notebook's cells executed here."""

import json

import numpy as np
import pandas as pd
from makers import made
from matplotlib import pyplot as plt

from lib.detection import ensembles
from lib.detection.ranking import rank_detectors
from lib.network.embeddings import Embeddings
from lib.paths import NOTEBOOKS
from lib.systems import SYSTEMS


def rows_of(scores, weighted=(), systems=tuple(SYSTEMS)):
    """Rows of both protocols, ensembles included."""
    detectors = ensembles.detector_scores(scores, weighted)
    ranking = rank_detectors(detectors)
    return ensembles.add_submitted(ensembles.system_rows(detectors, ranking), systems)


def evaluated(resamples=0, **run):
    """Every score of a made run."""
    return ensembles.evaluate(rows_of(made(**run)), resamples=resamples)


def embeddings(part, domain, label, clips, shift=0.0, seed=0, segments=3, d=6):
    """`Embeddings` of normal noise around `shift`, `segments` a clip, d channels."""
    rng = np.random.default_rng(seed)
    n = clips * segments
    table = pd.DataFrame({"stem": [f"{part}{domain}{label}{i:03d}" for i in range(clips)], "part": part,
                          "domain": domain, "label": label, "attributes": "{}", "partner": ""})  # fmt: skip
    vectors = rng.standard_normal((n, d)).astype(np.float32) + shift
    return Embeddings(vectors, np.repeat(np.arange(clips), segments), np.full(n, 1 / segments), table)


def run_cells(notebook, **parameters):
    """Execute a notebook's code cells in this process with other parameters; returns the names that it leaves."""
    names = {}
    for cell in json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            names |= parameters if "parameters" in cell["metadata"].get("tags", ()) else {}
    plt.close("all")
    return names
