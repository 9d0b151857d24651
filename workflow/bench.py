"""Speed as ratios measured in one run: python workflow/bench.py [front-end] [bank] [knn] [gmm]   (make bench)."""

import itertools
import os
import platform
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from lib import training
from lib.batches import BalancedBatches
from lib.clips import ClipBank
from lib.embeddings import Embeddings
from lib.frontend import MelSpectrogram
from lib.inliers import GMM, KNN
from lib.metrics import machine_scores
from lib.paths import OUTPUTS, Run
from lib.scoring import clip_scores, fit_sets
from lib.settings import Settings

WORKERS = len(os.sched_getaffinity(0))


def median_seconds(work, repeats):
    """Median wall time of `work()` after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return float(np.median(times[1:]))


def in_turn(first, second, repeats, clean=lambda: None):
    """Median times of two works that take turns, so that a machine's drift meets both; `clean()` goes before each."""
    times = []
    for i in range(repeats + 1):
        pair = []
        for work in (first, second):
            clean()
            begin = time.perf_counter()
            work()
            pair.append(time.perf_counter() - begin)
        if i:
            times.append(pair)
    return np.median(times, axis=0)


def bench_front_end():
    """OE training from bank to optimizer step, against the bare network step."""
    rng = np.random.default_rng(0)
    samples = torch.from_numpy((3000 * rng.standard_normal(100 * 192_000)).astype(np.int16))
    rows = pd.DataFrame(
        {"machine": "a", "start": 192_000 * np.arange(100), "length": 192_000, "mean": 0.0, "deviation": 0.1}
    )
    for mels, hop, repeats in ((224, 256, 5), (64, 512, 20)):
        settings = Settings.model_validate({"frontend": {"mels": mels, "hop": hop}})
        segment = settings.segment_samples
        batches = BalancedBatches(rows[:50], rows[50:], settings.training, segment, 0)
        mel, model = MelSpectrogram(settings.frontend, 16000), training.build_model(settings, torch.device("cpu"))
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, weight_decay=0.0, fused=True)
        precision = training.pick_precision("auto", torch.device("cpu"))
        late = batches.steps - 1  # every batch is mixed: the slower case
        fixed = batches.draw(late)
        random = torch.rand(128, 1, mels, mel.frames(segment)).contiguous(memory_format=torch.channels_last)

        def bare(fixed=fixed, random=random, model=model, optimizer=optimizer, precision=precision):
            training.optimizer_step(model, fixed, random, {"machine": 1.0}, precision, optimizer)

        def whole(batches=batches, mel=mel, segment=segment, late=late, model=model, optimizer=optimizer, p=precision):
            batch = batches.draw(late)
            inputs = batch.spectrograms(samples, mel, segment)
            training.optimizer_step(model, batch, inputs, {"machine": 1.0}, p, optimizer)

        network, pipeline = in_turn(bare, whole, repeats)
        print(
            f"OE training {mels} × {mel.frames(segment)}, {str(precision)[6:]}: {128 / pipeline:.1f} clips/s, "
            f"bare network step {128 / network:.1f}; ratio {network / pipeline:.3f}"
        )


def _read_int16(path):
    return len(soundfile.read(path, dtype="int16")[0])


def _read(path):
    return len(soundfile.read(path)[0])


