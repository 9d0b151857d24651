"""Speed as ratios measured in one run: python workflow/bench.py [name of BENCHES …], all without   (make bench)."""

import itertools
import platform
import resource
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
from scipy.signal import lfilter
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import DataLoader, TensorDataset

from lib.detection.detectors import fit_sets
from lib.detection.inliers import GMM, KNN
from lib.detection.metrics import machine_scores
from lib.detection.scoring import clip_scores
from lib.network import autoencoder, device, training
from lib.network.batches import BalancedBatches
from lib.network.embeddings import Embeddings
from lib.network.frontend import MelSpectrogram
from lib.network.losses import term_weights
from lib.paths import OUTPUTS, Run
from lib.progress import cores
from lib.recordings.attributes import Labels
from lib.recordings.clips import ClipBank
from lib.settings import Settings
from lib.systems import SYSTEMS

WORKERS = cores()


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


def noise_rows():
    """(samples, rows) as a bank has them: 100 clips of 12 s of noise, half of them the target machine's."""
    samples = torch.from_numpy((3000 * np.random.default_rng(0).standard_normal(100 * 192_000)).astype(np.int16))
    rows = pd.DataFrame(
        {"machine": "a", "start": 192_000 * np.arange(100), "length": 192_000, "mean": 0.0, "deviation": 0.1}
    )
    return samples, rows


class Training:
    """One system's training on `noise_rows`: `step()` goes from bank to optimizer, `bare()` has the network alone."""

    def __init__(self, name, frontend, late, noise):
        settings, system = Settings.model_validate({"frontend": frontend}), SYSTEMS[name]
        schedule, self.segment = settings.training_of(system), settings.segment_samples
        (self.samples, rows), processor = noise, torch.device("cpu")
        self.batches = BalancedBatches(rows[:50], rows[50:], schedule, self.segment, 0)
        self.mel = MelSpectrogram(settings.frontend, 16000)
        self.frames = self.mel.frames(self.segment)
        self.model = training.build_model(settings, system, Labels(), processor)
        self.optimizer = training.build_optimizer(self.model, schedule.learning_rate)
        self.weights, self.precision = term_weights(system, settings), device.pick_precision("auto", processor)
        self.at = self.batches.steps - 1 if late else 0  # at the end every batch is mixed
        self.fixed = self.batches.draw(self.at)
        self.random = torch.rand(128, 1, settings.frontend.mels, self.frames)
        self.random = self.random.contiguous(memory_format=torch.channels_last)

    def bare(self):
        training.optimizer_step(self.model, self.fixed, self.random, self.weights, self.precision, self.optimizer)

    def step(self):
        batch = self.batches.draw(self.at)
        inputs = batch.spectrograms(self.samples, self.mel, self.segment)
        training.optimizer_step(self.model, batch, inputs, self.weights, self.precision, self.optimizer)


def bench_front_end():
    """OE training from bank to optimizer step, against the bare network step; every batch mixed, the slower case."""
    noise = noise_rows()
    for mels, hop, repeats in ((224, 256, 5), (64, 512, 20)):
        oe = Training("OE", {"mels": mels, "hop": hop}, True, noise)
        network, pipeline = in_turn(oe.bare, oe.step, repeats)
        print(
            f"OE training {mels} × {oe.frames}, {str(oe.precision)[6:]}: {128 / pipeline:.1f} clips/s, "
            f"bare network step {128 / network:.1f}; ratio {network / pipeline:.3f}"
        )


