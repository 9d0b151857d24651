"""The demo data: the same from the same seed, in the challenge's layout, and anomalous where it says so."""

import json

import numpy as np
import pytest
import soundfile
from scipy.signal import butter, sosfilt

from lib.demo.data import PARTIAL, WHOLE, make_clip, make_demo_data
from lib.demo.machines import MACHINES, Fault
from lib.demo.recipes import RECIPES, combinations
from lib.recordings import dcase
from lib.settings import Demo
from lib.systems import DEVELOPMENT_MACHINES

SHORT = dict.fromkeys(RECIPES, 2.0)  # s
FAULTS = [(machine, kind) for machine, recipe in RECIPES.items() for kind in recipe.faults]


def small(**changes):
    return Demo(**{"source_clips": 6, "target_clips": 4, "test_clips": 2} | changes)


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_demo_data(tmp_path_factory.mktemp("demo") / "data", small(), lengths=SHORT)


def test_same_seed_gives_same_bytes_whatever_the_workers(root, tmp_path):
    again = make_demo_data(tmp_path / "again", small(), workers=1, lengths=SHORT)
    assert contents(again) == contents(root)


def test_a_clip_depends_on_its_own_name_and_the_seed_alone(root, tmp_path):
    demo = small(machines=("valve",), source_clips=9, test_clips=3)
    more = contents(make_demo_data(tmp_path / "more", demo, workers=1, lengths=SHORT))
    other = contents(make_demo_data(tmp_path / "other", small(machines=("valve",), seed=1), 1, SHORT))
    clips = {name: text for name, text in contents(root).items() if "valve" in name and name.endswith(".wav")}
    assert clips == {name: more[name] for name in clips}
    assert all(other[name] != text for name, text in clips.items())


def test_layout_is_read_back_without_a_problem(root):
    dataset = dcase.Dataset(root)
    assert dataset.problems.empty, dataset.problems
    assert dataset.synthetic
    assert dataset.targets() == list(DEVELOPMENT_MACHINES)
    for machine in dataset.targets():
        clips = dataset.of(machine)
        assert clips.groupby(["split", "domain", "label"]).size().to_dict() == {
            ("train", "source", "normal"): 6, ("train", "target", "normal"): 4,
            ("test", "source", "normal"): 2, ("test", "source", "anomaly"): 2,
            ("test", "target", "normal"): 2, ("test", "target", "anomaly"): 2,
        }  # fmt: skip
        for domain, rows in clips.groupby("domain"):
            table = dcase.attribute_table(rows).to_dict("records")
            assert all(attributes in combinations(machine, domain) for attributes in table)
        parameters = dcase.attribute_table(dataset.of(machine, "train"))
        assert (parameters.nunique() >= 2).all()
        first = min(int(stem.split("_")[5]) for stem in clips["stem"])
        assert first == (1 if machine.startswith("Toy") else 0)


def test_attribute_file_agrees_with_the_names(root):
    lines = (root / "dev_data/raw/ToyCar/attributes_00.csv").read_text().splitlines()
    assert lines[0] == "file_name,d1p,d1v,d2p,d2v,d3p,d3v"
    for line in lines[1:]:
        file, *cells = line.split(",")
        assert file.removesuffix(".wav").endswith("_".join(cells))
        assert (root / "dev_data/raw" / file).is_file()


def test_files_are_16_bit_mono_at_16_khz_neither_clipped_nor_silent(root):
    for path in root.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 32000)
        samples, _ = soundfile.read(path)
        assert 0.003 < samples.std() < 0.2
        assert np.abs(samples).max() < 0.99


@pytest.mark.parametrize("machine", RECIPES)
@pytest.mark.parametrize("domain", ["source", "target"])
def test_fault_is_all_that_makes_a_clip_anomalous(machine, domain):
    attributes = combinations(machine, domain)[0]

    def clip(anomalous):
        return make_clip(machine, attributes, domain, anomalous, np.random.default_rng(5), 2.0)

    normal, again, anomalous = clip(False), clip(False), clip(True)
    assert np.array_equal(normal, again)
    assert 1e-3 < (anomalous - normal).std() / normal.std() < 3


