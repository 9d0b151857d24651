import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma
from sklearn.metrics import roc_auc_score

from lib.detection import detectors, scoring
from lib.network.embeddings import Embeddings, concatenate
from lib.network.frontend import column_weights, highpass, highpassed_power, power_weights, segment_starts
from lib.settings import Inliers

INLIERS = Inliers(gmm_components=(1, 2), knn_neighbours=(1, 2))


def embeddings(part, domain, label, clips, shift=0.0, seed=0, segments=3, d=6):
    rng = np.random.default_rng(seed)
    n = clips * segments
    table = pd.DataFrame({"stem": [f"{part}{domain}{label}{i:03d}" for i in range(clips)], "part": part,
                          "domain": domain, "label": label, "attributes": "{}", "partner": ""})  # fmt: skip
    vectors = rng.standard_normal((n, d)).astype(np.float32) + shift
    return Embeddings(vectors, np.repeat(np.arange(clips), segments), np.full(n, 1 / segments), table)


@pytest.fixture
def machine():
    """A machine whose anomalies are shifted, with 12 held-out clips and pseudo-target clips."""
    return concatenate([
        embeddings("train", "source", "normal", 40, seed=1), embeddings("train", "target", "normal", 6, 0.5, seed=2),
        embeddings("pseudo_target", "source", "normal", 40, 0.2, seed=3),
        embeddings("validation", "source", "normal", 12, seed=4),
        embeddings("test", "source", "normal", 15, seed=5), embeddings("test", "source", "anomaly", 15, 1.5, seed=6),
        embeddings("test", "target", "normal", 15, 0.5, seed=7), embeddings("test", "target", "anomaly", 15, 1.5, seed=8),
    ])  # fmt: skip


def test_clip_scores_aggregate_segments_of_mixed_lengths():
    segments, clip = np.array([1.0, 3, 10, 20, 30]), np.array([0, 0, 1, 1, 1])
    assert scoring.clip_scores(segments, clip).tolist() == [2, 20]
    weights = np.array([0.75, 0.25, 0, 0, 1])
    assert scoring.clip_scores(segments, clip, weights).tolist() == [1.5, 30]
    with pytest.raises(ValueError, match=r"sum to 1; found 0\.9"):
        scoring.clip_scores(segments, clip, weights * 0.9)


def test_fit_sets(machine):
    fitted = machine.part("train", "pseudo_target")
    sizes = {name: len(vectors) for name, vectors in detectors.fit_sets(fitted).items()}
    assert sizes == {"source": 120, "pseudo_target": 240, "source+target": 138}
    assert len(detectors.fit_sets(fitted, "alone")["pseudo_target"]) == 120
    assert list(detectors.fit_sets(embeddings("train", "source", "normal", 4))) == ["source"]


def test_calibration_clips_are_unseen_and_standardised(machine):
    scored = detectors.score_machine(machine, ("GMM", "KNN"), INLIERS, seed=0)
    assert scored.calibration == "12 validation clips"
    calibration = scored.scores[scored.scores["part"] == "calibration"]
    by_detector = calibration.groupby(["detector", "fit_set", "aggregator"])["standardized"]
    assert len(by_detector) == 4 * 3 * 2
    assert np.allclose(by_detector.mean(), 0) and np.allclose(by_detector.std(ddof=0), 1)
    test = scored.scores[scored.scores["part"] == "test"]
    assert test.groupby("label")["standardized"].mean()["anomaly"] > 2
    assert (calibration["score"] > 0)[calibration["detector"] == "KNN-1"].all()


def test_few_held_out_clips_are_replaced_by_folds(machine):
    scored = detectors.score_machine(machine.part("train", "pseudo_target", "test"), ("KNN",), INLIERS, seed=0)
    assert scored.calibration == "5 folds over the training clips"
    calibration = scored.scores[scored.scores["part"] == "calibration"]
    assert set(calibration["clip"]) == set(machine.part("train").clips["stem"])
    assert (calibration.loc[calibration["detector"] == "KNN-1", "score"] > 0.1).all()  # fitted clips would give 0


def test_folds_keep_mixtures_of_a_clip_from_what_scores_it(machine, monkeypatch):
    """A mixed clip may stand in no fit set that scores its source clip or its target clip."""
    targets = machine.part("train").clips.query("domain == 'target'")["stem"].tolist()
    mixed = machine.clips["part"] == "pseudo_target"
    clips = machine.clips.assign(partner=np.where(mixed, np.resize(targets, len(mixed)), ""))
    clips.loc[mixed, "stem"] = clips.loc[clips["part"].eq("train") & clips["domain"].eq("source"), "stem"].to_numpy()
    fitted = Embeddings(machine.vectors, machine.clip, machine.weight, clips).part("train", "pseudo_target")
    heard, scored = [], []
    monkeypatch.setattr(detectors, "fit_detectors", lambda e, *_: heard.append(e.clips))
    monkeypatch.setattr(detectors, "score_clips", lambda _, e: scored.append(set(e.clips["stem"])) or e.clips)
    _, folds = detectors._cross_scores(fitted, ("KNN",), INLIERS, 0)
    assert folds == 5 and set.union(*scored) == set(machine.part("train").clips["stem"])
    for fit, held in zip(heard, scored, strict=True):
        assert not held & (set(fit["stem"]) | set(fit["partner"])) and (fit["part"] == "pseudo_target").any()


