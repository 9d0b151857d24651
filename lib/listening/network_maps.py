"""Maps of the networks, of one clip: a flow's score map, an autoencoder's residual, an occlusion map of any other.

Apart from `maps`, since torch takes seconds to import, which Spectrum does without.
"""

from dataclasses import replace

import numpy as np
import torch

from lib.detection import scoring
from lib.listening.clip_map import ClipMap
from lib.network import autoencoder
from lib.network.embedder import Embedder
from lib.network.frontend import Cuts, segment_starts, spectrograms
from lib.recordings.heard import Heard
from lib.settings import Settings

BANDS, SECONDS = 8, 1.25  # of a patch that is occluded: an eighth of the bands, and time
COLUMNS = 24  # of an occlusion map at most: a longer clip has longer patches


def flow_map(extractor, heard: Heard, usual: np.ndarray) -> ClipMap:
    """A flow's score map of the one clip in `heard`, less the usual one of healthy segments.

    Args:
        extractor: `networks.Extractor` with a flow. usual: as `scoring.usual_map`.
    """
    settings, row = extractor.settings, extractor.rows(heard).iloc[0]
    embedded, segment = extractor.embed(heard), settings.segment_samples
    starts = segment_starts(row["length"], segment, settings.frontend.segment_overlap)
    values = scoring.clip_map(embedded.maps - usual, starts, segment, row["length"])
    frontend = settings.frontend
    return ClipMap(values, row["seconds"], (frontend.low, frontend.high), "score of the flow, less the usual [nats]")


def residual_map(baseline: autoencoder.Baseline, heard: Heard, settings: Settings) -> ClipMap:
    """Squared error of an autoencoder for each frame and band of the one clip in `heard`."""
    rate = settings.data.sample_rate
    frames = autoencoder.log_mel_frames(heard.tensor(), heard.clips, settings.autoencoder, rate)
    inputs, outputs = next(autoencoder.reconstructions(baseline.network, frames))
    middle = settings.autoencoder.frames // 2
    values = (inputs - outputs)[:, middle].square().T.cpu().numpy()
    return ClipMap(values, float(heard.clips["seconds"].iloc[0]), (0.0, rate / 2), "squared error [dB²]", htk=False)


@torch.no_grad()
def occlusion_map(extractor, heard: Heard, usual: np.ndarray, score) -> ClipMap:
    """What the score of the one clip in `heard` loses when a patch of its spectrogram is the mean of normals.

    An occlusion map: it says what the score hangs on, which may differ from where the fault is.

    Args:
        extractor: `networks.Extractor`. usual: (channels, mels), as `frontend.usual_spectrum`.
        score: of an `Embeddings` of that clip, a number.
    """
    settings, rows = extractor.settings, extractor.rows(heard)
    embedder, embedded, row = extractor.embedder(heard), extractor.embed(heard), rows.iloc[0]
    segment = settings.segment_samples
    starts = segment_starts(row["length"], segment, settings.frontend.segment_overlap)
    cuts = Cuts.of(rows.iloc[np.zeros(len(starts), int)], starts)
    inputs = spectrograms(heard.tensor(), cuts, extractor.mel, segment)
    healthy = torch.as_tensor(usual, dtype=torch.float32)
    columns = min(max(1, round(row["seconds"] / SECONDS)), COLUMNS)
    edges = np.linspace(0, row["length"], columns + 1)
    bands = np.linspace(0, inputs.shape[2], BANDS + 1).astype(int)
    values, whole = np.zeros((BANDS, columns)), score(embedded)
    hop = segment / (inputs.shape[3] - 1)
    for column in range(columns):
        places = [  # a clip shorter than a segment is heard again and again
            ((edges[[column, column + 1]] + again * row["length"] - starts[:, None]) / hop).round().astype(int)
            for again in range(max(1, -(-segment // row["length"])))
        ]
        places = [frames.clip(0, inputs.shape[3]) for frames in places]
        hit = np.flatnonzero(np.any([frames[:, 1] > frames[:, 0] for frames in places], axis=0))
        for band in range(BANDS):
            changed = inputs[hit].clone()
            part = slice(bands[band], bands[band + 1])
            for frames in places:
                for i, (first, last) in enumerate(frames[hit]):
                    changed[i, :, part, first:last] = healthy[:, part, None]
            vectors = embedded.vectors.copy()
            vectors[hit] = _vectors(embedder, changed)
            values[band, column] = whole - score(replace(embedded, vectors=vectors))
    low, high = settings.frontend.low, settings.frontend.high
    return ClipMap(values, row["seconds"], (low, high), "occlusion: what the score loses without it")


def _vectors(embedder: Embedder, inputs):
    parts = [embedder.model(few).embedding for few in inputs.split(embedder.batch)]
    return torch.cat(parts).numpy()
