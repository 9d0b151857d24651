"""From files to the bank: decoding in one process, and the whole bank in as many as there are cores."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import librosa
import numpy as np
import soundfile

from lib.paths import Run
from lib.progress import cores
from lib.recordings.clips import ClipBank
from lib.recordings.decoding import Job, decode_into
from lib.settings import Settings
from workflow.bench.clocks import WALL, in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import RATE

SECONDS, LENGTH = 12, 12 * RATE
FORMATS = ("wav", "flac")


@contextmanager
def _recordings(count, suffix):
    """(data root, its files) of noise of a kind that FLAC does shorten."""
    noise = (1500 * np.random.default_rng(0).standard_normal(LENGTH + count)).astype(np.int16)
    with tempfile.TemporaryDirectory() as folder:
        train = Path(folder) / "data" / "fan" / "train"
        train.mkdir(parents=True)
        for i in range(count):
            name = f"section_00_source_train_normal_{i:04d}_noAttribute.{suffix}"
            soundfile.write(train / name, noise[i : i + LENGTH], RATE)
        yield train.parents[1], sorted(map(str, train.iterdir()))


def decode(count: int = 100) -> Iterator[Entry]:
    """A file into its place in the bank, against libsndfile reading it."""
    data = Settings().data
    for suffix in FORMATS:
        with _recordings(count, suffix) as (root, files):
            bank = root.parent / "bank"
            bank.touch()
            os.truncate(bank, 2 * LENGTH * count)
            jobs = [Job(path, str(bank), LENGTH * i, LENGTH) for i, path in enumerate(files)]
            took = in_turn(
                {
                    "ours": lambda jobs=jobs: [decode_into(job, data) for job in jobs],
                    "read": lambda files=files: list(map(_read, files)),
                    "librosa": lambda files=files: [librosa.load(path, sr=None) for path in files],
                },
                seconds=8,
            )
        rates = {name: count / seconds for name, seconds in took.items()}
        yield Entry(
            "decode", f"clips of {SECONDS} s, {suffix}", rates["ours"], "clips/s", rates["read"],
            "soundfile reading them", rates["librosa"], "librosa.load",
        )  # fmt: skip


def bank(count: int = 1000) -> Iterator[Entry]:
    """All clips of a data root into its bank, against reading them in as many processes."""
    for suffix in FORMATS:
        with _recordings(count, suffix) as (root, files):

            def read(files=files):
                with ProcessPoolExecutor(cores()) as pool:
                    sum(pool.map(_read, files, chunksize=8))

            def build(root=root):
                ClipBank.open(Run(root.parent / "run"), root, Settings().data)

            def clean(root=root):
                shutil.rmtree(root.parent / "banks", ignore_errors=True)

            took = in_turn({"ours": build, "read": read}, 10, WALL, clean)
        yield Entry(
            "bank", f"{count} clips of {SECONDS} s, {suffix}", count / took["ours"], "clips/s", count / took["read"],
            "soundfile reading them", goal=1 / 1.15,
        )  # fmt: skip


def _read(path):
    return len(soundfile.read(path)[0])


STAGES = {"decode": decode, "bank": bank}
