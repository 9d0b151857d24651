"""What can be known before the first notebook is in the plan, with its reason."""

import shutil

import pytest
from makers import write_noise

from lib.network.frontend import segment_starts
from lib.recordings.clips import ClipBank
from lib.recordings.machine import MachineClips
from lib.recordings.plan import LeftOut, Plan, Trained, segment_count, split_names
from lib.settings import Settings
from lib.systems import SYSTEMS

SETTINGS = Settings.model_validate({"frontend": {"segment_seconds": 0.5, "segment_overlap": 0.5}})
FAN, PUMP = "dev_data/raw/fan", "eval_data/raw/pump"


def plan_of(run, root, machines=(), **settings):
    settings = SETTINGS.model_copy(update=settings)
    return Plan.of(ClipBank.open(run, root, settings.data, workers=1), settings, machines)


def systems_of(plan, machine="fan"):
    return {made.system for made in plan.trainings if made.machine == machine}


def reasons(plan):
    """{(machine, why): systems}"""
    found = {}
    for row in plan.left_out:
        found.setdefault((row.machine, row.why), set()).add(row.system)
    return found


def damage(folder, pattern="*"):
    for path in folder.glob(pattern):
        path.write_bytes(b"no sound")


def test_a_machine_that_has_all_it_takes_is_trained_whole(run, root):
    plan = plan_of(run, root)
    assert plan.machines == plan.audits == ("fan",) and systems_of(plan) == set(SYSTEMS)
    assert plan.baselines == (Trained("fan", "Baseline", "all", 0),) and plan.left_out == plan.notes == ()


def test_machines_are_chosen_where_a_run_would_take_others(run, root):
    shutil.copytree(root / FAN, root / "dev_data" / "raw" / "mill")
    bank = ClipBank.open(run, root, SETTINGS.data, workers=1)
    assert Plan.of(bank, SETTINGS, ("mill",)).chosen(bank) == ("mill",)
    assert Plan.of(bank, SETTINGS).chosen(bank) == Plan.of(bank, SETTINGS, ("mill", "fan")).chosen(bank) == ()


def test_one_machine_alone_keeps_the_baseline(run, root):
    shutil.rmtree(root / "eval_data")
    plan = plan_of(run, root)
    assert not plan.trainings and [made.machine for made in plan.baselines] == ["fan"]
    ((machine, why), systems), *others = reasons(plan).items()
    assert machine == "fan" and "it is the only machine with training clips" in why and not others
    assert systems == set(SYSTEMS)


def test_a_machine_whose_neighbours_are_all_damaged_is_alone(run, root):
    damage(root / PUMP / "train")
    assert not plan_of(run, root).trainings


def test_without_attributes_the_systems_that_follow_them_are_left_out(run, root):
    for path in (root / FAN / "train").iterdir():
        path.rename(path.with_name(path.name.replace("m-n_X", "m-n_W")))
    plan = plan_of(run, root)
    lacking = {"Serial-OE", "SerialOE-Flow", "OE-DFlow", "SerialOE-DFlow"}
    assert systems_of(plan) == set(SYSTEMS) - lacking
    assert [systems for (_, why), systems in reasons(plan).items() if "no attribute has two values" in why] == [lacking]


def test_a_value_that_only_a_damaged_clip_has_does_not_count(run, root):
    damage(root / FAN / "train", "*m-n_X*")
    assert "OE-DFlow" not in systems_of(plan_of(run, root))


def test_without_target_clips_there_is_a_note(run, root):
    damage(root / FAN / "train", "*_target_*")
    plan = plan_of(run, root)
    assert ("fan", "no target-domain training clips: GMM and KNN are fitted on its source clips alone") in plan.notes


def test_a_machine_without_test_clips_is_left_out_when_it_is_asked_for(run, root):
    plan = plan_of(run, root, ["fan", "pump"])
    assert plan.machines == ("fan",) and plan.audits == ("fan", "pump")
    assert plan.left_out == (
        LeftOut("pump", "", "no test clips to score; put recordings, labelled or not, into pump/test"),
    )


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_machine_whose_clips_are_all_damaged_is_left_out_with_the_first_problem(run, root, split):
    write_noise(root / PUMP / "test" / "section_00_0000.wav")
    damage(root / FAN / split)
    plan = plan_of(run, root)
    assert plan.machines == ("pump",) and plan.audits == ("fan", "pump")
    (row,) = (row for row in plan.left_out if row.machine == "fan")
    assert row.system == "" and f"{split} clips can be used (first {root / FAN / split}" in row.why


def test_too_few_source_clips_leave_the_baseline(run, root):
    for path in sorted((root / FAN / "train").glob("*_source_*"))[1:]:
        path.unlink()
    plan = plan_of(run, root)
    assert not plan.trainings and len(plan.baselines) == 1
    assert all("1 usable source clips to train on, at least 2 needed" in why for _, why in reasons(plan))
    with pytest.raises(ValueError, match="1 usable source clips to train on"):  # as the notebook would say
        MachineClips.read(ClipBank.open(run, root, SETTINGS.data), "fan", SETTINGS)


