"""Decisions, and submission files read back as the official evaluator does."""

import csv

import numpy as np
import pandas as pd
import pytest
from makers import made
from scored import rows_of

from lib.recordings.dcase import Dataset
from lib.results import submission


def row(scores, machine="fan", system="OE", seed=0, calibration=(0.0, 1.0, 2.0, 3.0)):
    """Clip scores of one row: {stem: score} and calibration scores."""
    clips = [("test", stem, score) for stem, score in scores.items()]
    clips += [("calibration", f"c{i}", score) for i, score in enumerate(calibration)]
    table = pd.DataFrame(clips, columns=["part", "clip", "score"])
    return table.assign(machine=machine, system=system, seed=seed, domain="", label="", protocol="all")


def dataset(folder, stems, machine="fan", suffix=".wav"):
    for split, names in (("train", ["section_00_source_train_normal_0000"]), ("test", stems)):
        for name in names:
            path = folder / machine / split / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return Dataset(folder)


STEMS = [f"section_00_{i:04d}" for i in range(4)]
SCORES = dict(zip(STEMS, (0.5, 99.0, -1.0, 2.25), strict=True))


def read(path):
    """Rows of a submission file, sorted, as the official evaluator aligns them with the sorted test clips."""
    with open(path, newline="") as file:
        return sorted(csv.reader(file))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_files_align_with_the_sorted_test_clips(tmp_path, run, suffix):
    data = dataset(tmp_path / "data", STEMS[::-1], suffix=suffix)
    shuffled = dict(sorted(SCORES.items(), key=lambda pair: pair[1]))
    written, refusals = submission.export(row(shuffled), data, run, "team", 0.9)
    folder = run.root / "teams" / "team" / "OE"
    score, decision = (folder / f"{kind}_fan_section_00_test.csv" for kind in submission.KINDS)
    assert written == [score, decision] and not refusals
    truth = sorted(f"{path.stem}.wav" for path in (data.root / "fan" / "test").iterdir())
    assert [name for name, _ in read(score)] == truth and [float(value) for _, value in read(score)] == list(
        SCORES.values()
    )
    assert [value for _, value in read(decision)] == ["0", "1", "0", "0"]
    assert score.read_text().splitlines() == [",".join(line) for line in read(score)]  # in order, no header


def test_every_system_and_unlabelled_machine_has_a_folder(tmp_path, run):
    systems = ("Baseline (MSE)", "OE-DFlow", "SerialOE-DFlow")
    scores = made(systems=systems)
    scores["label"] = np.where((scores["part"] == "test") & (scores["machine"] == "fan"), "", scores["label"])
    stems = scores.loc[scores["part"] == "test", "clip"].unique()
    for machine in ("fan", "ToyCar"):
        data = dataset(tmp_path / "data", stems, machine)
    written, refusals = submission.export(
        rows_of(scores, ("ToyCar",), ("OE-DFlow", "SerialOE-DFlow")), data, run, "team", 0.9
    )
    folders = {path.parent.name for path in written}
    assert folders == {"Baseline_MSE", "OE-DFlow", "SerialOE-DFlow", "Submitted_2"}
    assert len(written) == 4 * 2 * 2 and not refusals and all(len(read(path)) == 60 for path in written)


def test_sections_have_their_own_files(tmp_path, run):
    stems = [*STEMS[:2], "section_01_0000"]
    written, _ = submission.export(row(dict.fromkeys(stems, 1.0)), dataset(tmp_path / "data", stems), run, "team", 0.9)
    assert sorted(path.name for path in written if "score" in path.name) == [
        f"anomaly_score_fan_section_0{i}_test.csv" for i in range(2)
    ]
    assert [len(read(path)) for path in written] == [2, 2, 1, 1]


def test_seeds_give_their_mean_score_and_threshold(tmp_path, run):
    """0.5 lies below the first seed's threshold and above that of the mean calibration scores, all −4."""
    data = dataset(tmp_path / "data", STEMS)
    rows = pd.concat(
        [row(SCORES, calibration=[0.0] * 4), row(dict.fromkeys(STEMS, 0.5), seed=1, calibration=[-8.0] * 4)]
    )
    score, decision = submission.export(rows, data, run, "team", 0.9)[0]
    assert [float(value) for _, value in read(score)] == [0.5, 49.75, -0.25, 1.375]
    assert [value for _, value in read(decision)] == ["1", "1", "1", "1"]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({stem: 1.0 for stem in STEMS[1:]}, rf"no score for 1 of 4 test clips \({STEMS[0]}\).*problems.csv"),
        (SCORES | {STEMS[2]: float("nan")}, rf"no score for 1 of 4 test clips \({STEMS[2]}\)"),
        (SCORES | {"section_00_9999": 1.0}, r"no recording for 1 of 4 test clips \(section_00_9999\).*put it back"),
    ],
)
def test_a_clip_too_many_or_too_few_is_refused(tmp_path, scores, said):
    data = dataset(tmp_path / "data", STEMS)
    with pytest.raises(ValueError, match=said):
        submission.submission(row(scores), data.of("fan", "test"), 0.9)


