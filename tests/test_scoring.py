import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import gamma

from lib import ensembles, scoring, tables
from lib.embeddings import Embeddings, concatenate
from lib.settings import Evaluation, Inliers

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
    sizes = {name: len(vectors) for name, vectors in scoring.fit_sets(fitted).items()}
    assert sizes == {"source": 120, "pseudo_target": 240, "source+target": 138}
    assert len(scoring.fit_sets(fitted, "alone")["pseudo_target"]) == 120
    assert list(scoring.fit_sets(embeddings("train", "source", "normal", 4))) == ["source"]


def test_calibration_clips_are_unseen_and_standardised(machine):
    scored = scoring.score_machine(machine, ("GMM", "KNN"), INLIERS, seed=0)
    assert scored.calibration == "12 validation clips"
    calibration = scored.scores[scored.scores["part"] == "calibration"]
    by_detector = calibration.groupby(["detector", "fit_set", "aggregator"])["standardized"]
    assert len(by_detector) == 4 * 3 * 2
    assert np.allclose(by_detector.mean(), 0) and np.allclose(by_detector.std(ddof=0), 1)
    test = scored.scores[scored.scores["part"] == "test"]
    assert test.groupby("label")["standardized"].mean()["anomaly"] > 2
    assert (calibration["score"] > 0)[calibration["detector"] == "KNN-1"].all()


def test_few_held_out_clips_are_replaced_by_folds(machine):
    scored = scoring.score_machine(machine.part("train", "pseudo_target", "test"), ("KNN",), INLIERS, seed=0)
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
    monkeypatch.setattr(scoring, "fit_detectors", lambda e, *_: heard.append(e.clips))
    monkeypatch.setattr(scoring, "score_clips", lambda _, e: scored.append(set(e.clips["stem"])) or e.clips)
    _, folds = scoring._cross_scores(fitted, ("KNN",), INLIERS, 0)
    assert folds == 5 and set.union(*scored) == set(machine.part("train").clips["stem"])
    for fit, held in zip(heard, scored, strict=True):
        assert not held & (set(fit["stem"]) | set(fit["partner"])) and (fit["part"] == "pseudo_target").any()


def test_nothing_left_to_score_with_is_said():
    rows = pd.DataFrame({"detector": "A", "fit_set": "source", "aggregator": "plain", "part": ["calibration", "test"],
                         "clip": ["x", "y"], "score": 1.0})  # fmt: skip
    with pytest.raises(ValueError, match="are the clips silent"):
        scoring.standardize(rows, "calibration")


def test_a_detector_that_misses_calibration_clips_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A", "B", "B", "A", "B"], "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration"] * 3 + ["test"] * 2, "clip": ["x", "x", "y", "z", "z"], "score": [1.0, 1, 2, 5, 6]})  # fmt: skip
    assert set(scoring.standardize(rows, "calibration")["detector"]) == {"B"}
    assert "A on source (plain) could not score all calibration clips" in capsys.readouterr().out


def test_all_training_clips_can_be_fitted_on(machine):
    scored = scoring.score_machine(machine, ("KNN",), INLIERS.model_copy(update={"fit_on": "all"}), seed=0)
    assert scored.calibration == "5 folds over the training clips"
    assert len(scored.detectors["KNN", "source"].references) == 3 * (40 + 12)


def test_calibration_by_the_test_clips(machine):
    inliers = INLIERS.model_copy(update={"calibration": "test"})
    test = scoring.score_machine(machine, ("KNN",), inliers, seed=0).scores.query("part == 'test'")
    assert np.allclose(test.groupby(["detector", "fit_set", "aggregator"])["standardized"].mean(), 0)


def test_a_detector_without_spread_is_dropped(capsys):
    rows = pd.DataFrame({"detector": ["A"] * 4 + ["B"] * 4, "fit_set": "source", "aggregator": "plain",
                         "part": ["calibration", "calibration", "test", "test"] * 2, "clip": list("wxyz") * 2, "score": [1.0, 1, 5, 6, 1, 2, 5, 6]})  # fmt: skip
    kept = scoring.standardize(rows, "calibration")
    assert set(kept["detector"]) == {"B"} and "A on source" in capsys.readouterr().out


def test_saved_detectors_score_the_same(machine, tmp_path):
    scored = scoring.score_machine(machine, ("GMM", "KNN"), INLIERS, seed=0)
    scoring.save_detectors(tmp_path, scored, {"machine": "fan"})
    again = scoring.score_clips(scoring.load_detectors(tmp_path), machine.part("test"))
    merged = scored.scores.query("part == 'test'").merge(again, on=["detector", "fit_set", "aggregator", "clip"])
    assert len(merged) == 12 * 2 * 60 and np.allclose(merged["score_x"], merged["score_y"], rtol=1e-4, atol=1e-3)
    facts = json.loads((tmp_path / "detectors.json").read_text())
    assert facts["machine"] == "fan" and len(facts["detectors"]) == 24 and facts["effective_rank"]["KNN|source"] == 6


def test_threshold_is_the_gamma_quantile():
    scores = gamma.rvs(3, 0, 2, size=4000, random_state=0)
    threshold, fit = scoring.decision_threshold(scores)
    assert fit == "gamma" and threshold == pytest.approx(gamma.ppf(0.9, 3, 0, 2), rel=0.03)
    assert scoring.decision_threshold(np.full(20, 1.5)) == (1.5, "empirical")


def run_scores(machine, names=("fan", "ToyCar"), seeds=(0,)):
    scored = scoring.score_machine(machine, ("GMM", "KNN"), INLIERS, 0).scores
    return pd.concat([
        scored.assign(machine=name, system="OE", parameter="all", seed=seed, score=scored["score"] + seed)
        for name in names for seed in seeds
    ], ignore_index=True)  # fmt: skip