def test_nothing_left_to_score_with_is_said(machine):
    silent = replace(machine, vectors=np.zeros_like(machine.vectors))
    with pytest.raises(ValueError, match="no detector is left; are the clips silent"):
        detectors.score_machine(silent, ("KNN",), INLIERS, seed=0)


def test_a_flow_that_tells_nothing_apart_is_dropped_and_said(capsys):
    table = concatenate([flow_table("test", "normal", 5), flow_table("validation", "normal", 12)])
    scores = scoring.flow_scores(replace(table, maps=np.ones_like(table.maps)), INLIERS)
    assert scores.empty and "flow" in capsys.readouterr().out


def test_a_detector_that_misses_calibration_clips_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A", "B", "B", "A", "B"], "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration"] * 3 + ["test"] * 2, "clip": ["x", "x", "y", "z", "z"], "score": [1.0, 1, 2, 5, 6]})  # fmt: skip
    assert set(scoring.standardize(rows, "calibration")["detector"]) == {"B"}
    assert "A on source (plain) could not score all calibration clips" in capsys.readouterr().out


def test_all_training_clips_can_be_fitted_on(machine):
    scored = detectors.score_machine(machine, ("KNN",), INLIERS.model_copy(update={"fit_on": "all"}), seed=0)
    assert scored.calibration == "5 folds over the training clips"
    assert len(scored.detectors["KNN", "source"].references) == 3 * (40 + 12)


def test_calibration_by_the_test_clips(machine):
    inliers = INLIERS.model_copy(update={"calibration": "test"})
    test = detectors.score_machine(machine, ("KNN",), inliers, seed=0).scores.query("part == 'test'")
    assert np.allclose(test.groupby(["detector", "fit_set", "aggregator"])["standardized"].mean(), 0)


def test_a_detector_without_spread_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A"] * 4 + ["B"] * 4, "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration", "calibration", "test", "test"] * 2, "clip": list("wxyz") * 2, "score": [1.0, 1, 5, 6, 1, 2, 5, 6]})  # fmt: skip
    kept = scoring.standardize(rows, "calibration")
    assert set(kept["detector"]) == {"B"} and "A on source" in capsys.readouterr().out


def test_saved_detectors_score_the_same(machine, tmp_path):
    scored = detectors.score_machine(machine, ("GMM", "KNN"), INLIERS, seed=0)
    detectors.save_detectors(tmp_path, scored, {"machine": "fan"})
    again = detectors.score_clips(detectors.load_detectors(tmp_path), machine.part("test"))
    merged = scored.scores.query("part == 'test'").merge(again, on=["detector", "fit_set", "aggregator", "clip"])
    assert len(merged) == 12 * 2 * 60 and np.allclose(merged["score_x"], merged["score_y"], rtol=1e-4, atol=1e-3)
    facts = json.loads((tmp_path / "detectors.json").read_text())
    assert facts["machine"] == "fan" and len(facts["detectors"]) == 24 and facts["effective_rank"]["KNN|source"] == 6


def test_threshold_is_the_gamma_quantile():
    scores = gamma.rvs(3, 0, 2, size=4000, random_state=0)
    threshold, fit = scoring.decision_threshold(scores)
    assert fit == "gamma" and threshold == pytest.approx(gamma.ppf(0.9, 3, 0, 2), rel=0.03)
    assert scoring.decision_threshold(np.full(20, 1.5)) == (1.5, "empirical")


def flow_table(part, label, clips, shift=0.0, seed=0, segments=2, height=3, width=4):
    """Clips with score maps, as the joint training leaves them."""
    rng, n = np.random.default_rng(seed), clips * segments
    table = embeddings(part, "source", label, clips, segments=segments)
    columns = rng.random((n, width))
    owner = np.repeat(np.arange(clips), segments)
    columns /= np.bincount(owner, columns.sum(axis=1))[owner][:, None]
    maps = (rng.standard_normal((n, height, width)) + shift + 100).astype(np.float32)
    return replace(table, maps=maps, columns=columns)


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


def test_weighting_beats_the_plain_mean_where_the_beginning_has_no_event():
    """Sec. 3.2, for segments and for the columns of a score map."""
    rng, sections, labels = np.random.default_rng(0), highpass(4000, 3500, 16000), np.repeat([0, 1], 40)
    found = {"plain": [], "segments": [], "columns": []}
    for label in labels:
        sound, starts, scores = event_clip(label, rng)
        power, owner = highpassed_power(sound, sections), np.zeros(len(starts), int)
        weights = power_weights(power, starts, 16000)
        columns = column_weights(power, starts, 16000, 5)
        found["plain"].append(scoring.clip_scores(scores.mean(axis=1), owner)[0])
        found["segments"].append(scoring.clip_scores(scores.mean(axis=1), owner, weights)[0])
        found["columns"].append(scoring.clip_scores(scores.ravel(), np.repeat(owner, 5), columns.ravel())[0])
    area = {name: roc_auc_score(labels, values) for name, values in found.items()}
    assert area["plain"] < 0.8 and area["segments"] > area["plain"] + 0.1 and area["columns"] > 0.95, area


def test_a_system_without_families_is_told_where_its_scores_are(machine):
    with pytest.raises(ValueError, match="its flow scored the clips"):
        detectors.score_machine(machine, (), INLIERS, seed=0)
