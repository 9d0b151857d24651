"""Golden values: made embeddings → detectors → rows → evaluation. A change of behaviour anywhere between shows here."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scored import embeddings

from lib.detection import detectors, ensembles, scoring
from lib.detection.ranking import rank_detectors
from lib.network.embeddings import concatenate
from lib.settings import Inliers
from lib.systems import SYSTEMS

INLIERS = Inliers(gmm_components=(1, 2), knn_neighbours=(1, 4), calibration_minimum=12)
WEIGHTED = ("ToyCar",)
PARTS = [  # part, domain, label, clips, shift
    ("train", "source", "normal", 24, 0.0), ("train", "target", "normal", 5, 0.5),
    ("pseudo_target", "source", "normal", 24, 0.2), ("validation", "source", "normal", 12, 0.0),
    ("test", "source", "normal", 12, 0.0), ("test", "source", "anomaly", 12, 0.35),
    ("test", "target", "normal", 12, 0.5), ("test", "target", "anomaly", 12, 0.85),
]  # fmt: skip
TRAINED = [("OE", "all"), ("OE-Flow", "all"), ("OE-DFlow", "car"), ("OE-DFlow", "spd")]


def made_embeddings(seed):
    """A machine's embeddings, power weights and score maps, of a seed."""
    table = concatenate([embeddings(*part, seed=100 * seed + i) for i, part in enumerate(PARTS)])
    rng, segments = np.random.default_rng(seed), len(table.clip)
    weight, columns = rng.random(segments) ** 2, rng.random((segments, 4)) ** 2
    shares = np.bincount(table.clip, weight), np.bincount(table.clip, columns.sum(axis=1))
    maps = rng.normal(100, 3, (segments, 3, 4)) + 2 * table.vectors.mean(axis=1)[:, None, None]
    return replace(
        table, weight=weight / shares[0][table.clip], columns=columns / shares[1][table.clip][:, None],
        maps=maps.astype(np.float32),
    )  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    """Rows of two machines, both protocols, and the ranking behind them."""
    tables = []
    for i, machine in enumerate(("fan", "ToyCar")):
        for j, (system, parameter) in enumerate(TRAINED):
            table, facts = (
                made_embeddings(10 * i + j),
                dict(machine=machine, system=system, parameter=parameter, seed=0),
            )
            tables.append(detectors.score_machine(table, SYSTEMS[system].families, INLIERS, 0).scores.assign(**facts))
            if "flow" in SYSTEMS[system].detectors:
                real = table.part("train", "validation", "test")
                tables.append(scoring.flow_scores(real, INLIERS).assign(**facts))
    each = ensembles.detector_scores(pd.concat(tables, ignore_index=True), WEIGHTED)
    ranking = rank_detectors(each, 0.1)
    return ensembles.add_submitted(ensembles.system_rows(each, ranking), ("OE", "OE-Flow", "OE-DFlow")), ranking


