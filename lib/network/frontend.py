"""From samples to the network's input: crops and segments, mel spectrogram.

Paper: Sec. 4.2 (128 ms window, 16 ms hop, 224 mel bands in 50–7800 Hz, 5.0 s).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import nn

from lib import clock
from lib.network.device import is_host
from lib.network.mel import QUIETEST, mel_bands
from lib.recordings.reading import FULL_SCALE
from lib.settings import Frontend

BLOCKS = 8  # of mel bands, each a product with the bins that it hears; more make the products too small
CHUNK = 8  # segments at once on a CPU, whose spectra fit a cache; a whole batch at once takes longer
GPU_CHUNK = 128  # segments, whose spectra take about 1 GiB


def segment_starts(length: int, segment: int, overlap: float) -> np.ndarray:
    """First samples of a clip's segments; the last is right-aligned, so that no sound is unheard.

    Args:
        length: samples of the clip.
        segment: samples of a segment.
        overlap: share of a segment, 0.75 in the paper.

    Returns:
        (segments,) int64; one segment for a clip no longer than a segment.

    >>> segment_starts(12 * 16000, 5 * 16000, 0.75) / 16000
    array([0.  , 1.25, 2.5 , 3.75, 5.  , 6.25, 7.  ])
    """
    hop = max(1, round(segment * (1 - overlap)))
    starts = np.arange(0, max(length - segment, 0) + 1, hop)
    if starts[-1] + segment < length:
        starts = np.append(starts, length - segment)
    return starts


@dataclass(frozen=True)
class Cuts:
    """Segments of clips of the bank before any audio is touched: tensors of n entries.

    `start` and `length` place the clip in the bank, `offset` the segment in the clip (samples); `mean` and `deviation`
    standardise it.
    """

    start: torch.Tensor
    length: torch.Tensor
    offset: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, rows: pd.DataFrame, offset: ArrayLike, device: torch.device | str = "cpu") -> "Cuts":
        """Cuts at `offset`, one a row of the bank's index (with `mean` and `deviation`)."""
        columns = [rows["start"], rows["length"], offset, rows["mean"], rows["deviation"]]
        kinds = [np.int64] * 3 + [np.float32] * 2
        return cls(*(torch.as_tensor(np.array(c, k), device=device) for c, k in zip(columns, kinds, strict=True)))

    def __len__(self) -> int:
        return len(self.start)

    def to(self, device: torch.device) -> "Cuts":
        """The same on a device."""
        return Cuts(*(getattr(self, field).to(device) for field in self.__dataclass_fields__))

    def __getitem__(self, index) -> "Cuts":
        return Cuts(*(getattr(self, field)[index] for field in self.__dataclass_fields__))


def gather(samples: torch.Tensor, cuts: Cuts, segment: int) -> torch.Tensor:
    """Cut and standardise segments; one that runs over its clip's end goes on at its beginning (short clips are tiled).

    Args:
        samples: (total,) int16 tensor, the bank.
        cuts: `Cuts` of n segments on the same device.
        segment: samples.

    Returns:
        (n, segment) float32.
    """
    cut = (_gather_runs if is_host(samples.device) else _gather_around)(samples, cuts, segment)
    scale = 1 / cuts.deviation
    return cut.float().mul_((scale / FULL_SCALE)[:, None]).sub_((cuts.mean * scale)[:, None])


def _gather_around(samples, cuts, segment):
    """Sample by sample; which segments run over their end is not looked at, since a host would wait for that."""
    steps = cuts.offset[:, None] + torch.arange(segment, device=samples.device)
    return samples[cuts.start[:, None] + steps % cuts.length[:, None]]


def _gather_runs(samples, cuts, segment):
    """The same, a run of samples at once where a segment is one: a fifth of the time on a CPU."""
    over = cuts.offset + segment > cuts.length
    if over.all():
        return _gather_around(samples, cuts, segment)
    cut = samples.unfold(0, segment, 1).index_select(0, torch.where(over, 0, cuts.start + cuts.offset))
    if over.any():
        cut[over] = _gather_around(samples, cuts[over], segment)
    return cut


