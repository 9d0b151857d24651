"""Rows, Submitted 1–4, Tables 1–4 and their figures, from made clip scores."""

import re

import numpy as np
import pandas as pd
import pytest
from makers import DETECTORS, LACKING, long_form, made

from lib.detection import ensembles
from lib.results import plots_tables, tables
from lib.systems import ROWS, SUBMITTED, SYSTEMS


def rows_of(scores, weighted=(), systems=tuple(SYSTEMS)):
    detectors = ensembles.detector_scores(scores, weighted)
    ranking = ensembles.rank_detectors(detectors)
    return ensembles.add_submitted(ensembles.system_rows(detectors, ranking), systems)


def evaluated(resamples=0, **run):
    return ensembles.evaluate(rows_of(made(**run)), resamples=resamples)


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


def test_a_machine_without_a_system_averages_the_others_and_is_marked():
    scores = made(systems=tuple(SYSTEMS), lacking={"fan": LACKING})
    rows = rows_of(scores)
    fan = rows[(rows["machine"] == "fan") & (rows["protocol"] == "all")].pivot(
        index="clip", columns="system", values="score"
    )
    assert set(fan) == {"OE", "OE-Flow", "Submitted 1", "Submitted 3", "Submitted 4"}  # Submitted 2 has none of its own
    mean = (fan["OE"] + fan["OE-Flow"]) / 2
    assert np.corrcoef(mean, fan["Submitted 4"])[0, 1] == pytest.approx(1)
    evaluation = ensembles.evaluate(rows)
    missing = tables.gaps(tables.choose(evaluation, 4, "all", "paper")[0])
    assert missing["Submitted 4", "fan"] == ["OE-DFlow", "SerialOE-DFlow"]
    assert missing["Submitted 3", "fan"] == ["OE-DFlow"] and missing["Serial-OE", "overall"] == ["fan"]
    assert ("Submitted 4", "ToyCar") not in missing and ("Submitted 4", "overall") not in missing
    table = tables.layout(evaluation, 4, "all", "paper", False).droplevel("whose")
    assert table.loc["Submitted 2", "fan"] == table.loc["OE-DFlow", "fan"] == "–"
    assert "†" in table.loc["Submitted 1", "fan"] and "‡" in table.loc["Submitted 2", "overall"]
    assert "†" not in table.loc["OE", "fan"] + table.loc["Submitted 1", "ToyCar"] + table.loc["Submitted 1", "overall"]
    words = tables.caption(evaluation, 4, "all", "paper")
    assert "fan has no OE-DFlow, SerialOE-Flow, SerialOE-DFlow" in words
    assert "without fan: Serial-OE, OE-DFlow, SerialOE-Flow, SerialOE-DFlow, Submitted 2" in words
    whole = evaluated(systems=tuple(SYSTEMS))
    assert "†" not in tables.caption(whole, 4, "all", "paper") and not tables.gaps(
        tables.choose(whole, 4, "all", "paper")[0]
    )


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


def test_rows_of_both_protocols(monkeypatch):
    monkeypatch.setattr(ensembles, "TOP", 2)
    detectors = ensembles.detector_scores(made(), ())
    ranking = ensembles.rank_detectors(detectors)
    assert (
        len(ranking) == 4
        and ranking["overall"].is_monotonic_decreasing
        and ranking["top20"].tolist() == [True, True, False, False]
    )
    rows = ensembles.system_rows(detectors, ranking)
    calibration = rows[rows["part"] == "calibration"].groupby(["machine", "protocol"])["score"]
    assert np.allclose(calibration.mean(), 0) and np.allclose(calibration.std(ddof=0), 1)
    best = detectors[detectors["detector"].isin(ranking["detector"][:2]) & (detectors["machine"] == "fan")]
    mean = best.groupby("clip")["score"].mean()
    top = rows.query("protocol == 'top20' and machine == 'fan'").set_index("clip")["score"]
    assert np.corrcoef(mean.loc[top.index], top)[0, 1] == pytest.approx(1)


