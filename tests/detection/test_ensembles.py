"""Rows, ranking and Submitted 1–4, from made clip scores."""

import numpy as np
import pandas as pd
import pytest
from makers import DETECTORS, long_form, made
from scipy.stats import hmean
from scored import evaluated, rows_of

from lib.detection import ensembles
from lib.detection.metrics import machine_scores
from lib.detection.ranking import rank_detectors
from lib.results import tables
from lib.settings import Evaluation
from lib.systems import SUBMITTED, SYSTEMS

HAND = pd.DataFrame(
    [("calibration", f"c{i}", "source", "normal") for i in range(4)] + [("test", "t", "source", "anomaly")],
    columns=["part", "clip", "domain", "label"],
)
ROW_A, ROW_B = [-1.0, 1, -1, 1, 3], [-10.0, -10, 10, 10, 20]  # four calibration clips and a test clip


def hand(values, system, **facts):
    return long_form(HAND, np.array(values), system=system, **facts)


def test_each_machine_takes_its_own_aggregator_and_a_baseline_the_plain_mean():
    scores = made(systems=("OE", "OE-Flow", "Baseline (MSE)"))
    scores["standardized"] = np.where(scores["aggregator"] == "weighted", 1.0, 0.0)
    means = ensembles.detector_scores(scores, ("ToyCar",)).groupby(["machine", "system"])["score"].mean()
    assert means["ToyCar"].to_dict() == {"Baseline (MSE)": 0, "OE": 1, "OE-Flow": 1}
    assert (means["fan"] == 0).all()


def test_a_detector_without_fit_set_has_no_trailing_space():
    names = set(ensembles.detector_scores(made(systems=("OE-Flow",)), ())["detector"])
    assert names == {"flow", *(" ".join(pair) for pair in DETECTORS)}


def test_parameters_are_averaged_before_detectors():
    """KNN-1: (1 + 3) / 2 = 2; KNN-2 of one parameter alone: 4. Their mean is 3; of all three scores it would be 8/3."""
    facts = dict(system="OE-DFlow", machine="fan")
    scores = pd.concat([
        hand([-1, 1, -1, 1, 1], **facts, parameter="a"), hand([-1, 1, -1, 1, 3], **facts, parameter="b"),
        hand([-1, 1, -1, 1, 4], **facts, parameter="a", detector="KNN-2"),
    ])  # fmt: skip
    detectors = ensembles.detector_scores(scores, ())
    test = detectors[detectors["part"] == "test"].set_index("detector")["score"]
    assert test.to_dict() == {"KNN-1 source": 2, "KNN-2 source": 4}
    rows = ensembles.system_rows(detectors)
    assert rows.loc[rows["part"] == "test", "score"].tolist() == [3]


def test_submitted_is_the_mean_of_standardised_rows_by_hand():
    """B is divided by its 10 first; mean calibration (−1, 0, 0, 1), deviation √½; test clip (3 + 2) / 2 · √2."""
    scores = pd.concat([hand(ROW_A, "OE-DFlow"), hand(ROW_B, "SerialOE-DFlow")])
    rows = ensembles.add_submitted(ensembles.system_rows(ensembles.detector_scores(scores, ())), tuple(SYSTEMS))
    found = rows[rows["system"] == "Submitted 2"].set_index("clip")["score"]
    assert found.to_dict() == pytest.approx({"c0": -(2**0.5), "c1": 0, "c2": 0, "c3": 2**0.5, "t": 2.5 * 2**0.5})


def test_an_ensemble_needs_all_its_systems_in_the_settings():
    scores = made(systems=("OE", "OE-DFlow", "OE-Flow"))
    assert set(rows_of(scores, systems=("OE", "OE-DFlow", "OE-Flow"))["system"]) - set(SYSTEMS) == {"Submitted 3"}
    assert set(rows_of(scores, systems=("OE",))["system"]) == set(SYSTEMS) & set(scores["system"])