def test_a_clip_that_one_seed_lacks_is_refused(tmp_path):
    rows = pd.concat([row(SCORES), row({stem: 1.0 for stem in STEMS[1:]}, seed=1)])
    with pytest.raises(ValueError, match=STEMS[0]):
        submission.submission(rows, dataset(tmp_path / "data", STEMS).of("fan", "test"), 0.9)


def test_a_refused_file_stops_no_other_and_leaves_no_old_one(tmp_path, run):
    dataset(tmp_path / "data", STEMS, "fan")
    data = dataset(tmp_path / "data", STEMS, "big_fan")
    rows = pd.concat([row(SCORES, machine, system) for machine in ("fan", "big_fan") for system in ("OE", "OE-Flow")])
    everything, _ = submission.export(rows, data, run, "team", 0.9)
    broken = (rows["machine"] == "fan") & (rows["system"] == "OE") & (rows["clip"] == STEMS[0])
    written, refusals = submission.export(rows[~broken], data, run, "team", 0.9)
    assert len(refusals) == 1 and refusals[0].startswith("OE, fan: not written") and STEMS[0] in refusals[0]
    gone = set(everything) - set(written)
    assert {path.name for path in gone} == {f"{kind}_fan_section_00_test.csv" for kind in submission.KINDS}
    assert {path for path in everything if path.exists()} == set(written) and not any(path.exists() for path in gone)


def test_decisions_of_every_row():
    rows = rows_of(made(systems=("OE", "OE-DFlow", "SerialOE-DFlow", "Baseline (MSE)"), shift=4.0))
    found = submission.decisions(rows, 0.9)
    assert set(found["system"]) == {
        "OE",
        "OE-DFlow",
        "SerialOE-DFlow",
        "Baseline (MSE)",
        *(f"Submitted {i}" for i in range(1, 5)),
    }
    assert len(found) == 8 * 2 * 2 and (found["recall"] > 0.5).all() and found["threshold"].between(0.5, 4).all()


def test_unlabelled_clips_get_a_threshold_and_no_quality():
    scores = made()
    scores["label"] = np.where(scores["part"] == "test", "", scores["label"])
    decided = submission.decisions(rows_of(scores, systems=()), 0.9)
    assert decided["threshold"].notna().all() and decided["precision"].isna().all() and len(decided) == 2


def test_files_of_rows_that_are_gone_go_and_refusals_are_kept(tmp_path, run):
    data = dataset(tmp_path / "data", STEMS)
    both = pd.concat([row(SCORES), row(SCORES, system="OE-Flow")])
    written, _ = submission.export(both, data, run, "team", 0.9)
    assert len(written) == 4 and not run.refusals.exists()
    written, refusals = submission.export(row(dict(list(SCORES.items())[:3])), data, run, "team", 0.9)
    assert not written and not list((run.root / "teams").rglob("*.csv"))
    assert run.refusals.read_text().splitlines() == refusals and "OE, fan: not written" in refusals[0]
    other = row({f"other_{i}": 0.5 for i in range(4)})
    assert "another data root" in submission.export(other, data, run, "team", 0.9)[1][0]
    submission.export(row(SCORES), data, run, "team", 0.9)
    assert not run.refusals.exists()


def test_files_are_written_beside_those_of_others_and_what_is_refused_leaves_none(tmp_path, run):
    data = dataset(tmp_path / "data", STEMS, "fan [1]")
    tests = {"fan [1]": data.of("fan [1]", "test")}
    rows = row(SCORES, "fan [1]")
    written, _ = submission.write_files(rows, tests, run, "team", 0.9)
    other = written[0].with_name("anomaly_score_fan 1_section_00_test.csv")
    other.write_text("x")
    written, refusals = submission.write_files(rows[:-6], tests, run, "team", 0.9, {("OE-Flow", "fan [1]"): "odd"})
    assert refusals[0] == "OE-Flow, fan [1]: not written: odd" and refusals[1].startswith("OE, fan [1]: not written")
    assert not written and list(other.parent.iterdir()) == [other] and not run.refusals.exists()
