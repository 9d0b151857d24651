"""The clip bank: every clip decoded once, in parallel, to one memory-mapped int16 file at one sample rate.

A bank is a folder of `samples.i16` (all clips end to end), `index.parquet` (a row a clip) and `bank.json` (the
fingerprint: SHA-256 over the decoder's version, rate and channel and over names, attributes, sizes and CRC-32s of the
audio files). It is rebuilt exactly when the audio or the decoder changes: `ClipBank.open` compares each file's size and
times, and where these differ its contents.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from lib import clock, paths
from lib.paths import whole_file
from lib.progress import cores
from lib.recordings import dcase, levels
from lib.recordings.decoding import STATE, VERSION, Job, checksum_of, decode_into, file_state, measure
from lib.settings import Data, load_settings

if TYPE_CHECKING:
    import torch

PLACE = ["start", "length"]  # of a clip's samples: columns of `clips`, all that `sound` looks at


class ClipBank:
    """Decoded clips of a data root.

    Attributes:
        clips: DataFrame, the rows of `Dataset.clips` with `start` and `length` (samples in `samples`), `seconds`,
            the file's own `file_rate` (Hz) and `channels`, and `usable`.
        samples: (total,) int16 memory map.
        problems: DataFrame of file, problem and mend, the index's and the decoder's together.
        fingerprint: hexadecimal digest of the audio and of how it was decoded.
    """

    def __init__(self, folder: Path, dataset: dcase.Dataset, data: Data):
        self.folder = Path(folder)
        self.dataset = dataset
        self.clips = pd.read_parquet(self.folder / "index.parquet")
        state = json.loads((self.folder / "bank.json").read_text())
        self.fingerprint, self.sample_rate, self.decoder = state["fingerprint"], data.sample_rate, _decoder(data)
        self.problems = pd.concat(
            [dataset.problems, pd.DataFrame(state["problems"], columns=dcase.PROBLEM_COLUMNS)], ignore_index=True
        )
        size = (self.folder / "samples.i16").stat().st_size
        self.samples = np.memmap(self.folder / "samples.i16", np.int16, "r") if size else np.empty(0, np.int16)

    @classmethod
    @clock.counts("bank")
    def open(cls, run: paths.Run, data_root: str | Path, data: Data, workers: int | None = None) -> "ClipBank":
        """The bank of `data_root`, built or rebuilt when that is due; one process builds, others wait.

        Args:
            run: `paths.Run`, beside which banks are kept.
            data_root: folder in DCASE layout.
            data: `settings.Data`.
            workers: decoding processes; None is one a core.

        Raises:
            ValueError: an unusable root. OSError: the bank's folder cannot be written.
        """
        dataset = dcase.Dataset(data_root)
        folder = paths.bank_folder(run, dataset.root, data.sample_rate, data.channel)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / "lock", "w")  # noqa: SIM115
        except OSError as error:
            raise OSError(
                f"cannot write {folder}: {error.strerror}; choose another run folder (RUN or run_dir)"
            ) from error
        with lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)  # flock would pass to the workers, which outlive a killed parent
            if not _fresh(folder, dataset.clips, _decoder(data)):
                _build(folder, dataset, data, workers or cores())
            return cls(folder, dataset, data)

    def of(self, machine: str, split: str | None = None) -> pd.DataFrame:
        """Usable rows of one machine (and split).

        Raises:
            ValueError: unknown machine.
        """
        rows = self.clips.iloc[self.dataset.places(machine, split)]
        return rows[rows["usable"]]

    def training(self, machine: str) -> pd.DataFrame:
        """Usable training rows of a target machine; ValueError, with the first problems, when there are none."""
        rows = self.of(machine, "train")
        if rows.empty:
            own = self.problems[self.problems["machine"] == machine].head(3)
            found = "".join(f"\n  {p.file}: {p.problem} ({p.mend})" for p in own.itertuples())
            raise ValueError(
                f"{machine}: no usable training clips under {self.dataset.root}; put normal recordings into "
                f"{machine}/train{found}"
            )
        return rows

    def usual(self, machine: str) -> dict[str, float]:
        """What most training clips of a machine have: `seconds`, and the `divisor` of float samples (`levels`).

        Of a machine without any, 0 seconds.
        """
        rows = self.of(machine, "train")
        if rows.empty:
            return {"seconds": 0.0, "divisor": 1.0}
        return {"seconds": float(rows["seconds"].median()), "divisor": float(rows["divisor"].mode().max())}

    def pseudo_anomalous(self, machine: str) -> pd.DataFrame:
        """Usable training rows of every other machine; ValueError when there are none."""
        rows = self.clips[(self.clips["machine"] != machine) & (self.clips["split"] == "train") & self.clips["usable"]]
        if rows.empty:
            raise ValueError(
                f"{self.dataset.root}: {machine} is the only machine with training clips; outlier exposure needs "
                "recordings of at least one other machine beside it, as <root>/<other machine>/train/*.wav"
            )
        return rows

    @cached_property
    def train_machines(self) -> set[str]:
        """The machines that have usable training clips."""
        return set(self.clips.loc[(self.clips["split"] == "train") & self.clips["usable"], "machine"])

    @cache  # noqa: B019  one bank a process
    def fingerprint_of(self, machine: str, alone: bool = False) -> str:
        """Digest of what a model of `machine` hears: its own clips and, but for one that hears it `alone`, the training
        clips of all others."""
        if alone:
            return _digest(self.clips.iloc[self.dataset.places(machine)], self.decoder)
        return _digest(self.clips.iloc[self.dataset.places(machine, "test")], {"training": self._training_digest})

    @cached_property
    def _training_digest(self):
        """Of the training clips of all machines: once, however many machines there are."""
        return _digest(self.clips[self.clips["split"] == "train"], self.decoder)

    def tensor(self, device: "torch.device | str" = "cpu") -> "torch.Tensor":
        """(total,) int16 tensor of `samples`: a view of the memory map on the CPU, a copy on a GPU."""
        import torch  # takes seconds, which what only indexes or audits should not wait for

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(self.samples).to(device)

    def sound(self, row: NamedTuple) -> np.ndarray:
        """(length,) int16 samples of one row of `clips`."""
        return self.samples[row.start : row.start + row.length]


def _same_content(path, checksum):
    try:
        return checksum_of(Path(path).read_bytes()) == checksum
    except OSError:
        return False


def _decoder(data):
    """What the samples follow from beside the files."""
    return {"version": VERSION, "sample_rate": data.sample_rate, "channel": data.channel}


def _fresh(folder, clips, decoder):
    """Whether the bank in `folder` holds exactly the audio of `clips`, these rows, decoded by `decoder`; renews times
    that only look new."""
    try:
        state = json.loads((folder / "bank.json").read_text(encoding="utf-8"))
        index = pd.read_parquet(folder / "index.parquet")
    except (OSError, ValueError):
        return False
    if state.get("decoder") != decoder or not index[list(dcase.CLIP_COLUMNS)].equals(clips):
        return False
    samples = folder / "samples.i16"
    if not samples.exists() or samples.stat().st_size != 2 * index["room"].sum():
        return False
    now = np.array([file_state(path) for path in clips["path"]]).reshape(-1, 3)
    touched = np.flatnonzero((index[list(STATE)].to_numpy() != now).any(axis=1))
    if not all(_same_content(index["path"][i], index["checksum"][i]) for i in touched):
        return False
    if len(touched):
        index[list(STATE)] = now
        with whole_file(folder / "index.parquet") as temporary:
            index.to_parquet(temporary)
    return True


def _build(folder, dataset, data, workers):
    """Decode all clips into `folder`; `bank.json`, written last, declares the bank whole."""
    (folder / "bank.json").unlink(missing_ok=True)
    files = dataset.clips["path"].tolist()
    with ProcessPoolExecutor(workers) as pool:
        measured = _each(pool, workers, measure, files, [data] * len(files))
        lengths = np.array([length for length, _ in measured], np.int64)
        divisors, problems = levels.of_machines(dataset.clips["machine"], files, [peak for _, peak in measured])
        with whole_file(folder / "samples.i16", sync=False) as temporary:
            decode = partial(_decode_all, pool, workers, temporary, files, divisors=divisors, data=data)
            decoded = decode(lengths)
            wanted = np.array([row.pop("wanted", 0) for row in decoded], np.int64)
            if (wanted > lengths).any():  # a header claimed too little
                lengths = np.maximum(lengths, wanted)
                decoded = decode(lengths)
    found = zip(dataset.clips["machine"], files, decoded, strict=True)
    problems += [(machine, path, *each) for machine, path, row in found for each in row.pop("problems")]
    index = dataset.clips.join(pd.DataFrame(decoded, index=dataset.clips.index))
    index["start"], index["room"] = np.cumsum(lengths) - lengths, lengths
    index["usable"] &= np.isfinite(divisors)
    for row in _same_audio(index).itertuples():
        problems.append((row.machine, row.path, f"copied: the same audio as {row.first}", "delete one of the two"))
    index = index.drop(columns="wanted", errors="ignore")
    with whole_file(folder / "index.parquet", sync=False) as temporary:
        index.to_parquet(temporary)
    decoder = _decoder(data)
    state = {"fingerprint": _digest(index, decoder), "decoder": decoder, "clips": len(index), "problems": problems}
    with whole_file(folder / "bank.json", sync=False) as temporary:
        temporary.write_text(json.dumps(state, indent=1))


def _decode_all(pool, workers, path, files, lengths, divisors, data):
    """Decode files, one behind the other, into `path`; a row of the index each."""
    _allocate(path, 2 * int(lengths.sum()))
    starts = np.cumsum(lengths) - lengths
    jobs = list(map(Job, files, [str(path)] * len(files), starts, lengths, divisors))
    return _each(pool, workers, decode_into, jobs, [data] * len(files))


def _each(pool, workers, work, *columns):
    """Results of a work on each row of the columns, few enough at once that no process waits long for the others."""
    return list(pool.map(work, *columns, chunksize=max(1, min(32, len(columns[0]) // (4 * workers)))))


def _digest(index, decoder):
    """Of the decoder and of names, attributes, sizes and checksums of the clips."""
    names = index["machine"] + "/" + index["split"] + "/" + index["stem"] + "|" + index["attributes"]
    lines = [json.dumps(decoder, sort_keys=True), *(names + "|" + index["checksum"])]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _same_audio(index):
    """Usable rows whose audio file stood earlier in the index, with `first`, the earlier path."""
    usable = index[index["usable"]]
    first = usable.groupby("checksum")["path"].transform("first")
    return usable.assign(first=first)[first != usable["path"]]


def _allocate(path, size):
    """Set the file's size; OSError when the disk has no room (posix_fallocate makes the later writes 4 × slower)."""
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(f"the decoded clips need {size / 2**20:.0f} MiB and {free / 2**20:.0f} MiB are free")
    os.truncate(path, size)


