"""Whatever header a recorder, a stream or a crash left, all samples in the file are heard and no others."""

import io
import os
import struct

import numpy as np
import pytest
import soundfile
import soxr

from lib.recordings import decoding
from lib.recordings.decoding import Job, decode_into, measure
from lib.recordings.headers import find_sound
from lib.settings import Data

RATE = 16000
NOISE = (np.random.default_rng(0).standard_normal(RATE) * 3000).astype("<i2")
PLAIN = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)


def chunk(name, content, pad=True):
    return name + struct.pack("<I", len(content)) + content + (b"\0" if pad and len(content) % 2 else b"")


def wav(samples=NOISE, fmt=PLAIN, data=None, riff=None, before=b"", after=b"", magic=b"RIFF"):
    """A WAV file whose header may claim other sizes than it has."""
    sound = samples if isinstance(samples, bytes) else samples.tobytes()
    body = b"WAVE" + chunk(b"fmt ", fmt) + before + b"data" + struct.pack("<I", len(sound) if data is None else data)
    body += sound + after
    return magic + struct.pack("<I", len(body) if riff is None else riff) + body


def decode(tmp_path, content, name="a.wav", data=None, divisor=1.0):
    """(samples in the bank, row of the index, problems as one text)."""
    path, bank = tmp_path / name, tmp_path / "bank"
    path.write_bytes(content)
    room, row = measure(str(path), data or Data())[0], {}
    while not row or row.get("wanted", 0) > room:
        room = max(room, row.get("wanted", 0))
        bank.write_bytes(bytes(2 * room))
        row = decode_into(Job(str(path), str(bank), 0, room, divisor), data or Data())
    said = " | ".join(f"{problem} → {mend}" for problem, mend in row["problems"])
    return np.frombuffer(bank.read_bytes(), np.int16)[: row["length"]], row, said


JUNK, LIST = chunk(b"JUNK", bytes(4044)), chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf58.29.100\0")
ODD = chunk(b"bext", b"x" * 601)


@pytest.mark.parametrize(
    "content",
    [
        wav(), wav(before=JUNK), wav(before=LIST), wav(after=LIST), wav(before=ODD, after=ODD + LIST),
        wav(before=chunk(b"bext", b"x" * 601, pad=False)), wav(after=chunk(b"iXML", b"<x/>" * 9)[:-5]),
        wav(fmt=PLAIN + b"\0\0"), wav(fmt=PLAIN + bytes(24)), wav(after=bytes(512)), wav(riff=0), wav(riff=0xFFFFFFFF),
        wav(riff=36), wav(after=chunk(b"_PMX", b"y" * 5000)), wav(fmt=PLAIN[:14]),
        wav(fmt=struct.pack("<HHIIHH", 1, 1, RATE, 7, 9, 16)),
        wav(fmt=struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 22, 16, 4) + struct.pack("<H", 1) + bytes(14)),
        wav(fmt=struct.pack("<HHIIHHH", 0xFFFE, 1, RATE, 2 * RATE, 2, 16, 0)),
    ],
)  # fmt: skip
def test_right_sizes_are_read_without_a_problem(tmp_path, content):
    samples, row, said = decode(tmp_path, content)
    assert np.array_equal(samples, NOISE) and row["usable"] and not said


@pytest.mark.parametrize(
    ("content", "claim"),
    [
        (wav(riff=36, data=0), "length: 0 bytes claimed"),
        (wav(riff=0, data=0), "length: 0 bytes claimed"),
        (wav(riff=4088, data=0, before=JUNK), "length: 0 bytes claimed"),
        (wav(riff=0xFFFFFFFF, data=0xFFFFFFFF), "0xFFFFFFFF bytes claimed"),
        (wav(riff=0xFFFFFFFF, data=0xFFFFFFFF, before=LIST), "0xFFFFFFFF bytes claimed"),
        (wav(riff=0x7FFFFFFF, data=0x7FFFFFDB), "0x7FFFFFDB bytes claimed"),
        (wav(data=0, after=LIST), "length: 0 bytes claimed"),
        (wav(data=0xFFFFFFFF, after=ODD + LIST), "0xFFFFFFFF bytes claimed"),
        (wav(data=1000), "1000 of 32000 bytes of sound"),
        (wav(data=16000), "16000 of 32000 bytes of sound"),
        (wav(data=16000, riff=16036), "16000 of 32000 bytes of sound"),
        (wav(data=16000, after=LIST), "16000 of 32000 bytes of sound"),
        (wav(data=64000, riff=64036), "truncated: 32000 of 64000 bytes of audio are missing"),
        (wav(data=32002), "truncated: 2 of 32002"),
        (wav(magic=b"RF64", riff=0xFFFFFFFF, data=0xFFFFFFFF), "0xFFFFFFFF bytes claimed"),
    ],
)
def test_all_samples_are_read_and_the_claim_is_said(tmp_path, content, claim):
    samples, row, said = decode(tmp_path, content)
    assert np.array_equal(samples, NOISE) and row["usable"]
    assert claim in said and said.count("→") == 1


