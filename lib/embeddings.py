"""Embeddings of every segment of a machine's clips, the table that detectors are fitted on and score (Eq. 4's 𝒳_i)."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from lib.frontend import Cuts, highpass, power_weights, segment_starts, spectrograms
from lib.paths import whole_file
from lib.progress import progress

CLIP_FIELDS = ("stem", "part", "domain", "label", "attributes", "partner")


@dataclass(frozen=True)
class Embeddings:
    """Segments of clips.

    Attributes:
        vectors: (segments, 512) float32.
        clip: (segments,) position in `clips`; the segments of a clip stand together, in time order.
        weight: (segments,) power weights, each clip's summing to 1.
        clips: DataFrame with `stem`, `part` (train, validation, test, pseudo_target), `domain`, `label`,
            `attributes`, and `partner`, the stem of the target clip mixed into a pseudo-target clip.
    """

    vectors: np.ndarray
    clip: np.ndarray
    weight: np.ndarray
    clips: pd.DataFrame

    def take(self, chosen):
        """The segments of the clips where the boolean `chosen` (clips,) holds, clips renumbered."""
        chosen = np.asarray(chosen, bool)
        kept, number = chosen[self.clip], np.cumsum(chosen) - 1
        return Embeddings(
            self.vectors[kept], number[self.clip[kept]], self.weight[kept], self.clips[chosen].reset_index(drop=True)
        )

    def part(self, *parts):
        """The clips of these parts."""
        return self.take(self.clips["part"].isin(parts))

    def save(self, path, **facts):
        """Write one npz without objects; `facts` is JSON-able provenance."""
        text = {field: self.clips[field].to_numpy(str) for field in CLIP_FIELDS}
        with whole_file(path) as temporary:
            np.savez(
                temporary, vectors=self.vectors, clip=self.clip, weight=self.weight, facts=json.dumps(facts), **text
            )

    @classmethod
    def load(cls, path):
        """Read what `save` wrote; ValueError, naming the notebook that makes it, when it is missing."""
        if not path.exists():
            raise ValueError(
                f"{path}: not there; run the training notebook (03_oe_training) for this machine and seed first"
            )
        with np.load(path) as stored:
            clips = pd.DataFrame({field: stored[field].astype(object) for field in CLIP_FIELDS})
            return cls(stored["vectors"], stored["clip"], stored["weight"], clips)


def concatenate(tables):
    """Several `Embeddings` as one."""
    before = np.cumsum([0] + [len(t.clips) for t in tables[:-1]])
    return Embeddings(
        np.concatenate([t.vectors for t in tables]),
        np.concatenate([t.clip + n for t, n in zip(tables, before, strict=True)]),
        np.concatenate([t.weight for t in tables]),
        pd.concat([t.clips for t in tables], ignore_index=True),
    )


class Embedder:
    """Turns rows of a bank into `Embeddings` with one trained model.

    Args:
        model: `MachineModel` in evaluation mode.
        bank: `clips.ClipBank`.
        samples: the bank as an int16 tensor on the model's device.
        mel: `MelSpectrogram` on that device.
        settings: `settings.Settings`.
    """

    def __init__(self, model, bank, samples, mel, settings):
        self.model, self.bank, self.samples, self.mel, self.settings = model.eval(), bank, samples, mel, settings
        self.sections = highpass(*settings.evaluation.highpass, settings.data.sample_rate)

    def clips(self, rows, parts):
        """Embed whole clips.

        Args:
            rows: of the bank's index, as `frontend.standardized`.
            parts: (rows,) train, validation or test.
        """
        starts, clip, offset = self._segments(rows)
        segment = self.settings.segment_samples
        weights = [
            power_weights(self.bank.sound(row), s, segment, self.sections)
            for row, s in zip(rows.itertuples(), starts, strict=True)
        ]
        vectors = self._embed(Cuts.of(rows.iloc[clip], offset, self.samples.device))
        return Embeddings(vectors, clip, np.concatenate(weights), _clip_table(rows, parts))

    def pseudo_target(self, source, target, rng):
        """Sec. 3.1: each source clip mixed as audio with a random target clip, λ ~ Beta(α, α).

        Args:
            source: rows of source clips. target: rows of target clips. rng: NumPy generator.
        """
        starts, clip, offset = self._segments(source)
        alpha = self.settings.inliers.pseudo_target_alpha
        lam = torch.as_tensor(
            rng.beta(alpha, alpha, len(source))[clip], dtype=torch.float32, device=self.samples.device
        )
        partner = target.iloc[rng.integers(len(target), size=len(source))]
        stems = partner["stem"].to_numpy()
        partner = partner.iloc[clip]
        partners = Cuts.of(partner, offset % partner["length"].to_numpy(), self.samples.device)
        vectors = self._embed(Cuts.of(source.iloc[clip], offset, self.samples.device), partners, lam)
        equal = np.concatenate([np.full(len(s), 1 / len(s)) for s in starts])
        return Embeddings(vectors, clip, equal, _clip_table(source, "pseudo_target", stems))

    def _segments(self, rows):
        """Each clip's segment starts, and for all segments their clip's position and offset."""
        frontend = self.settings.frontend
        starts = [segment_starts(n, self.settings.segment_samples, frontend.segment_overlap) for n in rows["length"]]
        clip = np.repeat(np.arange(len(rows)), [len(s) for s in starts])
        return starts, clip, np.concatenate(starts)

    @torch.no_grad()
    def _embed(self, cuts, partners=None, lam=None, batch=64):
        """Embeddings in float32: detectors whiten, and bf16's noise would fill the small directions."""
        vectors = []
        for i in progress(range(0, len(cuts), batch), "embedding"):
            part = slice(i, i + batch)
            mixed = (None, None) if partners is None else (partners[part], lam[part])
            inputs = spectrograms(self.samples, cuts[part], self.mel, self.settings.segment_samples, *mixed)
            vectors.append(self.model(inputs).embedding.cpu().numpy())
        return np.concatenate(vectors)


def _clip_table(rows, parts, partners=""):
    table = rows[["stem", "domain", "label", "attributes"]].reset_index(drop=True)
    return table.assign(part=parts, partner=partners)[list(CLIP_FIELDS)]
