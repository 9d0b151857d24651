"""The challenge's baseline: an autoencoder of stacked log-mel frames, scored in two modes (Tables 2–4, "Baseline").

Source: arXiv:2303.00455 and its code, github.com/nttcslab/dcase2023_task2_baseline_ae. This differs in two points. The
backward pass is written out, which gives the gradients of autograd in less time. Σ is the covariance about the mean of
all training vectors; theirs sums covariances about the mean of each batch, and leaves out the held-out vectors.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lib import clock
from lib.network.device import Stopwatch, read, versions
from lib.paths import readable, whole_file, write_csv, write_text
from lib.progress import progress
from lib.recordings.reading import FULL_SCALE
from lib.settings import Autoencoder, Settings

QUIETEST = np.finfo(float).eps  # floor of the mel power, full scale = 1
MODES = ("MSE", "Mahalanobis")  # of `systems.BASELINES`, in its order
RIDGE = 1e-6  # of the mean variance, added to a covariance that has no inverse
DEGENERATE = 1e-10  # smallest eigenvalue over the largest below which there is none
PRINT_EPOCHS = 10  # between two printed lines


@dataclass(frozen=True)
class Frames:
    """Log-mel frames of clips, end to end, and the vectors that they make.

    Attributes:
        values: (frames, bands) float32 [dB].
        counts: frames of each clip, at least `stacked`.
        stacked: frames in a vector.
    """

    values: torch.Tensor
    counts: tuple[int, ...]
    stacked: int

    def vectors(self) -> torch.Tensor:
        """(frames − stacked + 1, stacked · bands) view: row i is frames i, i + 1, …; a few span two clips."""
        bands = self.values.shape[1]
        return self.values.as_strided((len(self.values) - self.stacked + 1, self.stacked * bands), (bands, 1))

    def of_clips(self) -> list[slice]:
        """For each clip the slice of `vectors()` that lies within it."""
        ends = np.cumsum(self.counts)
        return [slice(end - count, end - self.stacked + 1) for end, count in zip(ends, self.counts, strict=True)]


@clock.counts("embedding")
def log_mel_frames(samples: torch.Tensor, rows: pd.DataFrame, autoencoder: Autoencoder, sample_rate: int) -> Frames:
    """Log-mel frames 10·log10(max(mel power, eps)) as librosa's `melspectrogram` makes them (centred, Slaney mel).

    Args:
        samples: (total,) int16 tensor, the bank, on the device that computes.
        rows: rows of the bank's index. autoencoder: `settings.Autoencoder`. sample_rate: Hz.

    Returns:
        `Frames` of the rows. A clip too short for one vector is repeated up to that length, with a line.
    """
    device, window, hop = samples.device, autoencoder.window, autoencoder.hop
    bands = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=autoencoder.mels)
    bands, hann = torch.from_numpy(bands.T.copy()).to(device), torch.hann_window(window, device=device)
    shortest = hop * (autoencoder.frames - 1)
    short = rows.loc[rows["length"] < shortest, "stem"].tolist()
    if short:
        print(f"{len(short)} clips too short for a vector of {autoencoder.frames} frames are repeated, as {short[0]}")
    parts = []
    for start, length in zip(rows["start"], rows["length"], strict=True):
        sound = samples[start : start + length]
        sound = sound.repeat(-(-shortest // length))[:shortest] if length < shortest else sound
        sound = nn.functional.pad(sound.float() / FULL_SCALE, (window // 2, window // 2))
        spectrum = torch.fft.rfft(sound.unfold(0, window, hop) * hann)  # (frames, bins)
        power = spectrum.real.square() + spectrum.imag.square()
        parts.append((power @ bands).clamp_min_(QUIETEST).log10_().mul_(10))
    return Frames(torch.cat(parts), tuple(map(len, parts)), autoencoder.frames)


def build_network(autoencoder: Autoencoder) -> nn.Sequential:
    """640–128×4–8–128×4–640: Linear, BatchNorm, ReLU, …, Linear; `autoencoder` is `settings.Autoencoder`."""
    size, side = autoencoder.mels * autoencoder.frames, [autoencoder.hidden] * 4
    widths, modules = [size, *side, autoencoder.bottleneck, *side], []
    for inputs, outputs in pairwise(widths):
        modules += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, momentum=0.01, eps=1e-3), nn.ReLU()]
    return nn.Sequential(*modules, nn.Linear(widths[-1], size))


class _Layer(NamedTuple):
    """The tensors of a Linear and what follows it, at hand: to look them up at every step takes a twentieth of it."""

    weight: torch.Tensor
    transposed: torch.Tensor
    bias: torch.Tensor
    gradient: torch.Tensor  # of the weight
    norm: tuple = ()  # weight, bias, running mean and variance of the BatchNorm1d

    @classmethod
    def of(cls, linear: nn.Linear, norm: nn.BatchNorm1d | None = None) -> "_Layer":
        weight, bias = linear.weight.detach(), linear.bias.detach()
        own = (norm.weight.detach(), norm.bias.detach(), norm.running_mean, norm.running_var) if norm else ()
        return cls(weight, weight.t(), bias, linear.weight.grad, own)


class Optimization:
    """Adam on the mean squared error of a `build_network`, the gradient written out.

    The step is bound by its matrix products when the rest costs few, large operations: no graph, no gradient of the
    input, one tensor of all parameters for Adam. A bias that BatchNorm takes away again has no gradient and stays.
    """

    def __init__(self, network: nn.Sequential, learning_rate: float):
        """`network` in training mode on its device; its parameters become views of one tensor."""
        *modules, last = network
        norms = [p for norm in reversed(modules[1::3]) for p in (norm.weight, norm.bias)]
        linears = [*modules[::3], last]
        ordered = norms + [linear.weight for linear in linears] + [linear.bias for linear in linears]
        parameters = torch.cat([p.detach().flatten() for p in ordered])
        parameters.grad = torch.zeros_like(parameters)
        pieces = (whole.split([p.numel() for p in ordered]) for whole in (parameters, parameters.grad))
        for p, value, gradient in zip(ordered, *pieces, strict=True):
            p.data, p.grad = value.view_as(p), gradient.view_as(p)
        self.hidden = [_Layer.of(*pair) for pair in zip(modules[::3], modules[1::3], strict=True)]
        self.last, self.last_bias_gradient = _Layer.of(last), last.bias.grad
        self.momentum, self.eps = modules[1].momentum, modules[1].eps
        self.norm_gradients = parameters.grad[: sum(p.numel() for p in norms)]
        self.adam = torch.optim.Adam([parameters], learning_rate, fused=True)

    @torch.inference_mode()
    def step(self, inputs: torch.Tensor) -> torch.Tensor:
        """One step on (n, dimensions) vectors; returns their summed squared error before it, a 0-d tensor."""
        passed, outputs = [], inputs
        for layer in self.hidden:
            below, linear_out = outputs, torch.addmm(layer.bias, outputs, layer.transposed)
            outputs, mean, scale = torch.native_batch_norm(linear_out, *layer.norm, True, self.momentum, self.eps)
            passed.append((below, linear_out, mean, scale, outputs.relu_()))
        error = torch.addmm(self.last.bias, outputs, self.last.transposed).sub_(inputs)
        loss = torch.dot(error.view(-1), error.view(-1))
        self._backward(error.mul_(2 / error.numel()), outputs, passed)
        self.adam.step()
        return loss

    def _backward(self, slope, outputs, passed):
        """Fill the gradients, from `slope`, (n, dimensions) of the loss by the network's output, downwards."""
        torch.mm(slope.t(), outputs, out=self.last.gradient)
        torch.sum(slope, 0, out=self.last_bias_gradient)
        above, norm_gradients = self.last, []
        for layer, (below, linear_out, mean, scale, outputs) in zip(
            reversed(self.hidden), reversed(passed), strict=True
        ):
            slope = torch.ops.aten.threshold_backward(torch.mm(slope, above.weight), outputs, 0)
            slope, *gradients = torch.ops.aten.native_batch_norm_backward(
                slope, linear_out, layer.norm[0], None, None, mean, scale, True, self.eps, [True, True, True]
            )
            norm_gradients += gradients
            torch.mm(slope.t(), below, out=layer.gradient)
            above = layer
        torch.cat(norm_gradients, out=self.norm_gradients)