def test_a_system_that_some_machine_lacks_is_ranked_too(monkeypatch):
    monkeypatch.setattr(ensembles, "TOP", 2)
    scores = made(systems=("OE", "OE-DFlow", "SerialOE-DFlow", "Baseline (MSE)"), lacking={"fan": LACKING})
    scores = scores[(scores["machine"] != "fan") | (scores["detector"] + scores["fit_set"] != "KNN-1source+target")]
    ranking = ensembles.rank_detectors(ensembles.detector_scores(scores, ()))
    assert list(dict.fromkeys(ranking["system"])) == ["Baseline (MSE)", "OE", "OE-DFlow", "SerialOE-DFlow"]
    assert ranking.groupby("system")["top20"].sum().to_dict() == {
        "Baseline (MSE)": 1,
        "OE": 2,
        "OE-DFlow": 2,
        "SerialOE-DFlow": 1,
    }
    last = ranking[ranking["system"] == "OE"].iloc[-1]
    assert last["detector"] == "KNN-1 source+target" and np.isnan(last["overall"]) and not last["top20"]
    assert ranking.loc[ranking["system"] == "OE-DFlow", "overall"].notna().all()
    rows = rows_of(scores)
    assert set(rows.loc[rows["protocol"] == "top20", "system"]) >= {"OE-DFlow", "Baseline (MSE)"}


def test_a_system_of_twenty_detectors_or_fewer_takes_all():
    rows = rows_of(made()).pivot_table(index=["machine", "clip"], columns="protocol", values="score")
    assert len(rows) and (rows["all"] == rows["top20"]).all()


def test_tables_in_the_papers_layout():
    evaluation = evaluated(50, systems=(*ROWS[:2], *SYSTEMS))
    paper = tables.layout(evaluation, 4, "all", "paper", beside_paper=True)
    official = tables.layout(evaluation, 4, "all", "official", beside_paper=True)
    assert list(paper.columns) == [tables.MADE_OF, "fan", "ToyCar", "overall"]
    assert [system for system, whose in paper.index if whose == "ours"] == list(ROWS)
    assert [s for s, whose in paper.index if whose == "paper"] == [s for s in ROWS[2:] if s != "Serial-OE"]
    assert [s for s, whose in official.index if whose == "paper"] == list(ROWS[:2])
    assert paper.loc[("OE", "paper"), "ToyCar"] == "52.98" and paper.loc[("OE", "paper"), "overall"] == "–"
    assert (
        paper.loc[("Submitted 4", "paper"), "fan"] == "74.22"
        and official.loc[("Baseline (MSE)", "paper"), "fan"] == "52.59"
    )
    assert paper.loc[("Submitted 2", "ours"), tables.MADE_OF] == "OE-DFlow and SerialOE-DFlow"
    assert paper.loc[("Baseline (MSE)", "ours"), tables.MADE_OF] == ""
    value = evaluation.query(
        "protocol == 'all' and rule == 'paper' and machine == 'fan' and score == 'hmean' and system == 'OE'"
    )["value"].item()
    assert paper.loc[("OE", "ours"), "fan"].startswith(f"{value:.2f} [")


def test_the_papers_overall_stands_beside_its_seven_machines_alone():
    machines = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
    assert tables.beside(4, "paper", machines).loc["OE", "overall"] == 64.84
    assert (
        "overall" not in tables.beside(4, "paper", (*machines, "shaker")) and tables.beside(4, "paper", ["pump"]).empty
    )


@pytest.mark.parametrize("rule", ["paper", "official"])
def test_no_figure_of_the_paper_beside_demo_data(rule):
    evaluation = evaluated(systems=(*ROWS[:2], *SYSTEMS))
    assert set(tables.layout(evaluation, 4, "all", rule, False).index.get_level_values("whose")) == {"ours"}


def test_written_tables(tmp_path):
    evaluation = evaluated(50, systems=(*ROWS[:2], *SYSTEMS), lacking={"fan": LACKING})
    written = tables.write_tables(evaluation, tmp_path, beside_paper=True)
    assert len(written) == 3 * (1 + 3 * 2 * 2) and {p.suffix for p in written} == {".csv", ".md", ".tex"}
    assert all(p.exists() for p in written)
    for path in written:
        text = path.read_text()
        if path.suffix == ".tex":
            rows = [line for line in text.splitlines() if line.endswith(r"\\")]
            assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1 and len(rows) >= 7
            assert text.count(r"\toprule") == 1 and not set("†‡–") & set(text) and not re.search(r"(?<!\\)%\d", text)
        if path.suffix == ".md":
            lines = [line for line in text.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) == 1
    assert (
        "†" in (tmp_path / "table4_all_paper.csv").read_text()
        and "fan has no" in (tmp_path / "table4_all_paper.md").read_text()
    )
    synthetic = tables.write_tables(evaluation, tmp_path, beside_paper=False)
    assert (
        "52.98" not in "".join(p.read_text() for p in synthetic)
        and "whose" not in (tmp_path / "table2_all_paper.md").read_text()
    )