EVALUATION = {  # system, rule, machine: AUC source, AUC target, pAUC, harmonic mean [%]
    ("OE", "official", "ToyCar"): [70.4861111, 57.2916667, 50.2923977, 58.2236449],
    ("OE", "official", "fan"): [46.875, 38.1944444, 47.7339181, 43.8182553],
    ("OE", "official", "overall"): [56.3054734, 45.8333333, 48.9797698, 50.0041362],
    ("OE", "paper", "ToyCar"): [59.0277778, 68.75, 50.2923977, 58.3994442],
    ("OE", "paper", "fan"): [35.4166667, 43.0555556, 47.7339181, 41.4304186],
    ("OE", "paper", "overall"): [44.2708333, 52.9503106, 48.9797698, 48.4727385],
    ("OE-DFlow", "official", "ToyCar"): [57.9861111, 57.9861111, 53.9473684, 56.5743087],
    ("OE-DFlow", "official", "fan"): [65.2777778, 60.0694444, 67.1052632, 64.0088642],
    ("OE-DFlow", "official", "overall"): [61.4162754, 59.0093954, 59.8112128, 60.0623977],
    ("OE-DFlow", "paper", "ToyCar"): [43.0555556, 73.6111111, 53.9473684, 54.2031885],
    ("OE-DFlow", "paper", "fan"): [47.2222222, 81.9444444, 67.1052632, 62.1351872],
    ("OE-DFlow", "paper", "overall"): [45.042735, 77.5545635, 59.8112128, 57.8987844],
    ("OE-Flow", "official", "ToyCar"): [66.6666667, 47.2222222, 53.7646199, 54.7684491],
    ("OE-Flow", "official", "fan"): [89.9305556, 68.0555556, 61.2573099, 71.194391],
    ("OE-Flow", "official", "overall"): [76.5705839, 55.7563588, 57.2669227, 61.9104234],
    ("OE-Flow", "paper", "ToyCar"): [48.6111111, 66.6666667, 53.7646199, 55.3801638],
    ("OE-Flow", "paper", "fan"): [84.7222222, 81.25, 61.2573099, 74.1921342],
    ("OE-Flow", "paper", "overall"): [61.7766204, 73.2394366, 57.2669227, 63.4205399],
    ("Submitted 3", "official", "ToyCar"): [72.2222222, 56.5972222, 56.505848, 60.9605569],
    ("Submitted 3", "official", "fan"): [85.0694444, 63.5416667, 65.6432749, 70.2137729],
    ("Submitted 3", "official", "overall"): [78.1211675, 59.868738, 60.7327965, 65.2607977],
    ("Submitted 3", "paper", "ToyCar"): [54.1666667, 77.0833333, 56.505848, 61.0602567],
    ("Submitted 3", "paper", "fan"): [70.1388889, 91.6666667, 65.6432749, 74.2567463],
    ("Submitted 3", "paper", "overall"): [61.1266294, 83.744856, 60.7327965, 67.0150224],
}
INTERVALS = {  # of Submitted 3's harmonic mean, 40 resamples [%]
    ("paper", "fan"): [60.5822809, 84.8989185],
    ("paper", "ToyCar"): [48.7768993, 70.9917144],
    ("paper", "overall"): [56.782912, 75.3969649],
    ("official", "fan"): [62.4698349, 78.7829588],
    ("official", "ToyCar"): [50.6122232, 72.4958516],
    ("official", "overall"): [58.2676972, 73.090505],
}
SCORES = {  # system: standardised scores of fan's first, second and last test clip
    "OE": [0.8148, 0.39125, 1.33694],
    "OE-Flow": [-0.70579, 0.09091, 3.33498],
    "OE-DFlow": [-0.51575, 1.22597, 0.3034],
    "Submitted 3": [-0.20766, 0.87206, 2.54007],
}
THRESHOLD = 2.16039  # of Submitted 3 on fan
RANKED = [
    ["OE", "GMM-1 source"],
    ["OE", "GMM-2 source"],
    ["OE-Flow", "flow"],
    ["OE-Flow", "KNN-4 source"],
    ["OE-DFlow", "GMM-1 source"],
    ["OE-DFlow", "GMM-2 source"],
]  # the best two of each system


def test_golden_evaluation(rows):
    table = ensembles.evaluate(rows[0], 0.1, 40).query("protocol == 'all'")
    wide = table.pivot(index=["system", "rule", "machine"], columns="score", values="value")
    assert len(wide) == 4 * 2 * 3
    for key, values in EVALUATION.items():
        assert wide.loc[key, ["auc_source", "auc_target", "pauc", "hmean"]].tolist() == pytest.approx(
            values, abs=1e-6
        ), key


def test_golden_intervals(rows):
    table = ensembles.evaluate(rows[0], 0.1, 40).query(
        "protocol == 'all' and system == 'Submitted 3' and score == 'hmean'"
    )
    found = table.set_index(["rule", "machine"])[["low", "high"]]
    for key, values in INTERVALS.items():
        assert found.loc[key].tolist() == pytest.approx(values, abs=1e-6), key


def test_golden_scores_and_threshold(rows):
    fan = rows[0].query("protocol == 'all' and machine == 'fan'")
    for system, values in SCORES.items():
        clips = fan[(fan["system"] == system) & (fan["part"] == "test")]["score"].to_numpy()
        assert clips[[0, 1, -1]].tolist() == pytest.approx(values, abs=1e-4), system
    calibration = fan.query("system == 'Submitted 3' and part == 'calibration'")["score"]
    assert scoring.decision_threshold(calibration)[0] == pytest.approx(THRESHOLD, abs=1e-4)


def test_golden_ranking(rows):
    best = rows[1].groupby("system", sort=False).head(2)
    assert best[["system", "detector"]].values.tolist() == RANKED