@clock.counts("training")
def train(network: nn.Sequential, frames: Frames, autoencoder: Autoencoder, seed: int) -> pd.DataFrame:
    """Train on the vectors of `frames`, a random share of them held out: watched, not selected on.

    Args:
        network: as `build_network`, on the device of `frames`. frames: `Frames` of all training clips.
        autoencoder: `settings.Autoencoder`. seed: of the split and the batches.

    Returns:
        DataFrame, a row an epoch: `epoch`, `loss`, `validation_loss` (mean squared error, dB²), `vectors_per_second`.

    Raises:
        ValueError: fewer than two vectors, or a loss that is not finite.
    """
    generator, vectors = torch.Generator().manual_seed(seed), frames.vectors()
    rows = torch.cat([torch.arange(clip.start, clip.stop) for clip in frames.of_clips()])
    rows = rows[torch.randperm(len(rows), generator=generator)].to(vectors.device)
    held, kept = rows.tensor_split([round(autoencoder.validation_fraction * len(rows))])
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} vectors to train on, at least 2 needed; record more or longer training clips")
    optimization, history = Optimization(network.train(), autoencoder.learning_rate), []
    for epoch in progress(range(1, autoencoder.epochs + 1), "epochs"):
        watch, total, seen = Stopwatch(vectors.device), torch.zeros((), device=vectors.device), 0
        order = kept[torch.randperm(len(kept), generator=generator).to(kept.device)]
        for batch in order.split(autoencoder.batch):
            if len(batch) > 1:  # BatchNorm has no variance of one vector
                total += optimization.step(vectors.index_select(0, batch))
                seen += len(batch)
        watch.stop()
        total, validation = read({"total": total, "validation": _mean_squared_error(network, vectors, held)}).values()
        loss, speed = total / (seen * vectors.shape[1]), seen / watch.seconds
        if not np.isfinite(loss):
            raise ValueError(f"the loss became {loss} in epoch {epoch}; lower autoencoder.learning_rate")
        history.append({"epoch": epoch, "loss": loss, "validation_loss": validation, "vectors_per_second": speed})
        if epoch % PRINT_EPOCHS == 0 or epoch in (1, autoencoder.epochs):
            line = f"epoch {epoch:3d}/{autoencoder.epochs}  loss {loss:.4g}  validation_loss {validation:.4g}"
            print(f"{line}  {speed:.0f} vectors/s", flush=True)
    return pd.DataFrame(history)


