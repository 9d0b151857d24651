"""The listener at quick on one core: latency, clips a second, cold start, agreement of stream and batch, memory.

Seconds are of CPU of one thread, but a cold start's, which is what a person waits for.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from lib.paths import PROJECT
from workflow.bench.entry import Entry
from workflow.bench.made import RATE, alone, coloured_root, peak

PRESET = (
    "base: quick\nsystems: [OE]\nbaselines: false\nbeyond: [Spectrum]\nreport: false\ntraining: {epochs: 1}\n"
    "evaluation: {bootstrap: 0}\n"
)
ROWS = {"OE": 3000, "Spectrum": 10_000}  # and how many machines a core should watch, at a clip a minute
P50, P99, COLD = 0.060, 0.150, 3.0  # seconds that are wanted
HOURS, MANY = 2, 1000


def listening(repeats: int = 100, many: int = MANY) -> Iterator[Entry]:
    """All of it, on a machine that is trained for it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        coloured_root(folder / "data")
        (folder / "preset.yaml").write_text(PRESET)
        run = folder / "run"
        arguments = ["--preset", folder / "preset.yaml", "--data", folder / "data", "--run", run, "--cores", "1"]
        _python("lib.batch", *arguments)
        machine, clips = run / "machine0", sorted((folder / "data" / "machine0" / "test").iterdir())
        for row, machines in ROWS.items():
            yield from _of_row(machine, clips, row, machines, repeats, many)
        begin = time.perf_counter()
        _python("lib.score", machine, clips[0], "--csv", folder / "scores.csv")
        seconds = time.perf_counter() - begin
        yield Entry("cold start", "python -m lib.score, one clip", 1 / seconds, "1/s", 1 / COLD, "3 s", goal=1)
        long = folder / "long.wav"
        with soundfile.SoundFile(long, "w", RATE, 1) as file:
            for _ in range(HOURS * 60):
                file.write(np.random.default_rng(0).integers(-3000, 3000, 60 * RATE, np.int16))
        _, seconds, held = alone(score_once, machine, long)
        yield Entry("a long clip", f"{HOURS} hours", HOURS * 3600 / seconds, "seconds of sound/s")
        yield Entry("a long clip, memory", f"{HOURS} hours", 1 / held, "1/GiB", 1 / 4, "4 GiB", goal=1)


def _python(module, *arguments):
    environment = os.environ | {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", module, *map(str, arguments)], env=environment, check=True,
                   capture_output=True)  # fmt: skip


def _of_row(machine, clips, row, machines, repeats, many):
    found = alone(one_by_one, machine, clips, row, repeats).result
    for name, goal in (("p50", P50), ("p99", P99)):
        size = f"{row}, {name} of a 10 s clip"
        yield Entry("latency", size, 1 / found[name], "1/s", 1 / goal, f"{1000 * goal:.0f} ms", goal=1)
    rate = alone(together, machine, clips, row, max(repeats, 64)).result
    words = f"{machines} machines at a clip a minute"
    yield Entry("clips in batches of 16", row, rate, "clips/s", machines / 60, words, goal=1)
    apart = alone(stream_apart, machine, clips[0], row).result
    yield Entry("stream and batch", row, 1 / max(apart, 1e-12), "1/relative difference", 1e4, "1e-4", goal=1)
    if row == "Spectrum":
        grown = alone(growth, machine, clips, row, many).result  # MiB in `many` clips, when all is warm
        size = f"{row}, {many} clips after {many // 4}"
        yield Entry("flat memory", size, 1 / max(grown, 1.0), "1/MiB", 1 / 20, "20 MiB, of noise", goal=1)


def _listener(machine, row=None):
    from lib.listener import Listener

    return Listener.load(machine, row)


def score_once(machine: Path, clip: Path) -> None:
    """One clip by the row that is taken when none is named."""
    _listener(machine).score([clip])


def one_by_one(machine: Path, clips: list[Path], row: str, repeats: int) -> dict[str, float]:
    """{p50, p99} of the CPU seconds of one clip after the first."""
    listener, seconds = _listener(machine, row), []
    for i in range(repeats + 1):
        begin = time.process_time()
        listener.score([clips[i % len(clips)]])
        seconds.append(time.process_time() - begin)
    return dict(zip(("p50", "p99"), np.quantile(seconds[1:], (0.5, 0.99)).tolist(), strict=True))


def together(machine: Path, clips: list[Path], row: str, count: int) -> float:
    """Clips a CPU second in batches of 16, as `lib.score` decodes them."""
    listener = _listener(machine, row)
    listener.score(clips[:2])
    few = [clips[i % len(clips)] for i in range(16)]
    begin = time.process_time()
    for _ in range(count // 16):
        listener.score(few)
    return count // 16 * 16 / (time.process_time() - begin)


def stream_apart(machine: Path, clip: Path, row: str) -> float:
    """Largest relative difference between a stream's stretches and the same ones scored as clips."""
    listener, samples = _listener(machine, row), soundfile.read(clip, dtype="int16")[0]
    samples = np.concatenate([samples, samples[::-1]])
    stream, found = listener.stream(RATE, 10.0, 5.0), []
    for first in range(0, len(samples), 4096):
        fed = stream.feed(samples[first : first + 4096])
        found += fed["score"].tolist() if len(fed) else []
    stretches = [samples[first : first + 10 * RATE] for first in range(0, len(samples) - 10 * RATE + 1, 5 * RATE)]
    expected = listener.score(stretches, rate=RATE)["score"].to_numpy()
    return float(np.max(np.abs(np.array(found) - expected) / np.maximum(np.abs(expected), 1e-6)))


def growth(machine: Path, clips: list[Path], row: str, many: int) -> float:
    """MiB by which the peak grows over `many` clips, after a quarter as many."""
    listener = _listener(machine, row)

    def hear(count):
        for i in range(count):
            listener.score([clips[i % len(clips)]])
        return 1024 * peak()

    return -hear(many // 4) + hear(many)


STAGES = {"listening": listening}
