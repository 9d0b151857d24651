"""Detectors on the three fit sets: fitted, calibrated, kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scored import embeddings

from lib.detection import detectors, inliers
from lib.network.embeddings import Embeddings, concatenate
from lib.settings import Inliers

INLIERS = Inliers(gmm_components=(1, 2), knn_neighbours=(1, 2))


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


def test_all_training_clips_can_be_fitted_on(machine):
    scored = detectors.score_machine(machine, ("KNN",), INLIERS.model_copy(update={"fit_on": "all"}), seed=0)
    assert scored.calibration == "5 folds over the training clips"
    assert len(scored.detectors["KNN", "source"].references) == 3 * (40 + 12)


def test_calibration_by_the_test_clips(machine):
    inliers = INLIERS.model_copy(update={"calibration": "test"})
    test = detectors.score_machine(machine, ("KNN",), inliers, seed=0).scores.query("part == 'test'")
    assert np.allclose(test.groupby(["detector", "fit_set", "aggregator"])["standardized"].mean(), 0)


def test_saved_detectors_score_the_same(machine, tmp_path):
    scored = detectors.score_machine(machine, ("GMM", "KNN"), INLIERS, seed=0)
    detectors.save_detectors(tmp_path, scored, {"machine": "fan"})
    again = detectors.score_clips(detectors.load_detectors(tmp_path), machine.part("test"))
    merged = scored.scores.query("part == 'test'").merge(again, on=["detector", "fit_set", "aggregator", "clip"])
    assert len(merged) == 12 * 2 * 60 and np.allclose(merged["score_x"], merged["score_y"], rtol=1e-4, atol=1e-3)
    facts = json.loads((tmp_path / "detectors.json").read_text())
    assert facts["machine"] == "fan" and len(facts["detectors"]) == 24 and facts["effective_rank"]["KNN|source"] == 6


def test_a_system_without_families_is_told_where_its_scores_are(machine):
    with pytest.raises(ValueError, match="its flow scored the clips"):
        detectors.score_machine(machine, (), INLIERS, seed=0)


def weigh(table, seed=9):
    """The same clips with power weights that differ."""
    weight = np.random.default_rng(seed).random(len(table.clip)) ** 4
    return replace(table, weight=weight / np.bincount(table.clip, weight)[table.clip])


def test_weighted_scores_are_by_power_and_plain_ones_by_none(machine):
    test = weigh(machine.part("test"))
    fitted = detectors.fit_detectors(machine.part("train"), ("KNN",), INLIERS, 0)
    scores = detectors.score_clips(fitted, test).query("detector == 'KNN-2' and fit_set == 'source'")
    segments = fitted["KNN", "source"].score(test.vectors)["KNN-2"].reshape(-1, 3)
    by = {name: here["score"].to_numpy() for name, here in scores.groupby("aggregator")}
    assert np.allclose(by["plain"], segments.mean(axis=1))
    assert np.allclose(by["weighted"], (segments * test.weight.reshape(-1, 3)).sum(axis=1))
    assert not np.allclose(by["plain"], by["weighted"], atol=0.01)
    assert scores[scores["aggregator"] == "plain"]["clip"].tolist() == test.clips["stem"].tolist()


def test_what_each_set_holds():
    """Each part's segments are a number of their own."""
    parts = [
        ("train", "source", 1.0),
        ("train", "target", 2.0),
        ("pseudo_target", "source", 3.0),
        ("validation", "source", 4.0),
    ]
    table = concatenate(
        [replace(e := embeddings(p, d, "normal", 4), vectors=np.full_like(e.vectors, v)) for p, d, v in parts]
    )
    held = {name: set(np.unique(v)) for name, v in detectors.fit_sets(table).items()}
    assert held == {"source": {1.0}, "pseudo_target": {1.0, 3.0}, "source+target": {1.0, 2.0}}
    assert set(np.unique(detectors.fit_sets(table, "alone")["pseudo_target"])) == {3.0}


def test_the_settings_choose_the_pseudo_target_set(machine):
    for choice, clips in (("with_source", 80), ("alone", 40)):
        inliers = INLIERS.model_copy(update={"pseudo_target": choice})
        fitted = detectors.fit_detectors(machine.part("train", "pseudo_target"), ("KNN",), inliers, 0)
        assert len(fitted["KNN", "pseudo_target"].references) == 3 * clips