def spectrograms(
    samples: torch.Tensor,
    cuts: Cuts,
    mel: "MelSpectrogram",
    segment: int,
    partners: Cuts | None = None,
    lam: torch.Tensor | None = None,
) -> torch.Tensor:
    """Standardise → mixup → mel, the only way from the bank to a network's input.

    A few segments at a time, on a CPU so few that their waves and spectra stay in a core's cache.

    Args:
        samples: (total,) int16 tensor, the bank, on the device that computes.
        cuts: `Cuts` of n segments.
        mel: `MelSpectrogram`.
        segment: samples.
        partners: `Cuts` of n segments to mix in, or None.
        lam: (n,) λ; a segment becomes λ·own + (1 − λ)·partner.

    Returns:
        (n, 1, mels, frames) float32, channels-last.
    """
    chunk = CHUNK if is_host(samples.device) else GPU_CHUNK
    parts = []
    for i in range(0, len(cuts), chunk):
        few = slice(i, i + chunk)
        waves = gather(samples, cuts[few], segment)
        if partners is not None:
            waves = torch.lerp(gather(samples, partners[few], segment), waves, lam[few, None])
        parts.append(mel(waves))
    return torch.cat(parts).contiguous(memory_format=torch.channels_last)


@clock.counts("embedding")
@torch.no_grad()
def usual_spectrum(samples: torch.Tensor, rows: pd.DataFrame, mel: nn.Module, segment: int, clips: int = 64) -> list:
    """Mean spectrogram over time of the middles of healthy clips, a list of `mels` numbers a channel.

    Args:
        samples: the bank. rows: of its index, with `mean` and `deviation`. mel: the front end. segment: samples.
        clips: how many at most, evenly drawn.
    """
    chosen = rows.iloc[np.unique(np.linspace(0, len(rows) - 1, min(clips, len(rows))).astype(int))]
    middle = np.maximum(chosen["length"].to_numpy() - segment, 0) // 2
    return spectrograms(samples, Cuts.of(chosen, middle, samples.device), mel, segment).mean(dim=(0, 3)).tolist()


class MelSpectrogram(nn.Module):
    """Mel spectrogram of Sec. 4.2: Hann window, centred frames, HTK mel without area normalisation."""

    def __init__(self, frontend: Frontend, sample_rate: int):
        """`frontend` is `settings.Frontend`; `sample_rate` in Hz."""
        super().__init__()
        self.size, self.hop, self.power, self.log = frontend.window, frontend.hop, frontend.power, frontend.log
        window = torch.hann_window(self.size, dtype=torch.float64)
        self.register_buffer("window", (window / window.square().sum().sqrt()).float(), persistent=False)
        bands = mel_bands(frontend.window, frontend.mels, frontend.low, frontend.high, sample_rate)
        self.register_buffer("bands", torch.from_numpy(bands.T.copy()), persistent=False)  # (mels, bins)
        self.heard = [_heard(bands, block) for block in np.array_split(np.arange(frontend.mels), BLOCKS) if len(block)]

    def frames(self, samples: int) -> int:
        """Frames of a segment: 1 + ⌊samples / hop⌋."""
        return 1 + samples // self.hop

    @torch.no_grad()
    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """(n, samples) → (n, 1, mels, frames) float32; ValueError for waves no longer than half a window."""
        magnitude = self._magnitude(_reflected(waves, self.size // 2).unfold(1, self.size, self.hop))
        magnitude = (magnitude if self.power == 1 else magnitude.square_()).transpose(1, 2)  # (n, bins, frames)
        mel = torch.cat([self.bands[mels, bins] @ magnitude[:, bins] for mels, bins in self.heard], dim=1)
        if self.log:
            mel = mel.clamp_min(QUIETEST).log()
        return mel.unsqueeze(1)

    def _magnitude(self, frames):
        """(n, frames, window) → (n, frames, bins).

        On a CPU wave by wave, whose spectrum stays in its cache, and by NumPy, whose complex modulus is vectorised and
        takes a fifth of torch's time.
        """
        if not is_host(frames.device):
            return torch.fft.rfft(frames * self.window).abs()
        found = torch.empty(*frames.shape[:2], self.size // 2 + 1)
        for wave, place in zip(frames, found.numpy(), strict=True):
            np.abs(torch.fft.rfft(wave * self.window).numpy(), out=place)
        return found


def _heard(bands, block):
    """A block of mel bands and the bins that it hears, as slices: most of the (bins, mels) weights are 0."""
    bins = np.flatnonzero(bands[:, block].any(axis=1)).tolist() or [0]
    return slice(int(block[0]), int(block[-1]) + 1), slice(bins[0], bins[-1] + 1)


def _reflected(waves, half):
    """(n, samples) → (n, half + samples + half), as `pad` with "reflect" makes it in four times the time."""
    if half >= waves.shape[1]:
        raise ValueError(f"{waves.shape[1]} samples: a window of {2 * half} needs more than {half}")
    return torch.cat([waves[:, 1 : half + 1].flip(1), waves, waves[:, -half - 1 : -1].flip(1)], dim=1)