@torch.no_grad()
def _mean_squared_error(network, vectors, rows):
    network.eval()
    errors = [((network(v := vectors.index_select(0, few)) - v).square().mean(1)) for few in rows.split(4096)]
    network.train()
    return torch.cat(errors).mean() if len(rows) else np.nan


@torch.no_grad()
def reconstructions(network: nn.Sequential, frames: Frames) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Clip by clip what the network is given and what it makes of it: two (vectors, stacked, bands) tensors [dB]."""
    vectors = frames.vectors()
    network.eval()
    for clip in frames.of_clips():
        yield tuple(x.unflatten(1, (frames.stacked, -1)) for x in (vectors[clip], network(vectors[clip])))


@dataclass(frozen=True)
class Baseline:
    """A trained autoencoder and the inverse covariances of its residuals: what scores a clip.

    Attributes:
        network: as `build_network`, in evaluation mode.
        inverses: {domain: (bands, bands) float64 Σ⁻¹} of the domains that have training clips.
    """

    network: nn.Sequential
    inverses: dict

    @classmethod
    @clock.counts("fitting")
    def fit(cls, network: nn.Sequential, frames: Frames, domains: Iterable[str]) -> "Baseline":
        """Σ of each domain from the residuals of the training clips; `domains` is one of each clip of `frames`."""
        sums = {}
        for domain, (inputs, outputs) in zip(domains, reconstructions(network, frames), strict=True):
            residual = (inputs - outputs).flatten(0, 1).double()
            count, total, square = sums.get(domain, (0, 0, 0))
            sums[domain] = count + len(residual), total + residual.sum(0), square + residual.t() @ residual
        return cls(network, {domain: _inverse(domain, *found) for domain, found in sorted(sums.items())})

    @clock.counts("scoring")
    def scores(self, frames: Frames) -> dict[str, np.ndarray]:
        """(clips,) float64 scores of both modes.

        Returns:
            {"MSE": mean squared error over all vectors and dimensions of the clip [dB²], "Mahalanobis": the smallest
            d̄ᵀΣ⁻¹d̄ of the domains, d̄ the clip's mean residual of each band}.
        """
        errors, means = [], []
        for inputs, outputs in reconstructions(self.network, frames):
            residual = (inputs - outputs).double()
            errors.append(residual.square().mean())
            means.append(residual.mean((0, 1)))
        means = torch.stack(means)
        distances = [((means @ inverse) * means).sum(1) for inverse in self.inverses.values()]
        found = torch.stack([torch.stack(errors), torch.stack(distances).amin(0)]).cpu().numpy()
        return dict(zip(MODES, found, strict=True))

    @clock.counts("writing")
    def save(self, folder: Path, history: pd.DataFrame, facts: dict) -> None:
        """Write `model.safetensors`, `history.csv` and `model.json`: `facts` with `settings`; the versions join."""
        state = self.network.state_dict() | {f"inverse.{domain}": value for domain, value in self.inverses.items()}
        with whole_file(folder / "model.safetensors") as temporary:
            save_file({name: value.clone().contiguous() for name, value in state.items()}, str(temporary))
        write_csv(folder / "history.csv", history)
        write_text(folder / "model.json", json.dumps(facts | {"versions": versions()}, indent=1))

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> tuple["Baseline", dict]:
        """The baseline that `save` wrote and its facts; ValueError when it is not there."""
        if not (folder / "model.safetensors").exists():
            raise ValueError(f"{folder}: no trained autoencoder; run notebooks/02_autoencoder_baseline.ipynb first")
        with readable(folder, "delete it and run notebooks/02_autoencoder_baseline.ipynb again"):
            facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            state = load_file(folder / "model.safetensors", device=str(device))
        inverses = {name[8:]: state.pop(name) for name in sorted(state) if name.startswith("inverse.")}
        network = build_network(Settings.model_validate(facts["settings"]).autoencoder).to(device)
        network.load_state_dict(state)
        return cls(network.eval(), inverses), facts


def _inverse(domain, count, total, square):
    """Σ⁻¹ from the number, the sum and the sum of outer products of residuals, with a ridge where Σ has none."""
    covariance = (square - torch.outer(total, total) / count) / (count - 1)
    values = torch.linalg.eigvalsh(covariance)
    if values[0] <= DEGENERATE * values[-1]:
        ridge = max(RIDGE * float(values.mean()), QUIETEST)
        print(f"the covariance of the {domain} residuals has no inverse; {ridge:.1e} dB² added to its diagonal")
        covariance.diagonal().add_(ridge)
    return torch.linalg.inv(covariance)