def test_table_1_says_what_the_systems_are():
    table = tables.summary().set_index("system")
    assert list(table.index) == ["OE", "Serial-OE*", "OE-Flow", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow"]
    assert list(table["domain-invariant modeling"]) == ["Not applicable"] * 2 + ["Not applied", "Applied"] * 2
    losses = table["loss function"]
    assert (
        losses["OE-Flow"]
        == losses["OE-DFlow"]
        == r"$\mathcal{L}_{\mathrm{machine}} + \lambda_{\mathrm{Flow}}\mathcal{L}_{\mathrm{Flow}}$"
    )
    assert "SerialOE" in losses["Serial-OE*"] and "Flow" not in losses["Serial-OE*"]
    assert table.loc["OE-Flow", "detectors"] == "GMM, KNN, and Normalizing flow"


def test_seeds_give_mean_and_deviation():
    evaluation = evaluated(seeds=(0, 1, 2))
    single = [ensembles.evaluate(rows_of(made(seeds=(0, 1, 2)).query(f"seed == {k}"))) for k in range(3)]
    by_seed = [table["value"] for table in single]
    assert (evaluation["seeds"] == 3).all() and (single[0]["seeds"] == 1).all() and single[0]["sd"].isna().all()
    assert np.allclose(evaluation["value"], np.mean(by_seed, axis=0)) and np.allclose(
        evaluation["sd"], np.std(by_seed, axis=0, ddof=1)
    )


def test_unlabelled_clips_get_rows_and_no_metric():
    scores = made(systems=("OE", "OE-DFlow", "SerialOE-DFlow"))
    scores["label"] = np.where(scores["part"] == "test", "", scores["label"])
    assert ensembles.rank_detectors(ensembles.detector_scores(scores, ())).empty
    rows = rows_of(scores)
    assert set(rows["protocol"]) == {"all"} and rows["score"].notna().all() and "Submitted 2" in set(rows["system"])
    assert ensembles.evaluate(rows).empty


def test_a_machine_without_all_labels_is_left_out_of_the_overall():
    scores = made()
    odd = (scores["machine"] == "fan") & (scores["domain"] == "target") & (scores["label"] == "anomaly")
    ranking = ensembles.rank_detectors(ensembles.detector_scores(scores[~odd], ()))
    assert len(ranking) == 4 and ranking["overall"].notna().all()
    evaluation = ensembles.evaluate(rows_of(scores[~odd]))
    chosen = evaluation.query("protocol == 'all' and rule == 'paper' and score == 'hmean' and system == 'OE'")
    chosen = chosen.set_index("machine")["value"]
    assert np.isnan(chosen["fan"]) and chosen["overall"] == pytest.approx(chosen["ToyCar"])
    alone = ensembles.evaluate(rows_of(scores[~odd & (scores["machine"] == "fan")]))
    assert tables.layout(alone, 2, "all", "paper", True).loc[("OE", "ours"), "hmean"] == "–"


def test_a_run_without_scores(run):
    with pytest.raises(ValueError, match="05_inlier_fitting"):
        ensembles.read_scores(run, ["fan"])


def test_a_damaged_file_is_named_with_the_mend(run):
    path = run.trained("fan", "OE") / "detector_scores.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=f"{path}: cannot be read .*; delete it and run the notebook that wrote it"):
        ensembles.read_scores(run, ["fan"])


def test_a_seed_that_is_not_there_is_said(run, capsys):
    path = run.trained("fan", "OE") / "detector_scores.parquet"
    path.parent.mkdir(parents=True)
    scores = made(systems=("OE",))
    scores.to_parquet(path)
    ensembles.read_scores(run, ["fan"], seeds=[int(scores["seed"].iloc[0]), 7])
    assert "no scores of seed 7" in capsys.readouterr().out


@pytest.mark.parametrize(
    "machines", [("fan",), ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain", "shaker")]
)
@pytest.mark.parametrize("systems", [("OE",), (*ROWS[:2], *SYSTEMS)])
def test_figures_hold_every_row_and_cut_no_label(machines, systems):
    scores = made(machines, systems, lacking={"fan": LACKING}, test=5)
    ranking = ensembles.rank_detectors(ensembles.detector_scores(scores, ()))
    evaluation = ensembles.evaluate(rows_of(scores), resamples=20)
    figure = plots_tables.table_figure(evaluation, 4, beside_paper=True)
    shown = {axis.get_title() for axis in figure.axes}
    assert shown == {*machines, "overall"}
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [row for row in ROWS if row in set(evaluation["system"])]
    for drawn in (figure, plots_tables.ranking_figure(ranking)):
        box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_submitted_members_are_systems():
    assert {member for members, _ in SUBMITTED.values() for member in members} <= set(SYSTEMS) - {"Serial-OE"}