def bench_bank():
    """1000 clips of 12 s into the bank, against reading them with soundfile in as many processes."""
    rng = np.random.default_rng(0)
    noise = (1500 * rng.standard_normal(192_000 + 1000)).astype(np.int16)
    for suffix in ("flac", "wav"):
        with tempfile.TemporaryDirectory() as folder:
            train = Path(folder) / "data" / "fan" / "train"
            train.mkdir(parents=True)
            for i in range(1000):
                name = train / f"section_00_source_train_normal_{i:04d}_noAttribute.{suffix}"
                soundfile.write(name, noise[i : i + 192_000], 16000)
            files = sorted(map(str, train.iterdir()))

            def read(reader, files=files):
                with ProcessPoolExecutor(WORKERS) as pool:
                    sum(pool.map(reader, files, chunksize=8))

            def bank(folder=folder):
                ClipBank.open(Run(Path(folder) / "run"), Path(folder) / "data", Settings().data)

            def remove(folder=folder):
                shutil.rmtree(Path(folder) / "banks", ignore_errors=True)

            default, ours = in_turn(lambda read=read: read(_read), bank, 8, remove)
            int16 = median_seconds(lambda read=read: read(_read_int16), 4)
            print(
                f"bank of 1000 × 12 s {suffix}, {WORKERS} processes: {ours:.2f} s; soundfile.read {default:.2f} s "
                f"(ratio {ours / default:.2f}), as int16 {int16:.2f} s (ratio {ours / int16:.2f})"
            )


def bench_knn():
    """KNN by whitening, fit and 1000 queries against 4000 × 512, and sklearn's metric="mahalanobis"."""
    rng = np.random.default_rng(0)
    vectors = np.maximum(rng.standard_normal((5000, 512)) @ rng.standard_normal((512, 512)), 0)
    fit, queries = vectors[:4000], vectors[4000:]
    covariance = ledoit_wolf(fit)[0]
    knn = KNN((1, 2, 4, 16, 32)).fit(fit)
    ours = median_seconds(lambda: knn.score(queries), 5)
    inverse = np.linalg.inv(covariance)
    exact = NearestNeighbors(
        n_neighbors=32, algorithm="brute", metric="mahalanobis", metric_params={"VI": inverse}
    ).fit(fit)
    few = queries[:50]  # sklearn takes minutes for 1000; its time is linear in them
    begin = time.perf_counter()
    distances = exact.kneighbors(few)[0]
    theirs = (time.perf_counter() - begin) * len(queries) / len(few)
    error = max(
        np.abs(scores / distances[:, : int(name[4:])].mean(axis=1) - 1).max() for name, scores in knn.score(few).items()
    )
    print(
        f"KNN scoring 1000 queries against 4000 × 512: {ours * 1e3:.0f} ms, sklearn {theirs:.0f} s "
        f"(from {len(few)} queries); ratio {theirs / ours:.0f}, largest relative difference {error:.1e}"
    )


def bench_gmm():
    """Held-out NLL of 32 components over that of one, and AUCs, by rank reduction and regularisation, on outputs/*."""
    for path in sorted(OUTPUTS.glob("*/*/OE/all/seed0/embeddings.npz")):
        table = Embeddings.load(path)
        source = fit_sets(table)["source"]
        held = table.part("validation").take(table.part("validation").clips["domain"] == "source").vectors
        test = table.part("test")
        if not len(held) or not (test.clips["label"] == "anomaly").any():
            continue
        for variance, reg_covar in itertools.product((0.95, 0.99), (0.1, 0.3, 1.0)):
            gmm = GMM((1, 4, 32), variance, reg_covar).fit(source)
            ratio = gmm.score(held)["GMM-32"].mean() / gmm.score(held)["GMM-1"].mean()
            scores = {name: clip_scores(s, test.clip) for name, s in gmm.score(test.vectors).items()}
            areas = [
                machine_scores(s, test.clips["domain"], test.clips["label"])["paper"]["hmean"][0]
                for s in scores.values()
            ]
            shown = ", ".join(f"{name} {100 * area:.1f}" for name, area in zip(scores, areas, strict=True))
            print(
                f"{path.relative_to(OUTPUTS).parts[:2]}: {len(source)} segments, variance {variance}, rank {gmm.rank}, "
                f"reg_covar {reg_covar}: held-out NLL ratio {ratio:.2f}; hmean [%] {shown}"
            )


BENCHES = {"front-end": bench_front_end, "bank": bench_bank, "knn": bench_knn, "gmm": bench_gmm}

if __name__ == "__main__":
    print(f"{platform.machine()}, {WORKERS} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