def test_rows_of_both_protocols(machine, monkeypatch):
    monkeypatch.setattr(ensembles, "TOP", 2)
    detectors = ensembles.detector_scores(run_scores(machine), Evaluation().weighted_machines)
    ranking = ensembles.rank_detectors(detectors)
    assert len(ranking) == 12 and ranking["overall"].is_monotonic_decreasing
    rows = ensembles.system_rows(detectors, ranking)
    calibration = rows[rows["part"] == "calibration"].groupby(["machine", "protocol"])["score"]
    assert np.allclose(calibration.mean(), 0) and np.allclose(calibration.std(ddof=0), 1)
    best = detectors[detectors["detector"].isin(ranking["detector"][:2]) & (detectors["machine"] == "fan")]
    mean = best.groupby("clip")["score"].mean()
    top = rows.query("protocol == 'top20' and machine == 'fan'").set_index("clip")["score"]
    assert np.corrcoef(mean.loc[top.index], top)[0, 1] == pytest.approx(1)


def test_each_machine_takes_its_own_aggregator(machine):
    scores = run_scores(machine)
    scores["standardized"] = np.where(scores["aggregator"] == "weighted", 1.0, 0.0)
    means = ensembles.detector_scores(scores, ("ToyCar",)).groupby("machine")["score"].mean()
    assert means["ToyCar"] == 1 and means["fan"] == 0


def test_parameters_are_averaged_before_detectors(machine):
    one = run_scores(machine, ("fan",))
    both = pd.concat([one.assign(parameter="car"), one.assign(parameter="spd", standardized=one["standardized"] + 2)])
    merged = ensembles.detector_scores(both, ())
    assert np.allclose(merged["score"] - 1, ensembles.detector_scores(one, ())["score"])


def evaluated(machine, **kind):
    detectors = ensembles.detector_scores(run_scores(machine, **kind), ())
    rows = ensembles.system_rows(detectors, ensembles.rank_detectors(detectors))
    return rows, tables.evaluate(rows, resamples=50)


def test_tables_in_the_papers_layout(machine, tmp_path):
    _, evaluation = evaluated(machine)
    table = tables.layout(evaluation, 4, "all", "paper", beside_paper=True)
    assert list(table.columns) == ["inlier models", "fan", "ToyCar", "overall"]
    assert table.loc[("OE", "paper"), "ToyCar"] == "52.98" and table.loc[("OE", "paper"), "overall"] == "–"
    value = evaluation.query("protocol == 'all' and rule == 'paper' and machine == 'fan' and score == 'hmean'")[
        "value"
    ].item()
    assert table.loc[("OE", "ours"), "fan"].startswith(f"{value:.2f} [")
    assert "paper" not in tables.layout(evaluation, 4, "all", "paper", beside_paper=False).index.get_level_values(
        "whose"
    )
    official = tables.layout(evaluation, 4, "all", "official", beside_paper=True)
    assert "paper" not in official.index.get_level_values("whose")
    written = tables.write_tables(evaluation, tmp_path, beside_paper=False)
    assert len(written) == 3 * 2 * 2 * 3 and {p.suffix for p in written} == {".csv", ".md", ".tex"}
    assert "52.98" not in "".join(p.read_text() for p in written)
    assert (tmp_path / "table2_all_paper.tex").read_text().count(r"\toprule") == 1


def test_seeds_give_mean_and_deviation(machine):
    _, evaluation = evaluated(machine, seeds=(0, 1, 2))
    assert (evaluation["seeds"] == 3).all() and evaluation["sd"].notna().all()
    assert "(0.00)" in tables.layout(evaluation, 2, "all", "paper", False).loc[("OE", "ours"), "fan"]


def test_decisions_of_a_system(machine):
    rows, _ = evaluated(machine)
    found = tables.decisions(rows, 0.9)
    assert len(found) == 4 and (found["recall"] > 0.5).all() and found["threshold"].between(0.5, 3).all()


def test_unlabelled_clips_get_scores_and_no_metric(machine):
    scores = run_scores(machine)
    scores["label"] = np.where(scores["part"] == "test", "", scores["label"])
    detectors = ensembles.detector_scores(scores, ())
    ranking = ensembles.rank_detectors(detectors)
    rows = ensembles.system_rows(detectors, ranking)
    assert ranking.empty and set(rows["protocol"]) == {"all"} and rows["score"].notna().all()
    assert tables.evaluate(rows).empty
    decided = tables.decisions(rows, 0.9)
    assert len(decided) == 2 and decided["threshold"].notna().all() and "precision" not in decided


def test_a_machine_without_all_labels_is_left_out_of_the_overall(machine):
    scores = run_scores(machine)
    odd = (scores["machine"] == "fan") & (scores["domain"] == "target") & (scores["label"] == "anomaly")
    detectors = ensembles.detector_scores(scores[~odd], ())
    ranking = ensembles.rank_detectors(detectors)
    assert len(ranking) == 12 and ranking["overall"].notna().all()
    evaluation = tables.evaluate(ensembles.system_rows(detectors, ranking))
    chosen = evaluation.query("protocol == 'all' and rule == 'paper' and score == 'hmean'").set_index("machine")[
        "value"
    ]
    assert np.isnan(chosen["fan"]) and chosen["overall"] == pytest.approx(chosen["ToyCar"])


def test_a_run_without_scores(run):
    with pytest.raises(ValueError, match="05_inlier_fitting"):
        ensembles.read_scores(run, ["fan"])
