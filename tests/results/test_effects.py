"""Paired differences of made runs, most with numbers that are worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from makers import clip_table, long_form, made

from lib.detection import ensembles
from lib.detection.metrics import interval, machine_scores
from lib.results import effects, plots_tables
from lib.settings import Evaluation
from lib.systems import SYSTEMS

EVALUATION = Evaluation(bootstrap=60, weighted_machines=("ToyCar",))
CLIPS = clip_table(test=10, calibration=2)
PERFECT = (CLIPS["label"] == "anomaly").to_numpy() * 10.0 + np.arange(len(CLIPS)) / 100


def evaluated(*tables):
    return effects.evaluate(pd.concat(tables, ignore_index=True), EVALUATION)


def test_identical_sides_differ_by_exactly_nothing():
    scores = made(systems=("OE",))
    table = evaluated(scores, scores.assign(system="OE-Flow"))
    joint = table[table["effect"] == "joint training"]
    assert len(joint) == 3 * 3 and set(joint["machine"]) == {"fan", "ToyCar", "overall"}
    assert (joint[["difference", "low", "high"]] == 0).all(axis=None)


def test_perfect_against_reversed_is_a_hundred_points():
    table = evaluated(long_form(CLIPS, -PERFECT, system="OE"), long_form(CLIPS, PERFECT, system="OE-Flow"))
    joint = table[(table["effect"] == "joint training") & (table["score"] != "hmean")]
    assert np.allclose(joint[["difference", "low", "high"]], 100) and set(joint["system"]) == {"OE-Flow − OE"}


def test_joint_training_is_seen_without_the_flow_detector():
    same = [long_form(CLIPS, -PERFECT, system=system) for system in ("OE", "OE-Flow", "OE-DFlow")]
    table = evaluated(*same, long_form(CLIPS, PERFECT, system="OE-Flow", detector="flow", fit_set=""))
    assert set(table["effect"]) == {"joint training", "invariant latent"} and (table["difference"] == 0).all()


def test_the_difference_is_paired():
    """Both sides share their noise, so the interval is far narrower than one of independent sides."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, len(CLIPS)) + 0.5 * (CLIPS["label"] == "anomaly")
    near = noise + rng.normal(0, 0.05, len(CLIPS))
    table = evaluated(long_form(CLIPS, noise, system="OE"), long_form(CLIPS, near, system="OE-Flow"))
    row = table.query("machine == 'fan' and score == 'auc_source' and effect == 'joint training'").iloc[0]
    test = CLIPS["part"] == "test"
    alone = machine_scores(noise[test], CLIPS["domain"][test], CLIPS["label"][test], resamples=60)["paper"][
        "auc_source"
    ]
    low, high = interval(alone)
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["high"] - row["low"] < 100 * (high - low) / 3


def test_the_overall_difference_is_that_of_the_tables():
    scores = made(systems=("OE", "Serial-OE"))
    rows = ensembles.system_rows(ensembles.detector_scores(scores, EVALUATION.weighted_machines))
    table = ensembles.evaluate(rows, resamples=0).query("rule == 'paper' and machine == 'overall' and score == 'hmean'")
    value = table.set_index("system")["value"]
    found = evaluated(scores).query("effect == 'attribute task' and machine == 'overall' and score == 'hmean'")
    assert found["difference"].item() == pytest.approx(value["Serial-OE"] - value["OE"])


def test_weighting_is_seen_on_weighted_machines_alone():
    plain = [long_form(CLIPS, -PERFECT, machine=machine) for machine in ("fan", "ToyCar")]
    weighted = [long_form(CLIPS, PERFECT, machine=machine, aggregator="weighted") for machine in ("fan", "ToyCar")]
    table = evaluated(*plain, *weighted)
    assert set(table["effect"]) == {"weighted − plain mean"} and set(table["machine"]) == {"ToyCar", "overall"}
    assert np.allclose(table.loc[table["score"] != "hmean", "difference"], 100)


def test_fit_sets_are_told_apart():
    sides = {"source": -PERFECT, "source+target": PERFECT, "pseudo_target": -PERFECT}
    table = evaluated(*(long_form(CLIPS, values, fit_set=fit_set) for fit_set, values in sides.items()))
    found = table[(table["score"] == "auc_target") & (table["machine"] == "fan")].set_index("effect")["difference"]
    assert found.to_dict() == {"pseudo-target − source fit": 0, "source + target − source fit": 100}


def test_seeds_are_paired_one_by_one():
    """Differences of 100 and 0 points: mean 50, deviation 100 / √2; the third seed has one side alone."""
    table = evaluated(
        long_form(CLIPS, -PERFECT, system="OE", seed=0), long_form(CLIPS, PERFECT, system="OE-Flow", seed=0),
        long_form(CLIPS, PERFECT, system="OE", seed=1), long_form(CLIPS, PERFECT, system="OE-Flow", seed=1),
        long_form(CLIPS, -PERFECT, system="OE", seed=2),
    )  # fmt: skip
    row = table.query("machine == 'fan' and score == 'auc_source' and effect == 'joint training'").iloc[0]
    assert row[["difference", "low", "high"]].tolist() == [50, 50, 50]
    assert row["sd"] == pytest.approx(100 / 2**0.5) and row["seeds"] == 2


def test_an_effect_without_both_sides_is_left_out():
    assert set(evaluated(made(systems=("OE",)))["effect"]) == {
        "weighted − plain mean",
        "source + target − source fit",
    }
    scores = made(systems=("OE", "OE-DFlow"), lacking={"fan": ("OE-DFlow",)})
    assert set(evaluated(scores)["system"]) == {"OE", "OE-DFlow"}
    unlabelled = made().assign(label="")
    assert evaluated(unlabelled).empty and "difference" in evaluated(unlabelled)


def test_a_run_without_the_papers_systems_has_no_effects():
    rows = {"system": "Spectrum (power)", "detector": "power", "fit_set": "", "aggregator": "plain"}
    table = evaluated(made(systems=("OE",)).assign(**rows).drop_duplicates(["machine", "part", "clip"]))
    assert table.empty and "difference" in table


def test_an_effects_rows_are_a_machine_after_the_other():
    table = evaluated(made(systems=("OE", "OE-Flow"))).query("effect == 'joint training'")
    assert table["machine"].drop_duplicates().tolist()[-1] == "overall"
    assert table["score"].tolist() == 3 * list(effects.SCORES)


def test_a_machine_without_one_side_is_not_in_the_overall():
    scores = made(systems=("OE", "Serial-OE"), lacking={"fan": ("Serial-OE",)})
    table = evaluated(scores).query("effect == 'attribute task'")
    wide = table.pivot(index="score", columns="machine", values="difference")
    assert set(wide) == {"ToyCar", "overall"} and np.allclose(wide["ToyCar"], wide["overall"])


def test_the_forest_names_every_effect():
    table = evaluated(made(systems=tuple(SYSTEMS)))
    figure = plots_tables.effects_figure(table)
    names = {text.get_text() for text in figure.axes[0].get_yticklabels()}
    assert names == set(table["effect"]) | set(table["system"])
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
