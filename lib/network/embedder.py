"""From clips to `Embeddings` with one trained model; pseudo-target mixup (Sec. 3.1) and latents to look at."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from lib import clock
from lib.network.device import is_host
from lib.network.embeddings import CLIP_FIELDS, Embeddings
from lib.network.experiment import Experiment
from lib.network.extractor import MachineModel
from lib.network.frontend import Cuts, segment_starts, spectrograms
from lib.network.power import column_weights, high_pass, power_weights
from lib.progress import progress
from lib.recordings.clips import PLACE

BATCH, GPU_BATCH = 16, 128  # segments at once; maps of more leave a core's cache (a tenth slower at 224 × 313)


class Embedder:
    """Turns rows of a bank into `Embeddings` with one trained model.

    Args:
        model: `MachineModel` on the training's device.
        training: `system_training.SystemTraining` or `shared.SharedTraining`, whose bank, front end and settings are
            the model's.
    """

    def __init__(self, model: MachineModel, training: Experiment):
        self.model, self.bank, self.settings = model.eval(), training.bank, training.settings
        self.samples, self.mel = training.samples, training.mel
        self.batch = BATCH if is_host(self.samples.device) else GPU_BATCH
        self.highpass = high_pass(*self.settings.evaluation.highpass, self.settings.data.sample_rate)

    @clock.counts("embedding")
    def clips(self, rows: pd.DataFrame, parts: ArrayLike) -> Embeddings:
        """Embed whole clips.

        Args:
            rows: of the bank's index, as `frontend.standardized`.
            parts: (rows,) train, validation or test.
        """
        starts, clip, offset = self._segments(rows)
        segment = self.settings.segment_samples
        vectors, maps = self._embed(Cuts.of(rows.iloc[clip], offset, self.samples.device))
        weights, columns = [], []  # found while a GPU embeds
        for row, first in zip(rows[PLACE].itertuples(), starts, strict=True):
            power = self.highpass.power(self.bank.sound(row))
            weights.append(power_weights(power, first, segment))
            if maps is not None:
                columns.append(column_weights(power, first, segment, maps.shape[2]))
        columns = np.concatenate(columns) if columns else None
        table = _clip_table(rows, parts)
        return Embeddings(_fetched(vectors), clip, np.concatenate(weights), table, _fetched(maps), columns)

    @clock.counts("embedding")
    def pseudo_target(self, source: pd.DataFrame, target: pd.DataFrame, rng: np.random.Generator) -> Embeddings:
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
        vectors, _ = self._embed(Cuts.of(source.iloc[clip], offset, self.samples.device), partners, lam)
        equal = np.concatenate([np.full(len(s), 1 / len(s)) for s in starts])
        return Embeddings(_fetched(vectors), clip, equal, _clip_table(source, "pseudo_target", stems))

    @clock.counts("embedding")
    @torch.no_grad()
    def latents(self, rows: pd.DataFrame) -> np.ndarray:
        """f_Flow's latent of the middle segment of each clip, (rows, 512, height, width) float32."""
        middle = np.maximum(rows["length"].to_numpy() - self.settings.segment_samples, 0) // 2
        found = []
        cuts = Cuts.of(rows, middle, self.samples.device)
        for i in range(0, len(cuts), self.batch):
            outputs = self.model(self._inputs(cuts[i : i + self.batch]))
            found.append(self.model.flow(outputs.feature_map)[0])
        return _fetched(torch.cat(found))

    def mel_of(self, row: pd.Series) -> np.ndarray:
        """(mels, frames) mel spectrogram of a whole clip, one row of the bank's index, to draw score maps on."""
        cuts = Cuts.of(row.to_frame().T, [0], self.samples.device)
        return spectrograms(self.samples, cuts, self.mel, int(row["length"]))[0, 0].cpu().numpy()

    def _inputs(self, cuts, *mixed):
        return spectrograms(self.samples, cuts, self.mel, self.settings.segment_samples, *mixed)

    def _segments(self, rows):
        """Each clip's segment starts, and for all segments their clip's position and offset."""
        frontend = self.settings.frontend
        starts = [segment_starts(n, self.settings.segment_samples, frontend.segment_overlap) for n in rows["length"]]
        clip = np.repeat(np.arange(len(rows)), [len(s) for s in starts])
        return starts, clip, np.concatenate(starts)

    @torch.no_grad()
    def _embed(self, cuts, partners=None, lam=None):
        """Embeddings and score maps, on the device, which the host need not have waited for.

        In float32: detectors whiten, and bf16's noise would fill the small directions.
        """
        vectors, maps, flow = [], [], None if partners is not None else self.model.flow
        for i in progress(range(0, len(cuts), self.batch), "embedding"):
            part = slice(i, i + self.batch)
            mixed = () if partners is None else (partners[part], lam[part])
            outputs = self.model(self._inputs(cuts[part], *mixed))
            vectors.append(outputs.embedding)
            if flow is not None:
                maps.append(flow.score_map(outputs.feature_map))
        return torch.cat(vectors), torch.cat(maps) if maps else None


def _fetched(tensor):
    return None if tensor is None else tensor.cpu().numpy()


def _clip_table(rows, parts, partners=""):
    table = rows[["stem", "domain", "label", "attributes"]].reset_index(drop=True)
    return table.assign(part=parts, partner=partners)[list(CLIP_FIELDS)]
