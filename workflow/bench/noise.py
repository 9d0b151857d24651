"""What the stages hear: noise as a bank has it, and the device on which they compute."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from scipy.signal import lfilter

from lib.network.device import pick_device, pick_precision
from lib.network.extractor import map_size
from lib.settings import Settings, load_settings

RATE = 16000
PRESETS = ("paper", "quick")  # 224 × 313 and 64 × 157
CPU_BATCH = 16  # clips at the paper's size, where a step of 128 takes most of a minute


def rows_of(count: int, seconds: float) -> pd.DataFrame:
    """Rows of an index, clips end to end."""
    length = round(seconds * RATE)
    facts = {"machine": "a", "stem": np.arange(count).astype(str), "domain": "source", "label": "normal"}
    places = {"start": length * np.arange(count), "length": length, "seconds": seconds, "divisor": 1.0}
    return pd.DataFrame(places).assign(**facts, split="train", attributes="{}", mean=0.0, deviation=0.1)


def white(count: int, seconds: float = 12) -> tuple[torch.Tensor, pd.DataFrame]:
    """(samples, rows) as a bank has them, of white noise, on the device."""
    rows = rows_of(count, seconds)
    samples = (3000 * np.random.default_rng(0).standard_normal(rows["length"].sum())).astype(np.int16)
    return torch.from_numpy(samples).to(pick_device()), rows


def coloured(count: int, seconds: float = 12) -> tuple[torch.Tensor, pd.DataFrame]:
    """As `white`, through a filter that is another one for each clip."""
    rng, rows = np.random.default_rng(0), rows_of(count, seconds)
    sounds = [lfilter([600.0], [1, -rng.uniform(-0.9, 0.9)], rng.standard_normal(n)) for n in rows["length"]]
    return torch.from_numpy(np.concatenate(sounds).astype(np.int16)).to(pick_device()), rows


class Bank(SimpleNamespace):
    """A `ClipBank` of `samples`, as far as what embeds and describes clips asks it."""

    sample_rate = RATE

    def sound(self, row) -> np.ndarray:
        return self.samples[row.start : row.start + row.length]


def settings_of(preset: str) -> Settings:
    """A preset's, with a batch that a CPU gets through."""
    settings = load_settings(preset)
    if pick_device().type == "cuda":
        return settings
    batch = min(settings.training.batch, CPU_BATCH if settings.frontend.mels > 64 else settings.training.batch)
    return settings.model_copy(update={"training": settings.training.model_copy(update={"batch": batch})})


def shape_of(settings: Settings) -> tuple[int, int]:
    """(mels, frames) of a segment."""
    return settings.frontend.mels, 1 + settings.segment_samples // settings.frontend.hop


def precision_of(settings: Settings) -> torch.dtype:
    """In which the network is trained."""
    return pick_precision(settings.training.precision, pick_device(), map_size(*shape_of(settings)))


def size_of(settings: Settings, precision: torch.dtype | None = None) -> str:
    """ "64 × 157, fp32"."""
    words = {torch.float32: ", fp32", torch.bfloat16: ", bf16", None: ""}[precision]
    return "{} × {}".format(*shape_of(settings)) + words


def like_input(settings: Settings, count: int) -> torch.Tensor:
    """(count, 1, mels, frames) of the network's input, channels-last on the device."""
    made = torch.rand(count, 1, *shape_of(settings), device=pick_device())
    return made.contiguous(memory_format=torch.channels_last)
