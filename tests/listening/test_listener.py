"""A trained machine says of a recording what the tables say of it, by the run's folder alone."""

import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import soundfile

from lib.listener import Listener
from lib.listening import trainings
from lib.paths import Run, data_folder
from lib.systems import SPECTRA

DATA = data_folder("", "few") / "dev_data" / "raw" / "fan" / "test"
RATE = 16000


@pytest.fixture(scope="module")
def fan(smoke):
    return smoke[0] / "fan"


@pytest.fixture(scope="module")
def listener(fan):
    return Listener.load(fan)


@pytest.fixture(scope="module")
def sound(smoke):
    samples, _ = soundfile.read(clips()[0], dtype="int16")
    return samples


def clips():
    return sorted(DATA.glob("*.wav"))


def test_a_score_by_spectrum_waits_for_no_torch(fan):
    code = f"""
import sys
from lib.listener import Listener
assert len(Listener.load({str(fan)!r}, "Spectrum").score([{str(clips()[0])!r}])) == 1
sys.exit(", ".join({{"torch", "timm", "matplotlib"}} & set(sys.modules)) or 0)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_every_row_scores_the_test_clips_as_the_tables_do(fan, smoke):
    known = pd.read_csv(smoke[0] / "tables" / "clip_scores.csv", keep_default_na=False)
    known = known[(known["protocol"] == "all") & (known["part"] == "test")]
    whole = Listener.load(fan)
    assert set(whole.rows) == set(known["system"]) and len(whole.rows) > 10
    for row in whole.rows:
        found = whole.using(row).score(clips()[::4]).set_index("clip")["score"]
        expected = known[known["system"] == row].set_index("clip")["score"]
        expected.index += ".wav"
        np.testing.assert_allclose(found, expected.loc[found.index], rtol=1e-6, atol=1e-6, err_msg=row)


def test_a_clip_alone_a_file_its_bytes_and_its_samples_are_one(listener, sound):
    together = listener.score(clips()[:3])
    alone = listener.score(clips()[0])
    content, array = listener.score([clips()[0].read_bytes()]), listener.score(sound, rate=RATE)
    floats = listener.score(sound / np.float32(32768), rate=RATE)
    for other in (alone, content, array, floats):
        assert other["score"][0] == pytest.approx(together["score"][0], abs=1e-9)
    assert alone["clip"][0] == clips()[0].name and array["clip"][0] == "clip 1"


def test_the_threshold_is_the_tables_and_can_be_set(listener, smoke):
    decisions = pd.read_csv(smoke[0] / "tables" / "decisions.csv")
    known = decisions[decisions["system"] == listener.row]["threshold"].iloc[0]
    assert listener.row == "Spectrum" and listener.threshold == pytest.approx(known, rel=1e-6)
    normal = np.sort(listener.normal)
    assert listener.set_threshold(false_alarms=2 / len(normal)) >= normal[-3]
    assert (normal > listener.threshold).mean() <= 2 / len(normal)
    assert listener.set_threshold(value=1.5) == 1.5
    scored = listener.score(clips())
    assert (scored["decision"] == (scored["score"] > 1.5)).all()
    assert scored["percentile"].tolist() == [100 * (normal < s).mean() for s in scored["score"]]
    assert listener.set_threshold(quantile=0.9) == pytest.approx(known, rel=1e-6)
    with pytest.raises(ValueError, match="a share between 0 and 1"):
        listener.set_threshold(quantile=90)
    with pytest.raises(ValueError, match="one of quantile, value"):
        listener.set_threshold(quantile=0.9, value=1.0)


def test_what_a_threshold_would_have_cost(listener):
    scores = listener.score(clips())
    anomalous = scores["clip"].str.contains("anomaly")
    called = scores["score"] > 0.5
    cost = listener.costs([0.5]).iloc[0]
    assert cost["precision"] == pytest.approx((called & anomalous).sum() / called.sum())
    assert cost["recall"] == pytest.approx((called & anomalous).sum() / anomalous.sum())
    assert cost["false_alarms_a_day"] == pytest.approx(1440 * called[~anomalous].mean())
    assert len(listener.costs()) > 5


def test_any_length_and_rate_and_what_the_audit_says(listener, sound, tmp_path):
    short, high = sound[:1600], np.repeat(sound, 3)
    assert np.isfinite(listener.score([short, sound], rate=RATE)["score"]).all()
    assert "far from the usual" in listener.score(short, rate=RATE)["problems"][0]
    resampled = listener.score(high, rate=3 * RATE)
    assert np.isfinite(resampled["score"][0])
    soundfile.write(tmp_path / "two.wav", np.stack([sound, sound], 1), RATE)
    (tmp_path / "empty.wav").touch()
    heard = listener.hear([tmp_path / "two.wav", tmp_path / "empty.wav", tmp_path / "none.wav", clips()[0]])
    assert heard.clips["stem"].tolist() == [clips()[0].name]
    said = heard.problems.groupby("clip")["problem"].first()
    assert (
        "several channels" in said["two.wav"] and "empty" in said["empty.wav"] and "cannot be read" in said["none.wav"]
    )
    with pytest.warns(UserWarning, match="empty.wav is not scored: the file is empty"):
        assert listener.score([tmp_path / "empty.wav"]).empty
    with pytest.raises(ValueError, match="no sample rate: give rate"):
        listener.score(sound)


def test_two_clips_of_one_name_stay_two(listener, tmp_path):
    (tmp_path / "x").mkdir()
    for place, source in ((tmp_path, clips()[0]), (tmp_path / "x", clips()[1])):
        shutil.copyfile(source, place / "a.wav")
    both = listener.score([tmp_path / "a.wav", tmp_path / "x" / "a.wav"])
    assert both["score"].tolist() == listener.score(clips()[:2])["score"].tolist()


def test_one_trained_system_and_wrong_names(fan, tmp_path):
    one = Listener.load(fan / "SerialOE-DFlow" / "m-n" / "seed0")
    assert one.rows == ["SerialOE-DFlow"] and one.row == "SerialOE-DFlow"
    with pytest.raises(ValueError, match="no row 'OE' here; it has Baseline"):
        Listener.load(fan, "OE")
    with pytest.raises(ValueError, match="no seed 7; it has 0"):
        Listener.load(fan, seed=7)
    with pytest.raises(ValueError, match="nothing trained there"):
        Listener.load(tmp_path)


@pytest.mark.parametrize(("row", "name"), [("Shared + Spectrum", "fan"), ("Submitted 2", "fan.zip")])
def test_an_export_needs_nothing_else_and_says_the_same(listener, tmp_path, row, name):
    whole = listener.using(row)
    whole.set_threshold(value=0.25)
    moved = tmp_path / "elsewhere" / name
    moved.parent.mkdir()
    whole.export(tmp_path / name).rename(moved)
    found, expected = Listener.load(moved), whole.score(clips()[:2])
    assert found.threshold == 0.25 and found.row == row and "Spectrum" in found.rows and "OE" not in found.rows
    pd.testing.assert_frame_equal(found.score(clips()[:2]), expected)
    with pytest.raises(ValueError, match="is there already"):
        whole.export(moved)


def test_what_an_export_does_not_name_is_refused(listener, tmp_path):
    path = listener.export(tmp_path / "export")

    def refused(match):
        with pytest.raises(ValueError, match=match):
            Listener.load(path)

    more = path / "fan" / "evil.pkl"
    more.write_bytes(b"cos\nsystem\n")
    refused("holds fan/evil.pkl, which its manifest does not name")
    more.unlink()
    manifest = json.loads((path / "manifest.json").read_text())
    model = next(name for name in manifest["files"] if name.endswith("Spectrum/all/seed0/model.json"))
    content = (path / model).read_bytes()
    (path / model).write_bytes(content + b" ")
    refused("model.json was changed")
    (path / model).unlink()
    refused("model.json is not there")
    outside = tmp_path / "outside.json"
    outside.write_bytes(content)
    (path / model).symlink_to(outside)
    refused("model.json is not there")
    (path / model).unlink()
    (path / model).write_bytes(content)
    (path / "fan" / "linked").symlink_to(tmp_path)
    refused("holds fan/linked, which its manifest does not name")
    (path / "fan" / "linked").unlink()
    (path / "manifest.json").write_text(json.dumps(manifest | {"machine": "../fan"}))
    refused("names '../fan', which is no machine")
    (path / "manifest.json").write_text(json.dumps(manifest | {"trained": [["Encoder", "all", 0]]}))
    refused("holds 'Encoder', which no export does")
    (path / "manifest.json").write_text(json.dumps(manifest | {"files": manifest["files"] | {"../x.json": "0"}}))
    refused("outside of it")
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 9}))
    refused("an export of format 9")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../out.json", "{}")
    with pytest.raises(ValueError, match="outside of it"):
        Listener.load(tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("big.bin", "0")
    with pytest.raises(ValueError, match=r"no export, it holds no manifest.json"):
        Listener.load(tmp_path / "other.zip")


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_a_stream_says_what_its_stretches_say(listener, rate):
    whole = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in clips()[:2]])
    sent = whole if rate == RATE else np.repeat(whole, 3)
    stream, found = listener.stream(rate, seconds=4.0, step=3.0), []
    for i in range(0, len(sent), rate // 3):
        found.append(stream.feed(sent[i : i + rate // 3]))
        assert len(stream._waiting) < 4 * RATE
    found.append(stream.feed(sent[:0], last=True))
    found = pd.concat(found, ignore_index=True)
    assert found["begin"].tolist() == [3.0 * i for i in range(len(found))] and len(found) >= 6
    if rate != RATE:
        import soxr

        floats = soxr.resample(sent.astype(np.float32) / 32768, rate, RATE)
        whole = np.clip(np.rint(floats * 32768), -32768, 32767).astype(np.int16)
    expected = listener.score([whole[int(b * RATE) :][: 4 * RATE] for b in found["begin"]], rate=RATE)
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="one channel"):
        stream.feed(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        stream.feed(np.array([0.1, np.nan]))


def test_maps_of_each_kind(listener, sound):
    tone = sound[: 6 * RATE].astype(float)
    tone[3 * RATE : 5 * RATE] += 3000 * np.sin(2 * np.pi * 3000 * np.arange(2 * RATE) / RATE)
    tone = tone.astype(np.int16)
    kinds = {
        "Spectrum": "beyond every healthy clip",
        "SerialOE-DFlow": "score of the flow",
        "Baseline (MSE)": "squared error",
        "Shared": "occlusion",
    }
    for row, kind in kinds.items():
        clip = tone[: RATE if kind == "occlusion" else None]  # its every patch is a forward pass
        found = listener.using(row).map(clip, rate=RATE)
        assert found.kind.startswith(kind) and found.seconds == len(clip) / RATE
        assert np.isfinite(found.values).all() and found.values.min() < found.values.max()
        if row == "Spectrum":
            column = found.values.max(axis=0).argmax()
            assert 3 <= found.seconds * column / found.values.shape[1] <= 5
    with pytest.raises(ValueError, match="the file is empty"):
        listener.map(b"")
    with pytest.raises(ValueError, match="Spectrum has no OE; it has Spectrum"):
        listener.map(tone, rate=RATE, system="OE")


def test_reasons_are_of_what_was_added(listener, sound):
    tone = sound.astype(float)
    tone[3 * RATE : 5 * RATE] += 3000 * np.sin(2 * np.pi * 3000 * np.arange(2 * RATE) / RATE)
    found = listener.reasons(listener.hear(tone.astype(np.int16), rate=RATE))[0]
    assert found.hertz[0] < 3000 < found.hertz[1] and found.decibel > 10
    assert found.seconds == pytest.approx((3, 5), abs=0.3) and " dB more at " in found.words
    assert listener.score(tone.astype(np.int16), rate=RATE)["reason"][0] == found.words


def test_shares_are_of_the_views_of_the_row(listener, sound):
    """Each view's add up to 1, the added tone's band has most; a row without Spectrum has none."""
    tone = sound + 3000 * np.sin(2 * np.pi * 3000 * np.arange(len(sound)) / RATE)
    found = listener.shares(tone.astype(np.int16), rate=RATE)
    assert found.groupby("view")["share"].sum().to_dict() == pytest.approx({"power": 1.0, "flux": 1.0})
    power = found[found["view"] == "power"].set_index("hertz")["share"]
    assert 2800 < power.idxmax() < 3200
    views = {row: set(listener.using(row).shares(sound, rate=RATE)["view"]) for row in (*SPECTRA, "Shared + Spectrum")}
    assert views["Spectrum (both)"] == {"both"} and views["Shared + Spectrum"] == {"power", "flux"}
    rhythms = listener.using("Spectrum (modulation)").shares(sound, rate=RATE)["swings"]
    assert rhythms.nunique() == 5 and "" not in set(rhythms)
    assert listener.using("Shared").shares(sound, rate=RATE).empty
    with pytest.raises(ValueError, match="the file is empty"):
        listener.shares(b"")


def test_names_of_what_is_no_file(listener):
    content = clips()[0].read_bytes()
    heard = listener.hear([content, b""], names=["phone.wav", "none"])
    assert listener.score_heard(heard)["clip"].tolist() == ["phone.wav"] and "none" in set(heard.problems["clip"])


def test_views_are_rows(listener):
    assert set(SPECTRA) < set(listener.rows)


def test_normal_clips_are_those_of_calibration_whatever_standardises(fan, listener):
    """With `inliers.calibration: test` the test clips standardise, anomalies and all; they are no normals."""
    found = trainings.find(fan)
    inliers = found.settings.inliers.model_copy(update={"calibration": "test"})
    settings = found.settings.model_copy(update={"inliers": inliers})
    other = Listener("fan", found.ears, found.scores, settings, "Spectrum")
    scores = other._known[other._known["part"] == "test"]["score"]
    assert scores.mean() == pytest.approx(0, abs=1e-9) and scores.std(ddof=0) == pytest.approx(1)
    assert len(other.normal) == len(listener.normal) and other.normal.mean() < 0
    np.testing.assert_allclose(other.score(clips()[:2])["score"], scores[:2], atol=1e-6)


def test_what_the_tables_did_not_count_is_not_heard(fan, smoke, tmp_path):
    """A parameter of an earlier call, half a training, a model newer than its scores, a copy of a folder."""
    shutil.copytree(smoke[0], tmp_path / "run", ignore=shutil.ignore_patterns("notebooks", "banks"))
    machine = tmp_path / "run" / "fan"
    shutil.copytree(machine / "SerialOE-DFlow" / "m-n", machine / "SerialOE-DFlow" / "old")
    shutil.copytree(machine / "Baseline" / "all" / "seed0", machine / "Baseline" / "all" / "seed0 (copy)")
    whole, found = Listener.load(fan, "SerialOE-DFlow"), Listener.load(machine, "SerialOE-DFlow")
    assert found.score(clips()[0])["score"].tolist() == whole.score(clips()[0])["score"].tolist()
    (machine / "OE-DFlow" / "m-n" / "seed0" / "detector_scores.parquet").unlink()
    assert "OE-DFlow" not in Listener.load(machine).rows and "OE-DFlow" in whole.rows
    model = machine / "SerialOE-DFlow" / "m-n" / "seed0" / "model.json"
    facts = json.loads(before := model.read_text())
    facts["made"]["settings"]["joint.epochs"] += 1  # trained again, and what scored it then is still there
    model.write_text(json.dumps(facts))
    with pytest.raises(ValueError, match="or its detectors are not fitted yet"):
        Listener.load(model.parent)
    assert "SerialOE-DFlow" not in Listener.load(machine).rows
    model.unlink()  # as a job that trains again leaves it
    assert "SerialOE-DFlow" not in Listener.load(machine).rows and trainings.machines(Run(machine.parent)) == ["fan"]
    model.write_text(before)
    facts = json.loads((tmp_path / "run" / "tables" / "run.json").read_text())
    facts["settings"]["evaluation"]["decision_quantile"] = 0.5
    (tmp_path / "run" / "tables" / "run.json").write_text(json.dumps(facts))
    assert Listener.load(machine, "SerialOE-DFlow").threshold < whole.threshold, "the tables' settings count"
