"""From segment scores to clip scores, their standardisation, decisions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma
from scored import embeddings
from sklearn.metrics import roc_auc_score

from lib.detection import scoring
from lib.network.embeddings import concatenate
from lib.network.frontend import segment_starts
from lib.network.power import HighPass, column_weights, power_weights
from lib.settings import Inliers

INLIERS = Inliers(gmm_components=(1, 2), knn_neighbours=(1, 2))


def flow_table(part, label, clips, shift=0.0, seed=0, segments=2, height=3, width=4):
    """Clips with score maps, as the joint training leaves them."""
    rng, n = np.random.default_rng(seed), clips * segments
    table = embeddings(part, "source", label, clips, segments=segments)
    columns = rng.random((n, width))
    owner = np.repeat(np.arange(clips), segments)
    columns /= np.bincount(owner, columns.sum(axis=1))[owner][:, None]
    maps = (rng.standard_normal((n, height, width)) + shift + 100).astype(np.float32)
    return replace(table, maps=maps, columns=columns)


def event_clip(anomalous, rng, width=5, segment=16000):
    """A clip whose first half is a quiet hall and whose second half is the machine, and its (segments, width) scores.

    Without an event the detector says anything; with one it sees the fault.
    """
    sound = 30 * rng.standard_normal(64000)
    sound[32000:] += 3000 * rng.standard_normal(32000)
    starts = segment_starts(64000, segment, 0.5)
    heard = starts[:, None] + np.arange(width) * segment // width >= 32000
    blind, seeing = rng.normal(0, 5, heard.shape), rng.normal(0, 0.5, heard.shape) + 0.8 * anomalous
    return sound, starts, np.where(heard, seeing, blind)


def test_clip_scores_aggregate_segments_of_mixed_lengths():
    segments, clip = np.array([1.0, 3, 10, 20, 30]), np.array([0, 0, 1, 1, 1])
    assert scoring.clip_scores(segments, clip).tolist() == [2, 20]
    weights = np.array([0.75, 0.25, 0, 0, 1])
    assert scoring.clip_scores(segments, clip, weights).tolist() == [1.5, 30]
    with pytest.raises(ValueError, match=r"sum to 1; found 0\.9"):
        scoring.clip_scores(segments, clip, weights * 0.9)


def test_a_flow_that_tells_nothing_apart_is_dropped_and_said(capsys):
    table = concatenate([flow_table("test", "normal", 5), flow_table("validation", "normal", 12)])
    scores = scoring.flow_scores(replace(table, maps=np.ones_like(table.maps)), INLIERS)
    assert scores.empty and "flow" in capsys.readouterr().out


def test_a_detector_that_misses_calibration_clips_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A", "B", "B", "A", "B"], "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration"] * 3 + ["test"] * 2, "clip": ["x", "x", "y", "z", "z"], "score": [1.0, 1, 2, 5, 6]})  # fmt: skip
    assert set(scoring.standardize(rows, "calibration")["detector"]) == {"B"}
    assert "A on source (plain) could not score all calibration clips" in capsys.readouterr().out


def test_a_detector_without_spread_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A"] * 4 + ["B"] * 4, "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration", "calibration", "test", "test"] * 2, "clip": list("wxyz") * 2, "score": [1.0, 1, 5, 6, 1, 2, 5, 6]})  # fmt: skip
    kept = scoring.standardize(rows, "calibration")
    assert set(kept["detector"]) == {"B"} and "A on source" in capsys.readouterr().out


def test_threshold_is_the_gamma_quantile():
    scores = gamma.rvs(3, 0, 2, size=4000, random_state=0)
    threshold, fit = scoring.decision_threshold(scores)
    assert fit == "gamma" and threshold == pytest.approx(gamma.ppf(0.9, 3, 0, 2), rel=0.03)
    assert scoring.decision_threshold(np.full(20, 1.5)) == (1.5, "empirical")


def test_flow_scores_are_the_mean_over_frequency_and_weighted_over_time():
    test, held = flow_table("test", "normal", 5, seed=1), flow_table("validation", "normal", 12, seed=2)
    scores = scoring.flow_scores(concatenate([test, held]), INLIERS)
    for aggregator in ("plain", "weighted"):
        found = scores.query(f"part == 'test' and aggregator == '{aggregator}'").set_index("clip")["score"]
        for i, stem in enumerate(test.clips["stem"]):
            maps, weights = test.maps[test.clip == i], test.columns[test.clip == i]
            total = 0.0
            for s in range(2):
                for column in range(4):
                    share = weights[s, column] if aggregator == "weighted" else 1 / 8
                    total += share * sum(maps[s, row, column] for row in range(3)) / 3
            assert found[stem] == pytest.approx(total, rel=1e-6)
    calibration = scores[scores["part"] == "calibration"]
    assert set(calibration["clip"]) == set(held.clips["stem"]) and set(scores["detector"]) == {"flow"}
    assert np.allclose(calibration.groupby("aggregator")["standardized"].mean(), 0)


def test_flow_scores_with_few_held_out_clips_say_what_they_are_calibrated_on(capsys):
    tables = [flow_table("test", "normal", 5), flow_table("validation", "normal", 3), flow_table("train", "normal", 20)]
    scores = scoring.flow_scores(concatenate(tables), INLIERS)
    assert "calibrated on clips that it was trained on" in capsys.readouterr().out
    assert (scores.query("part == 'calibration'")["clip"].str.startswith("train")).all()


def test_clip_map_averages_where_segments_overlap():
    maps = np.stack([np.full((2, 4), 1.0), np.full((2, 4), 3.0)])
    whole = scoring.clip_map(maps, [0, 200], 400, 600)
    assert whole.tolist() == [[1, 1, 2, 2, 3, 3]] * 2
    assert scoring.clip_map(maps[:1], [0], 400, 300).shape == (2, 3)  # a clip shorter than a segment


def test_weighting_beats_the_plain_mean_where_the_beginning_has_no_event():
    """Sec. 3.2, for segments and for the columns of a score map."""
    rng, highpass, labels = np.random.default_rng(0), HighPass(4000, 3500, 16000), np.repeat([0, 1], 40)
    found = {"plain": [], "segments": [], "columns": []}
    for label in labels:
        sound, starts, scores = event_clip(label, rng)
        power, owner = highpass.power(sound), np.zeros(len(starts), int)
        weights = power_weights(power, starts, 16000)
        columns = column_weights(power, starts, 16000, 5)
        found["plain"].append(scoring.clip_scores(scores.mean(axis=1), owner)[0])
        found["segments"].append(scoring.clip_scores(scores.mean(axis=1), owner, weights)[0])
        found["columns"].append(scoring.clip_scores(scores.ravel(), np.repeat(owner, 5), columns.ravel())[0])
    area = {name: roc_auc_score(labels, values) for name, values in found.items()}
    assert area["plain"] < 0.8 and area["segments"] > area["plain"] + 0.1 and area["columns"] > 0.95, area


def table(part, values, detector="KNN-1"):
    clips = [f"{part}{i}" for i in range(len(values))]
    return pd.DataFrame({"part": part, "clip": clips, "score": values}).assign(
        detector=detector, fit_set="source", aggregator="plain"
    )


def test_standardisation_is_by_the_calibration_clips_and_their_population_deviation():
    """Calibration 1, 3, 5: mean 3, deviation √(8/3); the test clips, on another scale, do not count."""
    scores = pd.concat([table("calibration", [1.0, 3, 5]), table("test", [11.0, 99])])
    found = scoring.standardize(scores, "calibration")
    unit = (8 / 3) ** 0.5
    assert found["standardized"].tolist() == pytest.approx([-2 / unit, 0, 2 / unit, 8 / unit, 96 / unit])
    assert found["mean"].eq(3).all() and np.allclose(found["deviation"], unit)
    by_test = scoring.standardize(scores, "test")
    assert by_test["standardized"].tolist()[3:] == [-1, 1] and by_test["mean"].eq(55).all()


def test_each_detector_is_standardised_by_itself():
    rows = [
        table("calibration", [0.0, 2.0]),
        table("calibration", [0.0, 20.0], "KNN-2"),
        table("calibration", [0.0, 200.0]).assign(fit_set="x"),
    ]
    rows += [table("calibration", [0.0, 2000.0]).assign(aggregator="weighted")]
    found = scoring.standardize(pd.concat(rows), "calibration")
    assert found["standardized"].tolist() == [-1, 1] * 4


def test_a_detector_with_a_score_that_is_not_finite_is_dropped_and_said(capsys):
    rows = [
        table("calibration", [0.0, 2.0]),
        table("test", [np.inf]),
        table("calibration", [0.0, 1.0], "KNN-2"),
        table("test", [1.0], "KNN-2"),
    ]
    assert set(scoring.standardize(pd.concat(rows), "calibration")["detector"]) == {"KNN-2"}
    assert "KNN-1 on source (plain) gives scores that are not finite" in capsys.readouterr().out


def test_reference_part_follows_the_settings():
    assert scoring.reference_part(INLIERS) == "calibration"
    assert scoring.reference_part(INLIERS.model_copy(update={"calibration": "test"})) == "test"


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_the_decision_quantile_is_that_of_the_fitted_gamma(quantile):
    """Location fixed at min − 0.01 deviations; shape and scale by maximum likelihood."""
    scores = np.random.default_rng(0).normal(0, 2, 50)
    fitted = gamma.fit(scores, floc=scores.min() - 0.01 * scores.std())
    threshold, fit = scoring.decision_threshold(scores, quantile)
    assert (threshold, fit) == (pytest.approx(gamma.ppf(quantile, *fitted)), "gamma")
    assert scoring.decision_threshold(scores)[0] == pytest.approx(gamma.ppf(0.9, *fitted))


def test_the_empirical_quantile_stands_in_where_no_gamma_fits(monkeypatch):
    assert scoring.decision_threshold([3.0], 0.9) == (3.0, "empirical")
    assert scoring.decision_threshold([0.0, 0.0], 0.9) == (0.0, "empirical")
    assert scoring.decision_threshold(1e6 + np.array([0, 1e-8]), 0.5)[1] == "empirical"
    for broken in (ValueError, RuntimeError, FloatingPointError):
        with monkeypatch.context() as patch:
            patch.setattr(scoring.gamma, "fit", lambda *_, error=broken, **__: (_ for _ in ()).throw(error))
            assert scoring.decision_threshold(np.arange(11.0), 0.8) == (8.0, "empirical")
    monkeypatch.setattr(scoring.gamma, "ppf", lambda *_: np.inf)
    assert scoring.decision_threshold(np.arange(11.0), 0.8) == (8.0, "empirical")


def test_flow_calibration_follows_the_settings():
    """Held-out clips from the minimum on; with `fit_on` all, the training clips and them."""
    parts = [flow_table("test", "normal", 5), flow_table("validation", "normal", 4), flow_table("train", "normal", 6)]
    found = {}
    for minimum, fit_on in ((4, "train"), (5, "train"), (4, "all")):
        inliers = INLIERS.model_copy(update={"calibration_minimum": minimum, "fit_on": fit_on})
        scores = scoring.flow_scores(concatenate(parts), inliers)
        found[minimum, fit_on] = set(scores.loc[scores["part"] == "calibration", "clip"].str[:5])
        assert set(scores["fit_set"]) == {""} and (scores["part"] == "test").sum() == 5 * 2
    assert found == {(4, "train"): {"valid"}, (5, "train"): {"train"}, (4, "all"): {"train", "valid"}}
    by_test = scoring.flow_scores(
        concatenate(parts), INLIERS.model_copy(update={"calibration": "test", "calibration_minimum": 4})
    )
    assert np.allclose(by_test.query("part == 'test'").groupby("aggregator")["standardized"].mean(), 0)


def clip_index(train=4, test=3):
    rows = [("train", f"a{i}", "source", "normal") for i in range(train)] + [
        ("test", f"t{i}", "target", "anomaly") for i in range(test)
    ]
    return pd.DataFrame(rows, columns=["split", "stem", "domain", "label"])


def test_baseline_scores_are_calibrated_on_the_training_clips():
    values = np.array([0.0, 2, 0, 2, 5, 6, 7])
    found = scoring.baseline_scores({"MSE": values, "Mahalanobis": 10 * values}, clip_index(), INLIERS)
    assert set(zip(found["system"], found["detector"], strict=True)) == {
        ("Baseline (MSE)", "MSE"),
        ("Baseline (Mahalanobis)", "Mahalanobis"),
    }
    for _, mode in found.groupby("system"):
        assert mode["standardized"].tolist() == [-1, 1, -1, 1, 4, 5, 6]
        assert mode["part"].tolist() == ["calibration"] * 4 + ["test"] * 3 and mode["clip"].tolist()[-1] == "t2"
    facts = found[["parameter", "aggregator", "fit_set"]].drop_duplicates().values.tolist()
    assert (
        facts == [["all", "plain", ""]]
        and found["domain"].tolist()[-1] == "target"
        and found["label"].tolist()[-1] == "anomaly"
    )


def test_a_baseline_without_test_clips_or_spread_is_refused():
    with pytest.raises(ValueError, match=r"no usable test clips to score; see problems\.csv"):
        scoring.baseline_scores({"MSE": np.zeros(4), "Mahalanobis": np.zeros(4)}, clip_index(test=0), INLIERS)
    with pytest.raises(ValueError, match="both modes score all clips the same; are the clips silent"):
        scoring.baseline_scores({"MSE": np.zeros(7), "Mahalanobis": np.zeros(7)}, clip_index(), INLIERS)
