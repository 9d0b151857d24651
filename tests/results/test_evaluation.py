"""The official score against an independent re-implementation of the official evaluator, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from challenge import clips_of, official_decisions, official_score, official_values, write_submission, write_truth

from lib.results import evaluation, evaluation_text, official, truth
from lib.results.official import Section

FAN = Section("fan", "00")
KINDS = ("plain", "ties", "reversed", "constant", "scientific", "perfect")


def scores_of(clips, kind, rng):
    """Texts of scores, one of `KINDS`."""
    anomalous = np.array([label == "anomaly" for _, _, label in clips])
    values = rng.normal(0, 1, len(clips)) + 0.7 * anomalous
    if kind == "ties":
        values = np.round(values)
    elif kind in ("reversed", "perfect"):
        values = rng.uniform(0, 1, len(clips)) + (2 if kind == "perfect" else -2) * anomalous
    elif kind == "constant":
        values = np.ones(len(clips))
    return [f"{value * 1e-9:.3e}" if kind == "scientific" else repr(float(value)) for value in values]


def rows(path):
    return [line.split(",") for line in path.read_text().splitlines()]


def score(folder, root=None, machines="", resamples=0):
    """The `Evaluation`s of the folders below one."""
    known = truth.read(root) if root else None
    found, known = evaluation.chosen(official.folders(folder), known, machines)
    return [evaluation.evaluate(place, files, known, resamples) for place, files in found.items()]


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(5, 100))])
def test_the_official_score_is_the_official_evaluators(tmp_path, seed):
    rng, expected = np.random.default_rng(seed), []
    for machine in ("ToyDrone", "ToyNscale", "big_fan", "shaker")[: 1 + seed % 4]:
        for section in ("00", "01", "02")[: 1 + seed % 3]:
            clips = clips_of(section, count=int(rng.integers(3, 30)))
            kind = KINDS[rng.integers(len(KINDS))] if seed else "reversed"
            write_truth(tmp_path, machine, clips, section)
            shuffled = [clips[i] for i in rng.permutation(len(clips))]
            write_submission(tmp_path / "scores", machine, shuffled, scores_of(shuffled, kind, rng), section)
            name = f"{machine}_section_{section}_test.csv"
            score_rows = rows(tmp_path / "scores" / f"anomaly_score_{name}")
            truth_rows, domain_rows = (
                rows(tmp_path / f"ground_truth_{kind}" / f"ground_truth_{name}") for kind in ("data", "domain")
            )
            expected.append(official_values(score_rows, truth_rows, domain_rows))
    (found,) = score(tmp_path / "scores", tmp_path)
    values = [[rules["official"][name][0] for name in evaluation.SCORES] for rules in found.scores.values()]
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert np.allclose(np.array(values)[order], np.array(sorted(expected)), atol=1e-12)
    last = evaluation_text.block(found).splitlines()[-1]
    assert last == f"official score {official_score(expected):.6f}"
    assert ("counts as 2.2e-16" in evaluation_text.block(found)) == any(0 in values for values in expected)


def test_a_domains_own_anomalies_are_the_paper_rule_alone(tmp_path):
    """Source anomalies are below, target anomalies above every normal clip."""
    clips = clips_of()
    values = [{"normal": 0, "anomaly": -1 if domain == "source" else 1}[label] for _, domain, label in clips]
    write_truth(tmp_path, "fan", clips)
    write_submission(tmp_path / "s", "fan", clips, values)
    rules = score(tmp_path / "s", tmp_path)[0].scores[FAN]
    assert [rules["paper"][f"auc_{d}"][0] for d in ("source", "target")] == [0, 1]
    assert [rules["official"][f"auc_{d}"][0] for d in ("source", "target")] == [0.5, 0.5]


def test_decisions_are_the_official_evaluators(tmp_path):
    rng = np.random.default_rng(0)
    for machine in ("fan", "pump", "mill"):
        clips = clips_of()
        decided = [0] * len(clips) if machine == "mill" else rng.integers(0, 2, len(clips)).tolist()
        write_truth(tmp_path, machine, clips)
        write_submission(tmp_path / "s", machine, clips, rng.normal(size=len(clips)))
        write_submission(tmp_path / "s", machine, clips, decided, kind="decision_result")
        labels, domains = ([int(c[k] == one) for c in clips] for k, one in ((2, "anomaly"), (1, "target")))
        (found,) = score(tmp_path / "s", tmp_path, machine)
        for number, domain in enumerate(("source", "target")):
            expected = official_decisions(decided, labels, domains, number)
            values = [
                found.decisions[Section(machine, "00")][f"{name}_{domain}"] for name in ("precision", "recall", "f1")
            ]
            assert values == pytest.approx(list(expected), abs=1e-12)
    (every,) = score(tmp_path / "s", tmp_path)
    f1 = [values["f1_source"] for values in every.decisions.values()]
    assert len(f1) == 3 and every.decided()["f1_source"] == pytest.approx(official_score(f1))
    table = every.table().query("rule == 'decisions'").set_index(["machine", "score"])["value"]
    assert table["fan", "recall_target"] == every.decisions[FAN]["recall_target"] and len(table) == 4 * 6


def test_sections_machines_and_all_have_harmonic_means_and_intervals(tmp_path):
    rng = np.random.default_rng(0)
    for machine, section in (("fan", "00"), ("fan", "01"), ("pump", "00")):
        clips = clips_of(section)
        write_truth(tmp_path, machine, clips, section)
        write_submission(tmp_path / "s", machine, clips, scores_of(clips, "plain", rng), section)
    (found,) = score(tmp_path / "s", tmp_path, resamples=50)
    table = found.table().set_index(["machine", "section", "rule", "score"])
    sections = [table.loc[("fan", number, "official", "hmean"), "value"] for number in ("00", "01")]
    fan = table.loc[("fan", "all", "official", "hmean")]
    assert fan["value"] == pytest.approx(official_score(sections)) and fan["low"] < fan["value"] < fan["high"]
    assert found.official == table.loc[("all", "all", "official", "official_score"), "value"]
    lines = [line.split()[:2] for line in evaluation_text.block(found).splitlines()]
    assert lines.count(["fan", "all"]) == 2 and lines.count(["pump", "00"]) == 2 and ["pump", "all"] not in lines


@pytest.fixture
def two(tmp_path):
    """Ground truth and scores of fan and pump."""
    for machine in ("fan", "pump"):
        write_truth(tmp_path, machine, clips_of())
        write_submission(tmp_path / "s", machine, clips_of(), range(20))
        write_submission(tmp_path / "s", machine, clips_of(), [0, 1] * 10, kind="decision_result")
    return tmp_path


FILE = "anomaly_score_fan_section_00_test.csv"


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        (FILE, lambda text: text.replace(",3\n", ",nan\n"), "not finite: row 4: section_00_0003.wav,nan"),
        (FILE, lambda text: text + "section_00_0003.wav,1\n", "a clip has a second row: row 21"),
        (FILE, lambda text: text + "section_00_0099.wav,1\n", "no test clip of this name: row 21"),
        (FILE, lambda text: text.partition("\n")[2], "no row for a test clip: section_00_0000"),
        (FILE, lambda text: None, f"s: no file {FILE}"),
        (FILE.replace("anomaly_score", "decision_result"), lambda text: text.replace(",1\n", ",0.7\n"), "neither 0 nor 1 (10 of them): row 2"),
        (FILE.replace("fan", "Fan"), lambda text: "x", f"{FILE} beside it is of fan section_00, too; keep one"),
        (FILE.replace("fan", "drill"), lambda text: "x", "the ground truth has no drill section_00; it has fan section_00, pump"),
    ],
)  # fmt: skip
def test_a_faulty_machine_is_not_scored_and_there_is_no_official_score(two, file, change, said):
    path = two / "s" / file
    text = change(path.read_text() if path.exists() else "")
    path.unlink(missing_ok=True) if text is None else path.write_text(text)
    (found,) = score(two / "s", two)
    block = evaluation_text.block(found)
    machine = "drill" if "drill" in file else "fan"
    assert said in block and list(found.machines) == [m for m in ("fan", "pump") if m != machine]
    assert block.splitlines()[-1] == f"official score: none, because {machine} cannot be scored"
    assert np.isnan(found.official) and not score(two / "s", two, machines="pump")[0].why_none


def test_decisions_that_are_not_there_are_said(two):
    assert "are not counted" not in evaluation_text.block(score(two / "s", two)[0])
    (two / "s" / FILE.replace("anomaly_score", "decision_result")).unlink()
    said = evaluation_text.block(score(two / "s", two)[0])
    assert "no file decision_result_fan_section_00_test.csv; its decisions are not counted" in said
    assert said.count("are not counted") == 1 and "official score 0." in said


def test_a_fault_in_one_section_leaves_the_whole_machine_unscored(two):
    write_truth(two, "fan", clips_of("01"), "01")
    assert list(score(two / "s", two)[0].machines) == ["pump"], "section_01 has no score file"
    write_submission(two / "s", "fan", clips_of("01"), ["nan", *range(19)], "01")
    (found,) = score(two / "s", two)
    assert list(found.machines) == ["pump"] and list(found.decisions) == [Section("pump", "00")]


def test_a_section_of_one_domain_has_no_official_score_but_its_own_mean(tmp_path):
    clips = [clip for clip in clips_of() if clip[1] == "source"]
    write_truth(tmp_path, "fan", clips)
    write_submission(tmp_path / "s", "fan", clips, range(len(clips)))
    (found,) = score(tmp_path / "s", tmp_path)
    assert found.why_none == "fan section_00 has no auc_target, and the official evaluator needs it"
    assert found.of("official", "all")["hmean"][0] > 0 and not found.faults
    assert pd.isna(found.table().set_index("score").loc["official_score", "value"])


def test_machines_are_chosen_and_spelled_as_the_ground_truth(two):
    (two / "s" / FILE).rename(two / "s" / "anomaly_score_FANsection00test.csv")
    (found,) = score(two / "s", two, machines="Fan")
    assert list(found.scores) == [FAN] and found.official > 0
    with pytest.raises(ValueError, match="unknown machine drill; there are fan, pump"):
        score(two / "s", two, machines="fan drill")


def test_ground_truth_without_a_machines_name_is_of_the_only_one(tmp_path):
    clips = [(f"section_00_{d}_test_{x}_{i:04d}.wav", d, x) for i, (_, d, x) in enumerate(clips_of(count=2))]
    for machine in ("fan", "pump"):
        write_submission(tmp_path / "s", machine, clips, range(len(clips)))
    (tmp_path / "names.txt").write_text("\n".join(name for name, _, _ in clips))
    (one,) = score(tmp_path / "s", tmp_path / "names.txt", machines="pump")
    (own,) = score(tmp_path / "s")
    assert list(own.scores) == [FAN, Section("pump", "00")], "the scores' own names"
    assert one.official == own.of("official", "pump")["hmean"][0]
    with pytest.raises(ValueError, match="names no machine, and there are scores of fan, pump"):
        score(tmp_path / "s", tmp_path / "names.txt")


def test_own_names_that_say_nothing(two):
    (found,) = score(two / "s")
    assert len(found.faults) == 2 and "give the ground truth" in found.faults["fan"][0]


def test_the_summary_has_a_row_a_folder_best_first(two):
    write_submission(two / "s" / "b", "fan", clips_of(), [int(label == "anomaly") for _, _, label in clips_of()])
    write_submission(two / "s" / "b", "pump", clips_of(), ["0.5"] * 20)
    write_submission(two / "s" / "c", "pump", clips_of(), ["0.5"] * 20)
    found = score(two / "s", two)
    lines = evaluation_text.summary(found).splitlines()
    assert len(lines) == 4 and lines[1].startswith(f"{two}/s/b ") and lines[3].split()[:2] == [f"{two}/s/c", "none"]
    assert evaluation_text._aligned(pd.DataFrame({"a": ["xx", "y"], "b": [1, 2]})) == "a   b\nxx  1\ny   2"
