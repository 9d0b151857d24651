"""The baseline: its features, and an epoch of its training against the bare products of its steps."""

import contextlib
import io
from collections.abc import Callable, Iterator

import librosa
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lib.network import autoencoder, device
from lib.progress import cores
from lib.recordings.reading import FULL_SCALE
from lib.settings import Settings
from workflow.bench.clocks import WALL, in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import RATE, coloured

LIBROSA = 10  # clips; its time is linear in them
LOADED = 8192  # vectors of the plain loop, whose time is linear in them


def epoch(clips: int = 100) -> Iterator[Entry]:
    """Features of clips; one epoch over their vectors."""
    settings = Settings().autoencoder.model_copy(update={"epochs": 1, "validation_fraction": 0.0})
    samples, rows = coloured(clips)

    def features():
        return autoencoder.log_mel_frames(samples, rows, settings, RATE)

    took = in_turn({"ours": features, "librosa": lambda: _by_librosa(samples, rows[:LIBROSA], settings)}, seconds=6)
    yield Entry(
        "autoencoder, features", "clips of 12 s", clips / took["ours"], "clips/s", peer=LIBROSA / took["librosa"],
        peer_of="librosa, clip by clip",
    )  # fmt: skip
    frames = features()
    network, plain = (autoencoder.build_network(settings).to(samples.device) for _ in range(2))
    vectors = torch.cat([frames.vectors()[clip] for clip in frames.of_clips()])

    def ours():
        with contextlib.redirect_stdout(io.StringIO()):
            autoencoder.train(network, frames, settings, 0)

    steps = len(vectors) // settings.batch
    took = in_turn({"ours": ours, "bare": _products(network, settings.batch, steps)}, seconds=12)
    peer = in_turn({"plain": lambda: plain_epoch(plain, vectors[:LOADED], settings)}, 5, WALL)["plain"]
    yield Entry(
        "autoencoder, epoch", f"vectors of 640, batch {settings.batch}", len(vectors) / took["ours"], "vectors/s",
        steps * settings.batch / took["bare"], "its steps' bare fp32 products",
        min(LOADED, len(vectors)) / peer, f"a DataLoader with {cores()} workers and autograd", 0.7,
    )  # fmt: skip


def _by_librosa(samples, rows, settings):
    for row in rows.itertuples():
        sound = samples[row.start : row.start + row.length].cpu().numpy().astype("float32") / FULL_SCALE
        power = librosa.feature.melspectrogram(
            y=sound, sr=RATE, n_fft=settings.window, hop_length=settings.hop, n_mels=settings.mels
        )
        librosa.power_to_db(power)


def plain_epoch(network: nn.Module, vectors: torch.Tensor, settings) -> None:
    """The organisers' loop: a DataLoader of single vectors, autograd, Adam."""
    adam, place = torch.optim.Adam(network.parameters(), settings.learning_rate), device.pick_device()
    loader = DataLoader(TensorDataset(vectors.cpu()), settings.batch, shuffle=True, num_workers=cores())
    for (batch,) in loader:
        inputs = batch.to(place)
        loss = nn.functional.mse_loss(network(inputs), inputs)
        adam.zero_grad()
        loss.backward()
        adam.step()


def _products(network, batch, steps) -> Callable[[], None]:
    """The bare fp32 matrix products of training steps, three for each Linear: forward and two back."""
    shapes = [module.weight.shape for module in network if isinstance(module, nn.Linear)]
    products, place = [], device.pick_device()
    for outputs, inputs in shapes:
        sizes = ((batch, inputs), (batch, outputs), (outputs, inputs))
        below, above, weight = (torch.randn(*size, device=place) for size in sizes)
        for first, second in ((below, weight.t()), (above, weight), (above.t(), below)):
            products.append((first, second, torch.empty(len(first), second.shape[1], device=place)))

    def work():
        for _ in range(steps):
            for first, second, out in products:
                torch.mm(first, second, out=out)

    return work


STAGES = {"autoencoder": epoch}
