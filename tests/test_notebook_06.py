"""06 on made scores of two machines of one domain, in this process: what it writes and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from makers import long_form, write_noise
from scored import run_cells

from lib.detection import score_files
from lib.paths import Run, write_text
from lib.recordings.clips import ClipBank
from lib.recordings.plan import Plan
from lib.settings import load_settings

PRESET = "base: smoke\nsystems: [OE, OE-Flow]\nbaselines: false\nbeyond: []\ntraining: {{epochs: {epochs}}}\nevaluation: {{bootstrap: 20}}\n"


def scores_of(bank, trained, name):
    """Anomalies a deviation higher than the rest, as the notebook of that file writes them."""
    own = bank.of(trained.machine)
    part = own["split"].replace("train", "calibration").to_numpy()
    clips = pd.DataFrame({"part": part, "clip": own["stem"], "domain": own["domain"], "label": own["label"]})
    values = np.random.default_rng(0).normal(0, 1, len(clips)) + (own["label"] == "anomaly").to_numpy()
    detectors = [("flow", "")] if name == score_files.FLOW else [("KNN-1", "source"), ("GMM-1", "source")]
    return pd.concat([
        long_form(clips, values, trained.machine, trained.system, *detector, aggregator)
        for detector in detectors for aggregator in ("plain", "weighted")
    ], ignore_index=True)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run's parameters; its scores are all there but for OE of pump, which is of another preset, and pump's flow."""
    folder = tmp_path_factory.mktemp("made")
    for machine in ("fan", "pump"):
        for split, label in (("train", "normal"), ("test", "normal"), ("test", "anomaly")):
            for i in range(4):
                write_noise(
                    folder / "data" / machine / split / f"section_00_source_{split}_{label}_{i:04d}.wav", 0.3, seed=i
                )
    for epochs in (2, 3, 4):
        (folder / f"preset{epochs}.yaml").write_text(PRESET.format(epochs=epochs))
    run, settings, older = Run(folder / "outputs" / "run"), *(load_settings(folder / f"preset{n}.yaml") for n in (2, 3))
    bank = ClipBank.open(run, folder / "data", settings.data)
    for path, trained in Plan.of(bank, settings, (), (0,)).score_files(run).items():
        made_with = older if trained[:2] == ("pump", "OE") else settings
        if trained.machine == "fan" or path.name != score_files.FLOW:
            known = score_files.expected_provenance(path.name, trained, made_with, bank)
            score_files.write_scores(scores_of(bank, trained, path.name), path, known)
    return folder, dict(preset=str(folder / "preset2.yaml"), data_root=str(folder / "data"), run_dir=str(run.root))


def test_tables_of_what_is_there_and_matches(made, capsys):
    """Refused scores are in no table, and what is refused, missing or of one domain is said on every side."""
    folder, parameters = made
    run = Run(folder / "outputs" / "run")
    old = [run.tables / "table4_top20_official.tex", run.figures / "table3_all_paper.png", run.tables / "effects.csv"]
    for path in (*old, run.tables / "mine.csv"):
        write_text(path, "old")
    names = run_cells("06_ensemble_and_tables", **parameters)  # by hand: neither machines nor seeds
    printed = capsys.readouterr().out
    assert names["plan"].machines == ("fan", "pump") and names["plan"].seeds == (0,)
    assert (
        "refused: pump/OE/all/seed0/detector_scores.parquet: made with training.epochs 3, now 2; run 03_oe_training"
        in printed
    )
    assert "missing: 1 files of scores" in printed and "python -m lib.batch --preset" in printed
    left = pd.read_csv(run.tables / "left_out.csv")
    assert left[["machine", "system", "state"]].values.tolist() == [
        ["pump", "OE", "refused"],
        ["pump", "OE-Flow", "missing"],
    ]
    table = pd.read_csv(run.tables / "table4_all_paper.csv").query("whose == 'ours'").set_index("system")
    assert table.loc["OE", "pump"] == "–†§" and table.loc["OE-Flow", "pump"].split(" ")[0].endswith("†§")
    assert table.loc["OE", "fan"].split(" ")[0].endswith("§") and table.loc["OE", "overall"].split(" ")[0].endswith(
        "‡§"
    )
    assert "–" not in table.loc["OE-Flow"].to_list() and all(path.read_text(errors="replace") != "old" for path in old)
    assert "fan: source, pump: source" in (run.tables / "table4_all_paper.md").read_text()
    assert (run.tables / "mine.csv").read_text() == "old"
    evaluation = pd.read_csv(run.tables / "evaluation.csv")
    assert set(evaluation.query("system == 'OE'")["machine"]) == {"fan", "overall"}
    assert evaluation.query("machine == 'overall' and score == 'hmean'")["value"].notna().all()
    assert len(list((run.root / "teams").rglob("*.csv"))) == 2 * 3 and "teams" in printed
    decided = pd.read_csv(run.tables / "decisions.csv")
    assert set(decided["domain"]) == {"source"} and decided["f1"].notna().all()


def test_without_matching_scores_no_old_table_stays(made):
    folder, parameters = made
    run = Run(folder / "outputs" / "run")
    write_text(run.tables / "evaluation.csv", "old")
    changed = parameters | {"preset": str(folder / "preset4.yaml"), "machines": "pump"}
    with pytest.raises(ValueError, match="no scores of pump made with these settings") as error:
        run_cells("06_ensemble_and_tables", **changed)
    assert "training.epochs 3, now 4" in str(error.value) and not (run.tables / "evaluation.csv").exists()


def test_a_machine_that_is_not_there_is_refused_before_old_tables_go(made):
    folder, parameters = made
    kept = Run(folder / "outputs" / "run").tables / "evaluation.csv"
    write_text(kept, "old")
    with pytest.raises(ValueError, match="drill"):
        run_cells("06_ensemble_and_tables", **parameters, machines="drill")
    assert kept.read_text() == "old"
