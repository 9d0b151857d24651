"""Pictures and cuts are small, and all of a machine share their scales."""

import numpy as np
import pytest
import soundfile
from PIL import Image

from lib.listening.maps import ClipMap
from lib.report import sounds
from lib.report.sounds import Sound, mapped_by, time_ticks, write

HERTZ = (50.0, 7800.0)


def map_of(values, seconds=10.0, kind="beyond every healthy clip [dB]"):
    return ClipMap(np.asarray(values, float), seconds, HERTZ, kind)


def sound(level=1000, most=5.0, found=True, columns=300):
    spectrogram = map_of(np.linspace(-60, 0, 64 * columns).reshape(64, columns), kind="level [dB]")
    mapped = np.zeros((64, 100))
    mapped[32:] = most
    samples = (level * np.sin(np.arange(48000))).astype(np.int16)
    return Sound(spectrogram, map_of(mapped) if found else None, "it hums", 2.0, 5.0, samples, 16000)


def test_what_is_written_is_told_and_small(tmp_path):
    told = write([sound(), sound(found=False, columns=5000)], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"01.flac", "01.webp", "01_map.webp", "02.flac", "02.webp"}
    assert told[0]["map"] and not told[1]["map"] and told[0]["reason"] == "it hums"
    samples, rate = soundfile.read(tmp_path / "01.flac")
    assert rate == 16000 and len(samples) == 48000
    assert Image.open(tmp_path / "02.webp").width == sounds.COLUMNS
    picture = np.asarray(Image.open(tmp_path / "01_map.webp").convert("L"), float)
    assert picture[:32].mean() < 5 and picture[32:].mean() > 250, "strange is dark, the lowest band at the foot"


def test_clips_share_one_gain_and_one_scale_and_what_nobody_hears_stays_pale(tmp_path):
    told = write([sound(level=1000, most=1.0), sound(level=100, most=0.5)], tmp_path)
    peaks = [np.abs(soundfile.read(tmp_path / f"{n}.flac")[0]).max() for n in ("01", "02")]
    assert peaks[0] == pytest.approx(sounds.PEAK, rel=0.01) and peaks[0] / peaks[1] == pytest.approx(10, rel=0.02)
    assert told[0]["decibel"] == pytest.approx(20 * np.log10(0.9 * 32768 / 1000), abs=0.1)
    assert told[0]["most"] == 3.0 and np.asarray(Image.open(tmp_path / "01_map.webp").convert("L")).min() > 150


@pytest.mark.parametrize("level", [0, 32767])
def test_silence_and_full_scale_are_cut_as_well(tmp_path, level):
    silent = sound()
    silent.samples[:] = level
    silent.samples[::2] *= -1
    told = write([silent], tmp_path)
    assert np.isfinite(told[0]["decibel"]) and np.isfinite(soundfile.read(tmp_path / "01.flac")[0]).all()


def test_a_map_that_takes_seconds_a_clip_is_spectrums_or_none():
    class Fake:
        def __init__(self, quick, rows):
            self.quick_map, self.rows = quick, rows

        def using(self, row):
            return row

    quick = Fake(True, ["OE-Flow"])
    assert mapped_by(quick) is quick
    assert mapped_by(Fake(False, ["OE", "Spectrum"])) == "Spectrum" and mapped_by(Fake(False, ["OE"])) is None


@pytest.mark.parametrize("seconds", [0.05, 1, 6.5, 18, 700, 0])
def test_time_ticks_are_few_and_in_the_clip(seconds):
    ticks = time_ticks(seconds)
    assert 1 <= len(ticks) <= 8 and all(0 <= place <= 1 + 1e-9 for place in ticks.values())