def test_long_forms(tmp_path):
    sizes = chunk(b"ds64", struct.pack("<QQQI", 32000 + 72, 32000, 16000, 0))
    for magic in (b"RF64", b"BW64"):
        body = sizes + chunk(b"fmt ", PLAIN) + b"data\xff\xff\xff\xff" + NOISE.tobytes() + LIST
        samples, _, said = decode(tmp_path, magic + b"\xff\xff\xff\xffWAVE" + body)
        assert np.array_equal(samples, NOISE) and not said


@pytest.mark.parametrize(
    "garbage",
    [b"garbage" * 100, b"garbage" * 2000, np.random.default_rng(1).bytes(9000), b"TAG" + b"song" * 31 + b"\x01", b"\0" * 4000 + b"end"],
)  # fmt: skip
@pytest.mark.parametrize("riff", [None, 32036])
def test_what_stands_behind_the_sound_is_not_heard(tmp_path, garbage, riff):
    samples, _, said = decode(tmp_path, wav(after=garbage, riff=riff))
    assert np.array_equal(samples, NOISE)
    assert f"bytes behind the sound: {len(garbage)}, neither sound nor a chunk; left out" in said


@pytest.mark.parametrize(
    ("subtype", "exact"),
    [("PCM_U8", 256), ("PCM_16", 1), ("PCM_24", 1), ("PCM_32", 1), ("ULAW", 300), ("ALAW", 300), ("FLOAT", 1), ("DOUBLE", 1)],
)  # fmt: skip
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
@pytest.mark.parametrize("claimed", [None, 0, 0xFFFFFFFF])
def test_every_sample_format(tmp_path, subtype, exact, form, claimed):
    file = io.BytesIO()
    soundfile.write(file, NOISE / 32768, RATE, format=form, subtype=subtype)
    content = bytearray(file.getvalue())
    if claimed is not None:
        position = content.index(b"data")
        content[position + 4 : position + 8] = struct.pack("<I", claimed)
    samples, _, said = decode(tmp_path, bytes(content))
    assert len(samples) == RATE and np.abs(samples.astype(int) - NOISE).max() <= exact
    assert bool(said) == (claimed is not None)


def test_24_bits_in_four_bytes(tmp_path):
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 4 * RATE, 4, 24)
    samples, _, _ = decode(tmp_path, wav((NOISE.astype("<i4") << 16).tobytes(), fmt))
    assert np.array_equal(samples, NOISE)