def test_as_many_validation_clips_as_the_minimum_calibrate(machine):
    for minimum, rule in ((12, "12 validation clips"), (13, "5 folds over the training clips")):
        inliers = INLIERS.model_copy(update={"calibration_minimum": minimum})
        assert detectors.score_machine(machine, ("KNN",), inliers, 0).calibration == rule
    by_test = detectors.score_machine(machine, ("KNN",), INLIERS.model_copy(update={"calibration": "test"}), 0)
    assert by_test.calibration == "the test clips" and set(by_test.scores["part"]) == {"test", "calibration"}


def test_no_detector_hears_validation_or_test_clips(machine):
    """Moved a thousand deviations away, they change their own scores and no detector."""
    away = machine.clips["part"].isin(["validation", "test"]).to_numpy()[machine.clip]
    moved = replace(machine, vectors=machine.vectors + 1000 * away[:, None].astype(np.float32))
    here, there = (detectors.score_machine(m, ("GMM", "KNN"), INLIERS, 0).detectors for m in (machine, moved))
    for key, family in here.items():
        for name, value in family.state().items():
            assert np.array_equal(value, there[key].state()[name]), (key, name)


def test_fewer_source_clips_than_folds_are_a_fold_each(machine):
    clips = machine.clips
    kept = (clips["part"] == "test") | ((clips["part"] == "train") & (clips["stem"].str[-3:].astype(int) < 3))
    scored = detectors.score_machine(machine.take(kept), ("KNN",), INLIERS, 0)
    assert scored.calibration == "3 folds over the training clips"


def test_every_fold_has_clips_of_both_domains_where_it_can(machine, monkeypatch):
    held = []
    monkeypatch.setattr(detectors, "fit_detectors", lambda *_: None)
    monkeypatch.setattr(detectors, "score_clips", lambda _, e: held.append(e.clips) or e.clips)
    detectors._cross_scores(machine.part("train", "pseudo_target"), ("KNN",), INLIERS, 0)
    assert [len(clips) for clips in held] == [10, 9, 9, 9, 9] or sorted(map(len, held)) == [9, 9, 9, 9, 10]
    assert all((clips["domain"] == "target").sum() in (1, 2) and set(clips["part"]) == {"train"} for clips in held)
    names = [clips["stem"].tolist() for clips in held]
    assert names != sorted(names) and sum(map(len, names)) == 46  # drawn by a digest of the name, not in its order


def test_the_seed_reaches_the_mixtures(machine):
    inliers = INLIERS.model_copy(update={"gmm_components": (8,), "gmm_reg_covar": 1e-3})
    first, other = (detectors.score_machine(machine, ("GMM",), inliers, seed).scores["score"] for seed in (0, 1))
    assert not np.allclose(first, other)


def test_silent_training_clips_are_said_and_no_score_is_infinite(machine, capsys):
    """Embeddings of silent clips are all the same; here those that the detectors are fitted on, and no others."""
    quiet = machine.clips["part"].isin(["train", "pseudo_target"]).to_numpy()[machine.clip]
    silent = replace(machine, vectors=np.where(quiet[:, None], 0, machine.vectors).astype(np.float32))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="no detector is left; are the clips silent"):
        detectors.score_machine(silent, ("GMM", "KNN"), INLIERS, 0)
    assert "gives scores that are not finite" in capsys.readouterr().out


def test_a_machine_that_is_silent_in_part_is_scored(machine):
    """Every third clip of every part: finite scores for all."""
    third = (np.arange(len(machine.clips)) % 3 == 0)[machine.clip]
    silent = replace(machine, vectors=np.where(third[:, None], 0, machine.vectors).astype(np.float32))
    scored = detectors.score_machine(silent, ("GMM", "KNN"), INLIERS, 0)
    assert np.isfinite(scored.scores["standardized"]).all() and len(scored.scores) == 24 * (60 + 12)


def test_a_machine_without_test_clips_is_refused(machine):
    with pytest.raises(ValueError, match=r"no usable test clips to score; see problems\.csv of 01_data_audit"):
        detectors.score_machine(machine.part("train", "validation"), ("KNN",), INLIERS, 0)


@pytest.mark.parametrize(
    "parts", [("train", "pseudo_target", "validation", "test"), ("train", "pseudo_target", "test")]
)
def test_a_device_computes_what_can_be_computed_on_one(machine, monkeypatch, parts):
    """KNN's distances, those of the folds too; a wrong one is not hidden by the CPU."""
    told, real = set(), inliers.nearest_distances
    monkeypatch.setattr(inliers, "nearest_distances", lambda *given: told.add(given[3]) or real(*given[:3]))
    detectors.score_machine(machine.part(*parts), ("GMM", "KNN"), INLIERS, 0, "cuda:1")
    assert told == {"cuda:1"}