def test_a_clip_that_a_member_lacks_gets_no_mean_of_fewer(capsys):
    scores = pd.concat([hand(ROW_A, "OE-DFlow"), hand(ROW_B, "SerialOE-DFlow").query("clip != 'c1'")])
    rows = ensembles.add_submitted(ensembles.system_rows(ensembles.detector_scores(scores, ())), tuple(SYSTEMS))
    assert set(rows.loc[rows["system"] == "Submitted 2", "clip"]) == {"c0", "c2", "c3", "t"}
    assert "fan, 0, all: 1 clips not scored for every system; left out: c1" in capsys.readouterr().out


def test_rows_without_a_common_calibration_clip_are_refused():
    scores = pd.concat([hand(ROW_A, "OE-DFlow"), hand(ROW_B, "SerialOE-DFlow")])
    other = (scores["system"] == "OE-DFlow") & (scores["part"] == "calibration")
    scores["clip"] = scores["clip"].where(~other, "x" + scores["clip"])
    rows = ensembles.system_rows(ensembles.detector_scores(scores, ()))
    with pytest.raises(ValueError, match="fan, Submitted 1: no calibration clip has all the scores"):
        ensembles.add_submitted(rows, tuple(SYSTEMS))


def test_seeds_give_mean_and_deviation():
    evaluation = evaluated(seeds=(0, 1, 2), test=5)
    single = [ensembles.evaluate(rows_of(made(seeds=(0, 1, 2), test=5).query(f"seed == {k}"))) for k in range(3)]
    by_seed = [table["value"] for table in single]
    assert (evaluation["seeds"] == 3).all() and (single[0]["seeds"] == 1).all() and single[0]["sd"].isna().all()
    assert np.allclose(evaluation["value"], np.mean(by_seed, axis=0)) and np.allclose(
        evaluation["sd"], np.std(by_seed, axis=0, ddof=1)
    )


def test_unlabelled_clips_get_rows_and_no_metric():
    scores = made(systems=("OE", "OE-DFlow", "SerialOE-DFlow"))
    scores["label"] = np.where(scores["part"] == "test", "", scores["label"])
    assert rank_detectors(ensembles.detector_scores(scores, ())).empty
    rows = rows_of(scores)
    assert set(rows["protocol"]) == {"all"} and rows["score"].notna().all() and "Submitted 2" in set(rows["system"])
    assert ensembles.evaluate(rows).empty


def test_a_machine_without_anomalies_in_a_domain_counts_by_what_it_has():
    """No target anomalies: fan's score is of AUC source and pAUC, and the overall takes its two values with the three."""
    scores = made()
    odd = (scores["machine"] == "fan") & (scores["domain"] == "target") & (scores["label"] == "anomaly")
    ranking = rank_detectors(ensembles.detector_scores(scores[~odd], ()))
    assert len(ranking) == 4 and ranking["overall"].notna().all()
    evaluation = ensembles.evaluate(rows_of(scores[~odd]))
    chosen = evaluation.query("protocol == 'all' and rule == 'paper' and system == 'OE'")
    value = chosen.set_index(["machine", "score"])["value"]
    assert np.isnan(value["fan", "auc_target"])
    assert value["fan", "hmean"] == pytest.approx(hmean([value["fan", "auc_source"], value["fan", "pauc"]]))
    there = [value[m, s] for m in ("fan", "ToyCar") for s in ("auc_source", "auc_target", "pauc")]
    assert value["overall", "hmean"] == pytest.approx(hmean([v for v in there if not np.isnan(v)]))
    assert value["overall", "auc_target"] == pytest.approx(value["ToyCar", "auc_target"])