def bench_joint():
    """OE-Flow training against OE training, both from bank to optimizer step, at the paper's size and at quick's."""
    noise = noise_rows()
    for (mels, hop, repeats), late in itertools.product(((224, 256, 4), (64, 512, 10)), (False, True)):
        oe, joint = (Training(name, {"mels": mels, "hop": hop}, late, noise) for name in ("OE", "OE-Flow"))
        alone, together = in_turn(oe.step, joint.step, repeats)
        print(
            f"joint training {mels} × {oe.frames}, {'every' if late else 'no'} batch mixed: OE-Flow "
            f"{128 / together:.1f} clips/s, OE {128 / alone:.1f}; ratio {alone / together:.3f}"
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


def coloured_clips(count, seconds):
    """(samples, rows) as a bank has them: noise through a filter that is another one for each clip."""
    rng, length = np.random.default_rng(0), round(seconds * 16000)
    samples = np.empty(count * length, np.int16)
    for i in range(count):
        pole = rng.uniform(-0.9, 0.9)
        samples[i * length : (i + 1) * length] = lfilter([600.0], [1, -pole], rng.standard_normal(length))
    rows = pd.DataFrame({"start": length * np.arange(count), "length": length, "stem": np.arange(count).astype(str)})
    return torch.from_numpy(samples), rows


def plain_training(network, vectors, epochs, learning_rate, batch):
    """The organisers' loop: a DataLoader of single vectors, autograd, Adam; (last epoch's loss, vectors/s)."""
    loader = DataLoader(TensorDataset(vectors), batch_size=batch, shuffle=True)
    adam, seconds = torch.optim.Adam(network.parameters(), learning_rate), []
    for _ in range(epochs):
        begin, losses = time.perf_counter(), []
        for (inputs,) in loader:
            loss = torch.nn.functional.mse_loss(network(inputs), inputs)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.detach() * len(inputs))
        seconds.append(time.perf_counter() - begin)
    return float(torch.stack(losses).sum()) / len(vectors), len(vectors) / np.median(seconds)


def product_speed(network, batch):
    """Vectors/s of the bare fp32 matrix products of a training step, three for each Linear: forward and two back."""
    shapes = [module.weight.shape for module in network if isinstance(module, torch.nn.Linear)]
    products = []
    for outputs, inputs in shapes:
        below, above, weight = torch.randn(batch, inputs), torch.randn(batch, outputs), torch.randn(outputs, inputs)
        for a, b in ((below, weight.t()), (above, weight), (above.t(), below)):
            products.append((a, b, torch.empty(len(a), b.shape[1])))

    def work():
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return batch / median_seconds(work, 300)


def bench_autoencoder(epochs=5):
    """The baseline's features and training on 1000 clips of 12 s, against a plain loop and against bare products."""
    settings = Settings().autoencoder.model_copy(update={"epochs": epochs, "validation_fraction": 0.0})
    samples, rows = coloured_clips(1000, 12)
    begin = time.perf_counter()
    frames = autoencoder.log_mel_frames(samples, rows, settings, 16000)
    features = time.perf_counter() - begin
    networks = []
    for _ in range(2):
        device.seed_everything(0)
        networks.append(autoencoder.build_network(settings))
    floors = []

    def with_floors(numbers, _):  # the bare products before each epoch, so that a machine's drift meets both
        for number in numbers:
            floors.append(product_speed(networks[0], settings.batch))
            yield number

    autoencoder.progress = with_floors
    history = autoencoder.train(networks[0], frames, settings, 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    vectors = torch.cat([frames.vectors()[clip] for clip in frames.of_clips()])
    loss, plain = plain_training(networks[1], vectors, epochs, settings.learning_rate, settings.batch)
    speed, shares = history["vectors_per_second"].median(), history["vectors_per_second"] / floors
    seconds = features + 100 * len(vectors) / speed
    print(
        f"autoencoder, 1000 × 12 s: features {features:.1f} s; {speed:.0f} of {len(vectors)} vectors/s, none held out; "
        f"both, 100 epochs at the median speed of {epochs}: {seconds:.0f} s; peak memory {peak:.2f} GiB\n"
        f"  plain loop {plain:.0f} vectors/s, ratio {speed / plain:.2f}; loss of epoch {epochs} of {epochs} in both: "
        f"{history['loss'].iloc[-1]:.3f}, plain {loss:.3f}, {100 * (history['loss'].iloc[-1] / loss - 1):+.1f} %\n"
        f"  bare fp32 products before each epoch {', '.join(f'{f:.0f}' for f in floors)} vectors/s; share of them "
        f"reached {', '.join(f'{s:.2f}' for s in shares)}, median {shares.median():.2f}"
    )


BENCHES = {
    "front-end": bench_front_end,
    "joint": bench_joint,
    "bank": bench_bank,
    "knn": bench_knn,
    "gmm": bench_gmm,
    "autoencoder": bench_autoencoder,
}

if __name__ == "__main__":
    print(f"{platform.machine()}, {WORKERS} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
