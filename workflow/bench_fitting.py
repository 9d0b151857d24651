"""Speed of embedding and of the mixtures: python workflow/bench_fitting.py [embedding | gmm …], all without.

CPU seconds, of works that take turns: other jobs of the machine meet all of them.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from bench_entry import Entry
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from lib.detection import mixtures
from lib.detection.detectors import fit_sets
from lib.detection.inliers import GMM
from lib.network import device
from lib.network.embedder import BATCH, Embedder
from lib.network.embeddings import Embeddings
from lib.network.extractor import MachineModel
from lib.network.frontend import Cuts, MelSpectrogram, segment_starts, spectrograms
from lib.paths import OUTPUTS
from lib.settings import Settings

CLIPS, TURN = 200, 20  # of 12 s; in a turn
LENGTH = 192_000  # samples of a clip


def seconds_in_turn(works: dict[str, Callable], turns: int) -> dict[str, float]:
    """Sum over the turns of each work's CPU seconds; one turn before goes uncounted."""
    total = dict.fromkeys(works, 0.0)
    for turn in range(turns + 1):
        for name, work in works.items():
            begin = time.process_time()
            work()
            total[name] += (time.process_time() - begin) if turn else 0.0
    return total


def noise_clips(count: int) -> tuple[torch.Tensor, pd.DataFrame]:
    """(samples, rows) of a bank of noise."""
    noise = 3000 * np.random.default_rng(0).standard_normal(count * LENGTH)
    rows = {"start": LENGTH * np.arange(count), "length": LENGTH, "mean": 0.0, "deviation": 0.1}
    facts = {"stem": np.arange(count).astype(str), "domain": "source", "label": "normal", "attributes": ""}
    return torch.from_numpy(noise.astype(np.int16)), pd.DataFrame(rows | facts)


def embedding_entries() -> Iterator[Entry]:
    """Embedding 200 clips of 12 s, 1400 segments, against the network alone on spectrograms that are ready."""
    samples, rows = noise_clips(TURN)
    bank = SimpleNamespace(sound=lambda row: samples.numpy()[row.start : row.start + row.length])
    for threads, (mels, hop) in ((t, size) for size in ((64, 512), (224, 256)) for t in (1, 2)):
        device.prepare(0, threads)
        settings = Settings.model_validate({"frontend": {"mels": mels, "hop": hop}})
        mel, model = MelSpectrogram(settings.frontend, 16000), MachineModel().to(memory_format=torch.channels_last)
        embedder = Embedder(model, SimpleNamespace(bank=bank, settings=settings, samples=samples, mel=mel))
        starts = segment_starts(LENGTH, settings.segment_samples, settings.frontend.segment_overlap)
        cuts = Cuts.of(rows.loc[rows.index.repeat(len(starts))], np.tile(starts, TURN))
        ready = spectrograms(samples, cuts, mel, settings.segment_samples)

        @torch.no_grad()
        def bare(model=model, ready=ready):
            for i in range(0, len(ready), BATCH):
                model(ready[i : i + BATCH])

        works = {"bare": bare, "embed": lambda embedder=embedder: embedder.clips(rows, "test")}
        found, segments = seconds_in_turn(works, CLIPS // TURN), CLIPS * len(starts)
        size = f"{mels} × {mel.frames(settings.segment_samples)}, {segments} segments, {threads} thread(s)"
        rate, floor = segments / found["embed"], segments / found["bare"]
        yield Entry("embedding", size, rate, "segments", floor, "network on ready spectrograms", goal=1 / 1.15)


def sklearn_mixtures(reduced: np.ndarray, gmm: GMM) -> list[GaussianMixture]:
    """One after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            GaussianMixture(size, reg_covar=gmm.reg_covar, random_state=gmm.seed).fit(reduced)
            for size in gmm.components
        ]


def products_of(reduced: np.ndarray, sizes: tuple[int, ...], steps: list[int]) -> Callable:
    """The bare products of an EM of these steps: two a step, of all components that are not ready yet."""
    count, d = reduced.shape
    products = np.ones((count, d * (d + 3) // 2 + 1))
    stacks = [sum(size for size, last in zip(sizes, steps, strict=True) if last >= t) for t in range(1, max(steps) + 1)]

    def work():
        for stack in stacks:
            np.ones((stack, products.shape[1])) @ products.T
            np.ones((stack, count)) @ products

    return work


def gmm_entries(turns: int = 2) -> Iterator[Entry]:
    """All mixtures of a machine, of its three fit sets, against sklearn's; of every OE that lies under outputs/."""
    for path in sorted(OUTPUTS.glob("*/*/OE/all/seed0/embeddings.npz")):
        sets, total, count = fit_sets(Embeddings.load(path)), dict.fromkeys(("ours", "sklearn", "bare"), 0.0), 0
        for vectors in sets.values():
            gmm = GMM().fit(vectors)
            reduced = (np.asarray(vectors, np.float64) - gmm.mean) @ gmm.axes
            fitted = mixtures.fit_mixtures(reduced, gmm.components, gmm.reg_covar, gmm.seed)
            works = {
                "ours": lambda v=vectors: GMM().fit(v),
                "sklearn": lambda r=reduced, g=gmm: sklearn_mixtures(r, g),
                "bare": products_of(reduced, gmm.components, [fitted[size].steps for size in gmm.components]),
            }
            for name, seconds in seconds_in_turn(works, turns).items():
                total[name] += seconds / turns
            count += len(fitted)
        largest = max(map(len, sets.values()))
        size = f"{'/'.join(path.relative_to(OUTPUTS).parts[:2])}: {count} mixtures of up to {largest} segments"
        rates = {name: count / seconds for name, seconds in total.items()}
        floor_of, peer_of = "its steps' products", "sklearn's GaussianMixture on vectors that are reduced already"
        goal = 5 * rates["sklearn"] / rates["bare"]
        yield Entry("GMM", size, rates["ours"], "mixtures", rates["bare"], floor_of, rates["sklearn"], peer_of, goal)


BENCHES = {"embedding": embedding_entries, "gmm": gmm_entries}

if __name__ == "__main__":
    for name in sys.argv[1:] or BENCHES:
        for entry in BENCHES[name]():
            peer = f", {entry.rate / entry.peer:.2f} × {entry.peer_of}" if entry.peer else ""
            print(
                f"{entry.stage}, {entry.size}: {entry.rate:.1f} {entry.unit}/s, {entry.rate / entry.floor:.3f} of "
                f"{entry.floor_of} (goal {entry.goal:.3f}){peer}",
                flush=True,
            )
