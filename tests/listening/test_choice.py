"""What 07 listens with and to: by its parameters and by hand, and what it says where there is nothing."""

import shutil
from types import SimpleNamespace

import pandas as pd
import pytest
from makers import write_noise

from lib.listening.choice import Choice, score_each
from lib.paths import Run
from lib.recordings.heard import Heard
from lib.settings import Data


@pytest.fixture
def choice(tmp_path):
    """Of a machine without a run."""
    return lambda clips="": Choice(Run(tmp_path / "run"), ["fan", "pump"], "fan", str(clips), tmp_path / "no data")


def test_recordings_are_the_uploaded_else_the_named(choice, tmp_path):
    folder = tmp_path / 'a "new" $folder$'
    write_noise(folder / "b.wav", 0.2)
    write_noise(folder / "night" / "b.wav", 0.2)
    write_noise(folder / ".b.wav", 0.2)  # of a file manager
    (folder / "notes.txt").write_text("-")
    assert list(choice(folder).sources()[1]) == ["b.wav", "night/b.wav"]
    (folder / ".b.wav").rename(folder / "c\udcff.wav")  # whose name is no UTF-8
    assert list(choice(folder).sources()[1]) == ["b.wav", "c\\udcff.wav", "night/b.wav"]
    assert list(choice(folder / "night" / "b.wav").sources()[1]) == ["b.wav"]
    both = choice(folder)
    content = (folder / "b.wav").read_bytes()
    both._upload = SimpleNamespace(value=({"name": "phone.wav", "content": memoryview(content)},))
    assert both.sources() == ("uploaded", {"phone.wav": content})
    with pytest.raises(ValueError, match="no such file or folder"):
        choice(tmp_path / "nothing").sources()
    with pytest.raises(ValueError, match=r"no \.wav or \.flac file there; name other recordings in `clips`"):
        (tmp_path / "empty").mkdir()
        choice(tmp_path / "empty").sources()
    with pytest.raises(ValueError, match=r"no data: no such folder.*or name recordings in `clips`"):
        choice().sources()


class FakeListener:
    """Scores a clip by its length."""

    def hear(self, sources, names):
        return Heard(sources, Data(), names=names)

    def score_heard(self, heard):
        return pd.DataFrame({"clip": heard.clips["stem"], "score": heard.clips["seconds"]})


def test_what_cannot_be_read_is_told_and_the_others_are_scored(tmp_path):
    for name, seconds in (("short.wav", 0.5), ("long.wav", 1.5)):
        write_noise(tmp_path / name, seconds)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    sources = {name: tmp_path / name for name in ("short.wav", "broken.wav", "gone.wav", "long.wav")}
    scores, unread = score_each(FakeListener(), sources)
    assert scores["clip"].tolist() == ["long.wav", "short.wav"] and scores.index.tolist() == [0, 1]
    assert unread["clip"].tolist() == ["broken.wav", "gone.wav"]
    with pytest.raises(ValueError, match=r"none of these recordings can be used: gone\.wav: cannot be read"):
        score_each(FakeListener(), {"gone.wav": tmp_path / "gone.wav"})
    with pytest.raises(ValueError, match="there is none"):
        score_each(FakeListener(), {})


def test_machines_are_those_that_something_whole_is_trained_for(smoke, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(smoke[0] / "fan" / "Spectrum", run / "fan" / "Spectrum")
    (run / "pump" / "OE" / "all" / "seed0").mkdir(parents=True)  # its training has not ended
    opened = Choice.open("fan", "smoke", run_dir=str(run))
    assert opened.machine == "fan" and opened.folder == run / "fan" and opened._machine.options == ("fan",)
    with pytest.raises(
        ValueError, match=r"nothing is trained for pump, but for fan; python -m lib\.batch --preset smoke"
    ):
        Choice.open("pump", "smoke", run_dir=str(run))