def test_a_machine_without_anomalies_is_left_out_of_the_overall():
    scores = made()
    odd = (scores["machine"] == "fan") & (scores["label"] == "anomaly")
    evaluation = ensembles.evaluate(rows_of(scores[~odd]))
    chosen = evaluation.query("protocol == 'all' and rule == 'paper' and score == 'hmean' and system == 'OE'")
    chosen = chosen.set_index("machine")["value"]
    assert np.isnan(chosen["fan"]) and chosen["overall"] == pytest.approx(chosen["ToyCar"])
    alone = ensembles.evaluate(rows_of(scores[~odd & (scores["machine"] == "fan")]))
    assert tables.layout(alone, 2, "all", "paper", True).loc[("OE", "ours"), "hmean"] == "–"


@pytest.mark.parametrize("domain", ["source", "target", ""])
def test_a_run_of_one_domain_has_ranking_rows_and_overall(domain):
    scores = made(systems=("OE", "OE-Flow", "OE-DFlow"))
    scores = scores[scores["domain"] == "source"].assign(domain=domain)
    ranking = rank_detectors(ensembles.detector_scores(scores, ()))
    assert len(ranking) == 4 + 5 + 4 and ranking["overall"].between(0, 1).all()
    evaluation = ensembles.evaluate(rows_of(scores), resamples=20)
    auc = "auc_target" if domain == "target" else "auc_source"
    overall = evaluation[evaluation["machine"] == "overall"].set_index(["system", "protocol", "rule", "score"])
    assert {"OE", "Submitted 3"} <= set(overall.index.get_level_values("system"))
    for score in (auc, "pauc", "hmean"):
        assert overall.xs(score, level="score")[["value", "low", "high"]].notna().all(axis=None)
    three = evaluation.query("machine == 'fan' and system == 'OE' and protocol == 'all'").pivot(
        index="rule", columns="score", values="value"
    )
    assert np.allclose(three["hmean"], 2 / (1 / three[auc] + 1 / three["pauc"]))
    assert np.allclose(three.loc["paper", [auc, "pauc"]], three.loc["official", [auc, "pauc"]])


