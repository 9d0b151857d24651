"""Float clips outside ±1 keep one scale within a machine, or are refused; nothing is clipped or silenced without a word."""

import math

import numpy as np
import pytest
import soundfile
from makers import RATE

from lib.recordings.clips import ClipBank
from lib.recordings.levels import divisors
from lib.settings import Data

NAN = math.nan


@pytest.mark.parametrize(
    ("peaks", "integers", "expected"),
    [
        ([0.9, 0.1, 1.0], False, [1, 1, 1]),
        ([0.9, 0.1, 0.0], True, [1, 1, 1]),
        ([1.1, 0.1, 0.4], False, [2, 2, 2]),  # gain beyond full scale
        ([20.0, 0.5, 3.0], False, [32, 32, 32]),  # pascal
        ([256.0, 200.0, 150.0], False, [256, 256, 256]),
        ([6000.0, 300.0, 12000.0], False, [32768, 32768, 32768]),  # values of 16 bits
        ([32768.0, 40.0, 300.0], False, [32768, 32768, 32768]),  # a quiet one among them
        ([5e6, 9000.0, 8000.0], False, [NAN, 32768, 32768]),  # one of 24-bit values among them
        ([40000.0, 12000.0, 9000.0], False, [65536, 65536, 65536]),  # 16 bits exceeded
        ([6e6, 3e6, 3e5], False, [2**23] * 3),
        ([2.0**31, 1e9, 1e8], False, [2**31] * 3),
        ([0.9, 9000.0, 0.1], False, [1, 32768, 1]),  # one file of 16-bit values
        ([9000.0, 0.5, 0.0], True, [32768, 1, 1]),
        ([9000.0, 8000.0, 0.0], True, [32768, 32768, 1]),
        ([2e-6, 1e-6, 5e-7], False, [2.0**-18] * 3),
        ([1 / 128, 1 / 200, 1 / 999], False, [1, 1, 1]),
        ([1 / 129, 1 / 200, 1 / 999], False, [1 / 64 / 2] * 3),
        ([1.5, 0.1, 0.1], True, [1, 1, 1]),  # clipped, and said
        ([2.5, 0.1, 0.1], True, [NAN, 1, 1]),
        ([200.0, 0.1, 0.1], False, [NAN, 1, 1]),  # one file of another unit
        ([6.0, 0.1, 0.1], False, [8, 8, 8]),
        ([1e12, 0.1, 0.1], False, [NAN, 1, 1]),
        ([0.0, 0.0, 0.0], False, [1, 1, 1]),
    ],
)
def test_one_scale_for_a_machine(peaks, integers, expected):
    found, problems = divisors(dict(zip("abc", peaks, strict=True)), integers)
    assert list(found.values()) == pytest.approx(expected, nan_ok=True)
    said = {path for path, _, _ in problems}
    assert said >= {path for path, divisor in found.items() if math.isnan(divisor)}
    assert bool(problems) == (found != dict.fromkeys("abc", 1.0) or max(peaks) > 1)


def noise(seed=0):
    return np.random.default_rng(seed).standard_normal(RATE).astype(np.float32) * 0.05


def write(train, scales, subtype="FLOAT"):
    for old in train.glob("*"):
        old.unlink()
    for i, scale in enumerate(scales):
        name = train / f"section_00_source_train_normal_{i:04d}_m-n_W.wav"
        soundfile.write(name, noise(i) * scale, RATE, subtype=subtype)


@pytest.fixture
def train(root):
    for path in (root / "dev_data" / "raw" / "fan" / "test").iterdir():
        path.unlink()
    return root / "dev_data" / "raw" / "fan" / "train"


def sounds(bank):
    return {row.stem: bank.sound(row) for row in bank.of("fan").itertuples()}


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("unit", [32768, 2.0**23, 2.0**31])
def test_values_of_integers_are_read_as_the_integers(root, run, train, unit, subtype):
    write(train, [unit] * 3, subtype)
    bank = ClipBank.open(run, root, Data())
    assert bank.clips.loc[bank.clips["machine"] == "fan", "divisor"].eq(unit).all()
    for i, sound in enumerate(sounds(bank).values()):
        assert np.abs(sound - noise(i) * 32768).max() <= 0.51
    (said,) = bank.problems["problem"]
    assert said.startswith(f"scaled: 3 float clip(s) divided by {unit:g}")


@pytest.mark.parametrize("unit", [20.0, 1e-5])
def test_other_units_keep_the_levels_of_the_clips(root, run, train, unit):
    write(train, [unit, unit / 2, unit / 8])
    bank = ClipBank.open(run, root, Data())
    first, second, third = (np.std(sound.astype(float)) for sound in sounds(bank).values())
    assert first / second == pytest.approx(2, rel=0.03) and first / third == pytest.approx(8, rel=0.03)
    peaks = [np.abs(sound.astype(int)).max() for sound in sounds(bank).values()]
    assert 16384 <= max(peaks) <= 32768 and bank.problems["problem"].str.contains("scaled: 3 float").sum() == 1


def test_a_clip_of_another_unit_beside_clips_of_16_bits_is_refused_with_the_cause(root, run, train):
    write(train, [1, 1, 1], "PCM_16")
    for name, scale in (("loud", 200), ("values", 32768), ("tiny", 1e-6)):
        soundfile.write(train / f"{name}.wav", noise() * scale, RATE, subtype="FLOAT")
    bank = ClipBank.open(run, root, Data())
    problems = bank.problems.set_index(bank.problems["file"].str.rsplit("/", n=1).str[-1])["problem"]
    own = bank.clips.set_index(bank.clips["path"].str.rsplit("/", n=1).str[-1])
    assert own.loc[["loud.wav", "values.wav", "tiny.wav"], "usable"].tolist() == [False, True, False]
    assert problems["loud.wav"].str.contains("another scale: its peak is").any()
    assert problems["values.wav"].str.contains("scaled: 1 float clip").any()
    assert problems["tiny.wav"].str.contains("too quiet: the loudest sample is 2.*e-07 of full scale").any()
    assert not problems.str.contains("every sample is zero").any()
    row = next(row for row in bank.clips.itertuples() if row.path.endswith("values.wav"))
    assert np.abs(bank.sound(row) - noise() * 32768).max() <= 0.51


def test_a_file_that_cannot_be_read_changes_no_scale(root, run, train):
    write(train, [20.0] * 3)
    (train / "broken.wav").write_bytes(b"no audio")
    bank = ClipBank.open(run, root, Data())
    assert len(bank.of("fan")) == 3 and set(bank.of("fan")["divisor"]) == {8.0}
