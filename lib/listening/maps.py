"""Where in time and frequency a clip is strange: a flow's score map, an autoencoder's residual, a spectrum beyond the
healthy ones, or an occlusion map for what has none of its own."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from lib.detection import scoring
from lib.detection.spectra import References
from lib.listening.clip_map import ClipMap
from lib.listening.reasons import DECIBEL
from lib.network import autoencoder, spectrum
from lib.network.embedder import BATCH, Embedder
from lib.network.embeddings import Embeddings
from lib.network.frontend import Cuts, segment_starts, spectrograms
from lib.paths import readable
from lib.recordings.clips import ClipBank
from lib.recordings.heard import Heard
from lib.settings import Settings, Spectrum
from lib.systems import BASELINE, SPECTRUM

USUAL = "usual.npz"  # of a flow, in an export
BANDS, SECONDS = 8, 1.25  # of a patch that is occluded: an eighth of the bands, and time
SHARES = ("view", "hertz", "swings", "share")
COLUMNS = 24  # of an occlusion map at most: a longer clip has longer patches


def spectrogram(bank: ClipBank | Heard, row: NamedTuple, settings: Spectrum) -> ClipMap:
    """Mel spectrogram of a clip, one row of the index, as Spectrum hears it."""
    values = DECIBEL * spectrum.frames_of(bank, row, settings).T
    return ClipMap(values, float(row.seconds), (settings.low, settings.high), "level [dB]")


def clip_map(ear, heard: Heard, machine: str) -> ClipMap:
    """The map that a trained thing has of the one clip in `heard`.

    Args:
        ear: `trained.Ear`. machine: whose healthy spectrum stands in where one serves all.

    Raises:
        ValueError: it was trained by a version that kept no healthy spectrum, or takes no spectrogram.
    """
    if ear.made.system == SPECTRUM:
        return beyond_map(ear.references, heard, ear.settings)
    if ear.made.system == BASELINE:
        return residual_map(ear.baseline, heard, ear.settings)
    if ear.flow:
        return flow_map(ear.extractor, heard, usual_of(ear.folder))
    if (usual := ear.facts.get("usual_spectrum")) is None:
        raise ValueError(f"{ear.made.system}: takes no spectrogram, or was trained before maps were; no map of it")

    def score(embedded):
        found = ear.extractor.scores(embedded)
        return float(found["score"].mean())

    return occlusion_map(ear.extractor, heard, usual[machine] if isinstance(usual, dict) else usual, score)


def usual_of(folder):
    """The usual score map of a flow's folder: of its embeddings, or as an export keeps it."""
    if (folder / USUAL).exists():
        with readable(folder / USUAL, "export it again"), np.load(folder / USUAL) as stored:
            return stored["map"]
    return scoring.usual_map(Embeddings.load(folder / "embeddings.npz"))


def flow_map(extractor, heard: Heard, usual: np.ndarray) -> ClipMap:
    """A flow's score map of the one clip in `heard`, less the usual one of healthy segments.

    Args:
        extractor: `trained.Extractor` with a flow. usual: as `scoring.usual_map`.
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


def beyond_map(references: References, heard: Heard, settings: Settings) -> ClipMap:
    """How far each band lies beyond all healthy clips, louder or softer, moment by moment."""
    row = next(heard.clips.itertuples())
    smooth = spectrum.running(spectrum.frames_of(heard, row, settings.spectrum))
    louder = smooth - references.views["loudest"].max(axis=0)
    softer = references.views["softest"].min(axis=0) - smooth
    values = DECIBEL * np.maximum(np.maximum(louder, softer), 0).T
    hertz = (settings.spectrum.low, settings.spectrum.high)
    return ClipMap(values, row.seconds, hertz, "beyond every healthy clip [dB]")


def shares(references: References, heard: Heard, settings: Settings) -> pd.DataFrame:
    """What each band and each rhythm adds to Spectrum's squared distances of the one clip in `heard`.

    Returns:
        DataFrame with `SHARES`: `view`, `hertz` (middle of the band), `swings` (lowest and highest modulation frequency
            [Hz], "" for a level) and `share`, of 1 for a view.
    """
    found = spectrum.views(heard, heard.clips, settings.spectrum)
    centres, block = spectrum.centres(settings.spectrum), settings.spectrum.block
    rate, tables = heard.sample_rate / settings.spectrum.hop / block, []
    for view, vectors in found.items():
        levels = len(vectors[0]) // len(centres)
        octaves = [f"{low * rate:.2g}–{high * rate:.2g}" for low, high in spectrum.OCTAVES]
        swings = {1: [""], len(octaves): octaves}.get(levels, ["", *octaves])
        table = {"view": view, "hertz": np.tile(centres, levels), "swings": np.repeat(swings, len(centres))}
        tables.append(pd.DataFrame(table | {"share": references.shares(view, vectors)[0]}))
    return pd.concat(tables, ignore_index=True)[list(SHARES)]


@torch.no_grad()
def occlusion_map(extractor, heard: Heard, usual: np.ndarray, score) -> ClipMap:
    """What the score of the one clip in `heard` loses when a patch of its spectrogram is the mean of normals.

    An occlusion map: it says what the score hangs on, which may differ from where the fault is.

    Args:
        extractor: `trained.Extractor`. usual: (channels, mels), as `frontend.usual_spectrum`. score: of an `Embeddings`
            of that clip, a number.
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
    parts = [embedder.model(inputs[i : i + BATCH]).embedding for i in range(0, len(inputs), BATCH)]
    return torch.cat(parts).numpy()