def test_the_members_of_submitted_1_to_4_are_the_papers():
    assert {name: members for name, (members, _) in SUBMITTED.items()} == {
        "Submitted 1": ("OE", "OE-Flow", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow"),
        "Submitted 2": ("OE-DFlow", "SerialOE-DFlow"),
        "Submitted 3": ("OE", "OE-Flow", "OE-DFlow"),
        "Submitted 4": ("OE", "OE-Flow", "OE-DFlow", "SerialOE-DFlow"),
    }


def test_detectors_are_averaged_before_systems():
    """A has detectors of 1 and 5, B one of 9: (3 + 9) / 2, not (1 + 5 + 9) / 3; all calibrate to deviation 1."""
    unit = [-1.0, 1, -1, 1]
    scores = pd.concat([
        hand([*unit, 1.0], "OE-DFlow"), hand([*unit, 5.0], "OE-DFlow", detector="KNN-2"), hand([*unit, 9.0], "SerialOE-DFlow"),
    ])  # fmt: skip
    rows = ensembles.add_submitted(ensembles.system_rows(ensembles.detector_scores(scores, ())), tuple(SYSTEMS))
    test = rows[rows["part"] == "test"].set_index("system")["score"]
    assert test["OE-DFlow"] == 3 and test["Submitted 2"] == 6


def test_a_row_can_be_standardised_by_its_test_clips():
    clips = HAND.assign(part=["calibration", "calibration", "test", "test", "test"])
    scores = long_form(clips, np.array([5.0, 9, 1, 3, 5]), system="OE")
    detectors = ensembles.detector_scores(scores, ())
    unit = (8 / 3) ** 0.5
    by_test = ensembles.system_rows(detectors, reference="test")["score"]
    assert by_test.tolist() == pytest.approx([2 / unit, 6 / unit, -2 / unit, 0, 2 / unit])
    assert ensembles.system_rows(detectors)["score"].tolist() == [-1, 1, -3, -2, -1]


def test_tied_calibration_scores_keep_their_distance():
    """A deviation of zero divides by 1."""
    rows = ensembles.system_rows(ensembles.detector_scores(hand([2.0, 2, 2, 2, 5], "OE"), ()))
    assert rows["score"].tolist() == [0, 0, 0, 0, 3]


@pytest.mark.parametrize("max_fpr", [0.1, 0.4])
def test_p_of_the_partial_area_reaches_every_score(max_fpr):
    scores = made(machines=("fan",), test=10)
    rows = rows_of(scores, systems=())
    fan = rows[(rows["protocol"] == "all") & (rows["part"] == "test")]
    expected = machine_scores(fan["score"], fan["domain"], fan["label"], max_fpr)
    table = (
        ensembles.evaluate(rows, max_fpr)
        .query("protocol == 'all' and machine == 'fan'")
        .set_index(["rule", "score"])["value"]
    )
    for rule, found in expected.items():
        for name, values in found.items():
            assert table[rule, name] == pytest.approx(100 * values[0])
    one = scores.query("detector == 'KNN-1' and fit_set == 'source' and aggregator == 'plain' and part == 'test'")
    known = machine_scores(one["score"], one["domain"], one["label"], max_fpr)["paper"]
    grid = ensembles.evaluate_detectors(scores, Evaluation(max_fpr=max_fpr)).set_index(
        ["detector", "fit_set", "score"]
    )["value"]
    for name, values in known.items():
        assert grid["KNN-1", "source", name] == pytest.approx(100 * values[0])
    assert len(grid) == 4 * 4


def test_each_detector_of_05_has_its_machines_aggregator():
    scores = made(machines=("ToyCar",), test=6)
    plain, weighted = (
        ensembles.evaluate_detectors(scores, Evaluation(weighted_machines=m))["value"] for m in ((), ("ToyCar",))
    )
    only = scores[scores["aggregator"] == "weighted"].assign(aggregator="plain")
    assert np.array_equal(weighted, ensembles.evaluate_detectors(only, Evaluation(weighted_machines=()))["value"])
    assert not np.array_equal(plain, weighted)


def test_intervals_come_with_resamples_and_differ_between_machines():
    rows = rows_of(made(test=6), systems=())
    assert ensembles.evaluate(rows)[["low", "high"]].isna().all(axis=None)
    table = ensembles.evaluate(rows, resamples=30).query("score == 'hmean' and machine != 'overall'")
    assert (table["low"] < table["high"]).all() and table.groupby("rule")["low"].nunique().min() > 1
    other = ensembles.evaluate(rows, resamples=30, seed=7).query("score == 'hmean' and machine != 'overall'")
    assert not np.array_equal(table["low"], other["low"]) and np.array_equal(table["value"], other["value"])
    twins = made(machines=("fan",), test=6)
    both = pd.concat([twins, twins.assign(machine="ToyCar")])
    drawn = (
        ensembles.evaluate(rows_of(both, systems=()), resamples=30)
        .query("rule == 'paper' and score == 'hmean' and protocol == 'all'")
        .set_index("machine")
    )
    assert (
        drawn.loc["fan", "value"] == drawn.loc["ToyCar", "value"]
        and drawn.loc["fan", "low"] != drawn.loc["ToyCar", "low"]
    )


def test_many_left_out_clips_are_named_by_the_first_three(capsys):
    less = hand(ROW_B, "SerialOE-DFlow").query("clip == 'c3' or clip == 't'")
    more = pd.concat([HAND, HAND.iloc[:1].assign(clip="d")])
    scores = pd.concat([long_form(more, np.array([*ROW_A, 0.5]), system="OE-DFlow"), less])
    rows = ensembles.system_rows(ensembles.detector_scores(scores, ()))
    ensembles.add_submitted(rows, tuple(SYSTEMS))
    assert "fan, 0, all: 4 clips not scored for every system; left out: c0, c1, c2 …\n" in capsys.readouterr().out