def audio_state(data_root: str | Path) -> str:
    """Digest of a root's index and of its files' sizes and times: cheap, changes whenever the data may have changed."""
    dataset = dcase.Dataset(data_root)
    states = [file_state(path) for path in dataset.clips["path"]]
    text = dataset.clips.to_csv() + dataset.problems.to_csv() + json.dumps(states)
    return hashlib.sha256(text.encode()).hexdigest()


def main(preset: str, run_dir: str, data_root: str) -> None:
    """python -m lib.recordings.clips PRESET RUN_DIR DATA_ROOT: build the bank, leave `data.json` on what is in it."""
    run, settings = paths.run_folder(run_dir, preset), load_settings(preset)
    bank = ClipBank.open(run, data_root, settings.data)
    usable = int(bank.clips["usable"].sum())
    facts = {"root": bank.dataset.root.name, "synthetic": bank.dataset.synthetic, "fingerprint": bank.fingerprint}
    paths.write_text(run.root / "data.json", json.dumps(facts | {"clips": len(bank.clips), "usable": usable}, indent=1))
    print(f"{bank.dataset.root}: {usable} of {len(bank.clips)} clips usable, {len(bank.problems)} problems")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(main.__doc__.splitlines()[0])
    try:
        main(*sys.argv[1:])
    except (ValueError, OSError) as error:
        sys.exit(str(error))
