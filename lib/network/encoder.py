"""A frozen encoder of the user's in place of a trained extractor (beyond the paper): a TorchScript or an ONNX file.

It takes float32 (clips, samples) at its own rate, full scale 1, and gives (clips, d) or (clips, frames, d), of which
the mean over frames is taken. No code of the user's is run: a file that needs some is refused.
"""

import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import soxr
import torch
from torch import nn

from lib.network.experiment import OfAllMachines
from lib.network.extractor import Outputs
from lib.paths import write_text
from lib.recordings.classes import of_all_machines

FORMS = "(clips, samples) → (clips, d) or (clips, frames, d)"


def load_encoder(path: Path, device: torch.device, threads: int = 1) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function in a file, of a float32 tensor (clips, samples) on `device`.

    Args:
        path: of TorchScript, or of ONNX, which is computed on the CPU by `threads`.

    Raises:
        ValueError: the file is of neither kind, or needs code that it does not hold; names it and the mend.
    """
    kind, load = ("TorchScript", _torchscript) if zipfile.is_zipfile(path) else ("ONNX", _onnx)
    try:
        return load(path, device, threads)
    except Exception as error:  # both libraries raise what they like
        raise ValueError(
            f"{path}: no {kind} that runs by itself ({_reason(error)}); export the encoder by torch.jit.trace(…).save "
            "or torch.onnx.export, without operators of your own"
        ) from error


def _reason(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].partition(". This is an internal")[0] if lines else type(error).__name__


def _torchscript(path, device, threads):
    if not any(name.endswith("/constants.pkl") for name in zipfile.ZipFile(path).namelist()):
        raise ValueError("weights or a pickled model, which needs code of its own")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.load(str(path), map_location=device).eval()


def _onnx(path, device, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    if len(session.get_inputs()) != 1:
        raise ValueError(f"it has {len(session.get_inputs())} inputs, one is wanted")
    name = session.get_inputs()[0].name

    def run(sound):
        return torch.from_numpy(np.asarray(session.run(None, {name: sound.cpu().numpy()})[0])).to(device)

    return run


class FrozenEncoder(nn.Module):
    """The encoder of a file, as the model that an `Embedder` asks."""

    flow = None

    def __init__(self, path: Path, rate: int, own_rate: int, device: torch.device, threads: int = 1):
        """`rate` of what it is given and `own_rate` of what the file's function hears, in Hz."""
        super().__init__()
        self.path, self.rates, self.encode = path, (rate, own_rate), load_encoder(path, device, threads)

    def forward(self, sound: torch.Tensor) -> Outputs:
        """(n, 1, 1, samples) → `Outputs` whose embedding is (n, d) float32.

        Raises:
            ValueError: the function fails, or gives no finite numbers of that form; names the file.
        """
        sound = self._resampled(sound.flatten(1))
        try:
            found = self.encode(sound)
        except Exception as error:
            reason = str(error).strip().splitlines()[-1:]
            raise ValueError(f"{self.path}: fails on {tuple(sound.shape)} float32: {''.join(reason)}") from error
        if not (
            isinstance(found, torch.Tensor) and found.ndim in (2, 3) and len(found) == len(sound) and found.numel()
        ):
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(f"{self.path}: gives {shape} for {tuple(sound.shape)}; wanted is {FORMS}")
        found = found.float()
        if not torch.isfinite(found).all():
            raise ValueError(f"{self.path}: gives values that are not finite for {tuple(sound.shape)} of finite sound")
        return Outputs(found.mean(dim=1) if found.ndim == 3 else found, None, None, None)

    def _resampled(self, sound):
        rate, own = self.rates
        if rate == own:
            return sound
        return torch.from_numpy(soxr.resample(sound.cpu().numpy().T, rate, own).T.copy()).to(sound.device)


class Sound(nn.Module):
    """The front end of an encoder that takes samples: none."""

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """(n, samples) → (n, 1, 1, samples)."""
        return waves[:, None, None, :]


@dataclass(frozen=True)
class Encoding(OfAllMachines):
    """The work of 10: what the encoder hears, and where its embeddings go."""

    @cached_property
    def clips(self) -> pd.DataFrame:
        """As `of_all_machines`, of those that have test clips; unstandardised."""
        rows = of_all_machines(self.bank, self.settings).assign(mean=0.0, deviation=1.0)
        return rows[rows["machine"].isin(rows.loc[rows["part"] == "test", "machine"].unique())]

    @cached_property
    def mel(self) -> Sound:
        return Sound()

    @cached_property
    def encoder(self) -> FrozenEncoder:
        """ValueError where the settings name no file."""
        settings = self.settings
        if not settings.encoder:
            raise ValueError(f"preset {self.preset}: names no encoder; add `encoder: <file>`, of TorchScript or ONNX")
        rate = self.bank.sample_rate
        return FrozenEncoder(Path(settings.encoder), rate, settings.encoder_rate, self.device, settings.threads)

    def generator(self) -> np.random.Generator:
        """Of the pseudo-target data."""
        return np.random.default_rng(self.seed)

    def save(self, dimensions: int) -> None:
        """Write `model.json`, which says that all embeddings are there."""
        facts = self.facts() | {"dimensions": dimensions}
        write_text(self.folder / "model.json", json.dumps(facts, indent=1))
        print(f"saved under {self.folder}")