@pytest.mark.parametrize(("machine", "kind"), FAULTS)
def test_every_kind_of_fault_changes_the_sound(machine, kind):
    def sound(fault):
        return MACHINES[machine](combinations(machine, "source")[0], fault, 160000, np.random.default_rng(2))

    fault = Fault(kind, RECIPES[machine].faults[kind][1], np.random.default_rng(1))
    assert (sound(fault) - sound(Fault())).std() > 0.05


@pytest.mark.parametrize("machine", RECIPES)
def test_usual_length_is_the_challenges(machine):
    clip = make_clip(machine, combinations(machine, "source")[0], "source", False, np.random.default_rng(0))
    assert len(clip) == 16000 * (12 if machine.startswith("Toy") else 10)


@pytest.mark.parametrize("machine", ["ToyCar", "ToyTrain"])
@pytest.mark.parametrize("domain", ["source", "target"])
def test_toys_rest_before_and_after_their_run(machine, domain):
    clip = make_clip(machine, combinations(machine, domain)[0], domain, False, np.random.default_rng(0))
    power = sosfilt(butter(6, 3500, "highpass", fs=16000, output="sos"), clip) ** 2
    spans = np.array([(0, 0.7), (4, 8), (11.2, 12)]) * 16000  # s → samples
    before, run, after = (np.median(power[int(start) : int(end)]) for start, end in spans)
    assert run > 2 * before
    assert run > 2 * after


def test_second_call_touches_nothing(root):
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert make_demo_data(root, small(), lengths=SHORT) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times


def test_interrupted_call_is_made_good(tmp_path):
    demo = small(machines=("valve",))
    whole = contents(make_demo_data(tmp_path, demo, 1, SHORT))
    (tmp_path / WHOLE).rename(tmp_path / PARTIAL)
    clip = next(tmp_path.rglob("*.wav"))
    clip.rename(clip.with_name(f".{clip.stem}-x1y2.wav"))
    assert contents(make_demo_data(tmp_path, demo, 1, SHORT)) == whole


def test_another_recipe_replaces_its_own_files_and_no_other(tmp_path):
    make_demo_data(tmp_path, small(machines=("fan", "valve")), 1, SHORT)
    mine = tmp_path / "dev_data/raw/fan/train/notes.txt"
    mine.write_text("mine")
    make_demo_data(tmp_path, small(machines=("valve",), target_clips=2), 1, SHORT)
    assert [path for path in tmp_path.rglob("fan/**/*") if path.is_file()] == [mine]
    assert json.loads((tmp_path / WHOLE).read_text())["order"]["target_clips"] == 2
    assert len(list(tmp_path.rglob("*.wav"))) == 6 + 2 + 4 * 2


def test_folder_of_someone_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ValueError, match=r"thesis\.txt"):
        make_demo_data(tmp_path, small())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("changes", "lengths", "message"),
    [
        ({"machines": ("fan", "toaster")}, None, "'toaster'.*bearing, fan"),
        ({}, {"toaster": 3.0}, "'toaster'.*bearing, fan"),
        ({}, {"fan": 0.1}, "0.1 s; allowed: 1 to 60"),
        ({"seed": -1}, None, "-1.*allowed: 0"),
    ],
)
def test_wrong_orders_name_the_value_and_what_is_allowed(tmp_path, changes, lengths, message):
    with pytest.raises(ValueError, match=message):
        make_demo_data(tmp_path / "new", small(**changes), lengths=lengths)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("machine", "attributes", "domain", "message"),
    [
        ("toaster", {}, "source", "'toaster'.*bearing"),
        ("valve", {"pat": "00"}, "moon", "'moon'.*source, target"),
        ("valve", {"pat": "99"}, "source", "'99'.*'03'"),
        ("valve", {}, "source", "allowed.*pat"),
    ],
)
def test_wrong_clips_name_the_value_and_what_is_allowed(machine, attributes, domain, message):
    with pytest.raises(ValueError, match=message):
        make_clip(machine, attributes, domain, False, np.random.default_rng(0))