@pytest.mark.parametrize("bits", [20, 24])
def test_samples_in_the_lower_bits_of_four_bytes(tmp_path, bits):
    """As ALSA's S24_LE leaves them, with the sign above or with zeros there; quiet ones in the upper bits stay."""
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 4 * RATE, 4, bits)
    wide = NOISE.astype("<i4") << (bits - 16) | 1
    for low in (wide, wide & ((1 << bits) - 1)):
        samples, _, said = decode(tmp_path, wav(low.astype("<i4"), fmt=fmt))
        assert np.abs(samples.astype(int) - NOISE).max() <= 1 and f"lower bits: {bits} of 32; read so" in said
    samples, _, said = decode(tmp_path, wav((NOISE.astype("<i4") // 512) << 16, fmt=fmt))
    assert np.array_equal(samples, NOISE.astype(int) // 512) and not said


def test_frames_longer_than_their_channels_are_said(tmp_path):
    """One channel of two bytes in frames of four: no one can tell whether there are two channels."""
    samples, _, said = decode(tmp_path, wav(fmt=struct.pack("<HHIIHH", 1, 1, RATE, 4 * RATE, 4, 16)))
    assert np.array_equal(samples, NOISE)
    assert "contradicts itself: 1 × 2 bytes in frames of 4; the former read" in said


@pytest.mark.parametrize("text", [b"metadata of this data set", b"data\0\0\0\0 and more", b"data\x10\0\0\0"])
@pytest.mark.parametrize("name", [b"\x01\x02ab", b"note"])
def test_the_word_data_in_metadata_is_no_sound(tmp_path, text, name):
    """In a chunk of unknown name, or of wrong size."""
    size = len(text) if name[0] < 32 else 1 << 30
    before = name + struct.pack("<I", size) + text + bytes(len(text) % 2)
    samples, _, said = decode(tmp_path, wav(before=before))
    assert np.array_equal(samples, NOISE) and not said
    samples, _, said = decode(tmp_path, wav(before=before, after=LIST))
    assert np.array_equal(samples, NOISE) and not said


def test_half_a_frame_is_left_out_and_said(tmp_path):
    whole = NOISE.astype("<i4").tobytes()
    three = b"".join(b"\0" + whole[i : i + 2] for i in range(0, len(whole), 4)) + b"\0"
    fmt = struct.pack("<HHIIHH", 1, 1, RATE, 3 * RATE, 3, 24)
    samples, _, said = decode(tmp_path, wav(three, fmt, after=b"\0"))
    assert np.array_equal(samples, NOISE) and "half a frame: 48001 bytes are no multiple of 3" in said


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (wav(b""), "0 bytes of sound claimed, none there"),
        (wav(b"", data=0, riff=4088, before=JUNK), "none there"),
        (wav(b"", data=0xFFFFFFFF), "none there"),
        (wav()[:30], "no data chunk"),
        (wav(b"", after=LIST), "none there"),
        (wav(fmt=b""), "fmt chunk is cut off"),
        (wav(fmt=struct.pack("<HHIIHH", 1, 0, RATE, 0, 0, 16)), "0 channels at 16000 Hz"),
        (b"RIFF" + b"\0" * 4 + b"WAVE" + chunk(b"data", NOISE.tobytes()), "no fmt chunk"),
        (b"\0" * 5000, "it is nothing but zeros → copy it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "a git-lfs pointer → fetch the recording: git lfs pull"),
        (b"<!DOCTYPE html><html>log in</html>", "a web page → download the recording again, logged in"),
        (b"\0\0\0\x20ftypM4A " + b"\0" * 100, "it is MP4 (m4a) → export or copy the recording again, or ffmpeg -i 'a.wav' new.wav"),
        (b"just words", "it is text"),
        (b"PK\x03\x04" + b"x" * 99, "it is a ZIP archive"),
        (b"RIFF", "cannot be decoded"),
    ],
)  # fmt: skip
def test_files_without_sound_say_what_they_are(tmp_path, content, problem):
    _, row, said = decode(tmp_path, content)
    assert not row["usable"] and problem in said


@pytest.mark.parametrize(("form", "subtype", "kind"), [("MP3", "MPEG_LAYER_III", "MP3"), ("OGG", "VORBIS", "Ogg"), ("AIFF", "PCM_16", "AIFF"), ("FLAC", "PCM_16", "FLAC"), ("CAF", "PCM_16", "CAF")])  # fmt: skip
def test_another_format_named_wav_is_read_and_said(tmp_path, form, subtype, kind):
    file = io.BytesIO()
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE) / 2
    soundfile.write(file, tone, RATE, format=form, subtype=subtype)
    samples, row, said = decode(tmp_path, file.getvalue())
    assert row["usable"] and f"another format: {kind} named .wav" in said
    assert abs(len(samples) - RATE) < 2400 and np.abs(np.fft.rfft(samples, RATE)).argmax() == pytest.approx(1000, abs=2)


def flac():
    file = io.BytesIO()
    soundfile.write(file, NOISE, RATE, format="FLAC")
    return file.getvalue()


def test_flac_without_a_number_of_samples(tmp_path):
    content = bytearray(flac())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    samples, row, said = decode(tmp_path, bytes(content), "a.flac")
    assert np.array_equal(samples, NOISE) and row["usable"] and not said


def test_flac_that_claims_half_its_samples(tmp_path):
    content = bytearray(flac())
    content[22:26] = struct.pack(">I", RATE // 2)
    samples, _, said = decode(tmp_path, bytes(content), "a.flac")
    assert np.array_equal(samples, NOISE) and "claims too little: 8000 of 16000 samples; all read" in said


@pytest.mark.parametrize("length", [4, 21, 25, 41])
def test_a_flac_that_ends_in_its_header_is_a_problem(tmp_path, length):
    _, row, said = decode(tmp_path, flac()[:length], "a.flac")
    assert not row["usable"] and "cannot be decoded" in said


def test_flac_is_not_decoded_to_be_measured(monkeypatch, tmp_path):
    """The room in the bank is what its header claims, unless that is beyond belief."""
    monkeypatch.setattr(decoding, "read_all", lambda *_: (np.empty((7, 1), np.float32), False))
    content, path = bytearray(flac()), tmp_path / "a.flac"
    path.write_bytes(content)
    assert measure(str(path), Data()) == (RATE, -1.0)
    assert measure(str(path), Data(sample_rate=8000)) == (RATE // 2 + 1, -1.0)
    content[21] |= 0x0F  # 2³⁶ samples
    path.write_bytes(content)
    assert measure(str(path), Data()) == (7, -1.0)


@pytest.mark.parametrize("rate", [RATE, 8000])
def test_sixteen_bits_are_what_libsndfile_reads(tmp_path, rate):
    both = np.stack([NOISE, NOISE[::-1]], 1)
    soundfile.write(tmp_path / "b.wav", both, RATE, subtype="PCM_16")
    data = Data(channel=1, sample_rate=rate)
    samples, row, _ = decode(tmp_path, (tmp_path / "b.wav").read_bytes(), data=data)
    read, _ = soundfile.read(tmp_path / "b.wav", dtype="int16" if rate == RATE else "float32")
    expected = read[:, 1] if rate == RATE else np.rint(32768 * soxr.resample(read[:, 1], RATE, rate)).astype(np.int16)
    assert np.array_equal(samples, expected) and (row["file_rate"], row["channels"]) == (RATE, 2)


@pytest.mark.parametrize("tail", [b"TAG" + b"x" * 125, b"\0" * 99])
def test_a_flac_with_tags_around_it_is_whole(tmp_path, tail):
    samples, row, said = decode(tmp_path, b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + flac() + tail, "a.flac")
    assert np.array_equal(samples, NOISE) and row["usable"] and not said


def test_a_tag_before_the_header(tmp_path):
    samples, _, said = decode(tmp_path, b"ID3\x04\0\0\0\0\0\x0a" + bytes(10) + wav())
    assert np.array_equal(samples, NOISE) and "bytes before the header: 20; left out" in said


def test_a_picture_in_the_tag_before_the_header(tmp_path):
    """More than the bytes in which a header is looked for; a letter by chance in it is no header."""
    tag = b"ID3\x04\0\0" + bytes([0, 0, 9000 >> 7, 9000 & 127]) + b"RIFF" + bytes(8996)
    samples, row, said = decode(tmp_path, tag + wav(data=0))
    assert np.array_equal(samples, NOISE) and row["usable"] and "bytes before the header: 9010; left out" in said
    assert "another format" not in said
    wrong = b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(10) + wav()  # a size beyond the file
    assert np.array_equal(decode(tmp_path, wrong)[0], NOISE)


@pytest.mark.parametrize("second", [wav(), b"data" + struct.pack("<I", 8) + bytes(8)])
def test_a_second_sound_behind_chunks_is_named(tmp_path, second):
    samples, _, said = decode(tmp_path, wav(after=LIST + ODD + second))
    assert np.array_equal(samples, NOISE) and f"a second sound: {len(second)} bytes" in said


def test_two_files_in_one(tmp_path):
    samples, _, said = decode(tmp_path, wav() + wav())
    assert np.array_equal(samples, NOISE) and "a second sound: 32044 bytes" in said and "split the file" in said


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_codecs_with_a_broken_header(tmp_path, subtype):
    file = io.BytesIO()
    soundfile.write(file, NOISE / 32768, RATE, format="WAV", subtype=subtype)
    content = bytearray(file.getvalue())
    right = decode(tmp_path, bytes(content))[0]
    position = content.index(b"data")
    content[position + 4 : position + 8] = bytes(4)
    samples, row, said = decode(tmp_path, bytes(content))
    assert row["usable"] and len(samples) >= RATE and np.array_equal(samples, right) and "header without length" in said


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert measure(str(tmp_path / "a.wav"), Data())[0] == 0
    row = decode_into(Job(str(tmp_path / "a.wav"), "", 0, 0), Data())
    assert "a pipe or device" in row["problems"][0][0]


def test_a_flac_that_breaks_off_is_read_up_to_there(tmp_path):
    content = flac()
    samples, row, said = decode(tmp_path, content[: len(content) * 3 // 4], "a.flac")
    assert 4096 <= len(samples) < RATE and np.array_equal(samples, NOISE[: len(samples)])
    assert row["usable"] and f"truncated: ends after {len(samples)} of 16000 samples" in said


def test_a_right_header_costs_no_reading_of_the_sound():
    class Counting(bytes):
        read = 0

        def __getitem__(self, key):
            part = super().__getitem__(key)
            Counting.read += len(part)
            return part

    sound = find_sound(Counting(wav()))
    assert (sound.start, sound.length, sound.problems) == (44, 32000, ())
    assert Counting.read < 200


def test_two_channels_with_a_broken_header(tmp_path):
    fmt = struct.pack("<HHIIHH", 1, 2, RATE, 4 * RATE, 4, 16)
    both = np.stack([NOISE, NOISE[::-1]], 1)
    for channel, expected in ((0, NOISE), (1, NOISE[::-1])):
        samples, _, _ = decode(tmp_path, wav(both, fmt, data=0), data=Data(channel=channel))
        assert np.array_equal(samples, expected)