def test_too_few_segments_for_a_fit_leave_the_systems_of_a_flow_alone(run, root):
    """7 source clips of 3 segments train; the smallest fit of 5 folds is of 5 clips."""
    most = SETTINGS.inliers.model_copy(update={"knn_neighbours": (15, 64)})
    assert systems_of(plan_of(run, root, inliers=most)) == set(SYSTEMS)
    more = SETTINGS.inliers.model_copy(update={"knn_neighbours": (16, 64)})
    plan = plan_of(run, root, inliers=more)
    assert systems_of(plan) == {"SerialOE-Flow", "SerialOE-DFlow"}
    assert {why.split(";")[0] for _, why in reasons(plan)} == {
        "15 segments for a fit of GMM and KNN, at least 16 needed"
    }


def test_a_clip_too_short_for_the_autoencoder_leaves_the_baseline_out(run, root):
    for path in sorted((root / FAN / "train").iterdir())[1:]:
        path.unlink()
    write_noise(next((root / FAN / "train").iterdir()), seconds=0.11)
    with pytest.raises(ValueError, match="nothing can be trained\n  fan without Baseline: fewer than 2 vectors"):
        plan_of(run, root)


def test_an_unknown_machine_and_an_empty_root_are_refused(run, root):
    with pytest.raises(ValueError, match=r"unknown machine drill; .* has fan, pump"):
        plan_of(run, root, ["fan", "drill"])
    shutil.rmtree(root / FAN / "test")
    with pytest.raises(ValueError, match="no machine has both train and test clips"):
        plan_of(run, root)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_segments_are_counted_as_they_are_cut(overlap):
    frontend = SETTINGS.frontend.model_copy(update={"segment_overlap": overlap})
    settings = SETTINGS.model_copy(update={"frontend": frontend})
    for length in (1, 7999, 8000, 8001, 11999, 12000, 12001, 16000, 123456):
        assert segment_count(length, settings) == len(segment_starts(length, settings.segment_samples, overlap))


def test_names_with_blanks_and_odd_letters_are_found():
    known = ["fan", "fan 2", "-x", "O'Brien", "{a}", "größe"]
    assert split_names(" fan 2  -x fan O'Brien {a}  größe fan ", known) == [
        "fan 2",
        "-x",
        "fan",
        "O'Brien",
        "{a}",
        "größe",
    ]
    assert split_names("drill fan", known) == ["drill", "fan"] and split_names("", known) == []


def test_every_score_file_belongs_to_a_training(run, root):
    plan = plan_of(run, root)
    files = plan.score_files(run)
    assert set(files.values()) == {*plan.trainings, *plan.baselines, *plan.spectra, *plan.shared}
    flows = {made.system for path, made in files.items() if path.name == "flow_scores.parquet"}
    assert flows == {name for name, system in SYSTEMS.items() if "flow" in system.detectors}
    assert len(files) == 1 + 4 + 3 + 2


def test_beyond_the_paper_is_in_the_plan_where_it_is_asked_for(run, root):
    """Spectrum once whatever the seeds; the shared extractor's training once a seed, for all machines."""
    bank = ClipBank.open(run, root, SETTINGS.data, workers=1)
    plan = Plan.of(bank, SETTINGS, (), (3, 4))
    assert plan.spectra == (("fan", "Spectrum", "all", 0),)
    assert plan.shared == (("fan", "Shared", "all", 3), ("fan", "Shared", "all", 4))
    without = Plan.of(bank, SETTINGS.model_copy(update={"beyond": ()}), (), (3, 4))
    assert not without.spectra and not without.shared
    assert plan.notebooks - without.notebooks == 1 + 2 + 2


def test_an_encoder_is_in_the_plan_where_a_file_is_named(run, root):
    """Embedded once a seed for all machines; a machine of too few clips is left out with the reason."""
    bank = ClipBank.open(run, root, SETTINGS.data, workers=1)
    few = SETTINGS.model_copy(update={"beyond": (), "encoder": "mine.onnx"})
    plan, without = (
        Plan.of(bank, settings, (), (3, 4)) for settings in (few, SETTINGS.model_copy(update={"beyond": ()}))
    )
    assert plan.shared == (("fan", "Encoder", "all", 3), ("fan", "Encoder", "all", 4))
    assert plan.notebooks - without.notebooks == 2 + 2
    for path in sorted((root / FAN / "train").glob("*source*"))[1:]:
        path.unlink()
    plan = plan_of(run, root, encoder="mine.onnx")
    assert {row.system for row in plan.left_out if row.why.startswith("1 usable source clips")} >= {"Encoder", "OE"}


def test_one_machine_without_attributes_has_nothing_to_share(run, root):
    shutil.rmtree(root / "eval_data")
    for path in sorted((root / FAN).rglob("*.wav")):
        path.rename(path.with_name(path.name.partition("_m-n")[0].replace("target", "source") + ".wav"))
    plan = plan_of(run, root)
    assert plan.spectra and not plan.shared
    assert next(row.why for row in plan.left_out if row.system == "Shared").startswith("all training clips are of one")


def test_few_clips_leave_out_what_goes_beyond_the_paper(run, root):
    shutil.rmtree(root / "eval_data")
    clips = sorted((root / FAN / "train").glob("*_source_*"))
    for path in (*clips[2:], *(root / FAN / "train").glob("*_target_*")):
        path.unlink()
    plan = plan_of(run, root)
    why = {row.system: row.why for row in plan.left_out}
    assert why["Spectrum"] == "2 training clips to compare with, at least 4 needed; record more"
    assert why["Shared"].startswith("all training clips are of one machine, domain and attribute")
    clips[1].unlink()
    write_noise(root / "pump" / "train" / "a.wav")
    assert {row.system: row.why for row in plan_of(run, root).left_out}["Shared"].startswith("1 training clip")
