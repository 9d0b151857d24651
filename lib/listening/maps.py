"""Where in time and frequency a clip is strange: a flow's score map, an autoencoder's residual, a spectrum beyond the
healthy ones, or an occlusion map for what has none of its own."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.detection import scoring
from lib.detection.spectra import References
from lib.listening.clip_map import ClipMap
from lib.listening.reasons import DECIBEL
from lib.network import spectrum
from lib.network.embeddings import Embeddings
from lib.paths import readable
from lib.recordings.clips import ClipBank
from lib.recordings.heard import Heard
from lib.settings import Settings, Spectrum
from lib.systems import BASELINE, SPECTRUM

USUAL = "usual.npz"  # of a flow, in an export
SHARES = ("view", "hertz", "swings", "share")


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
    from lib.listening import network_maps  # torch takes seconds, which Spectrum does without

    if ear.made.system == BASELINE:
        return network_maps.residual_map(ear.baseline, heard, ear.settings)
    if ear.flow:
        return network_maps.flow_map(ear.extractor, heard, usual_of(ear.folder))
    if (usual := ear.facts.get("usual_spectrum")) is None:
        raise ValueError(f"{ear.made.system}: takes no spectrogram, or was trained before maps were; no map of it")

    def score(embedded):
        found = ear.extractor.scores(embedded)
        return float(found["score"].mean())

    return network_maps.occlusion_map(ear.extractor, heard, usual[machine] if isinstance(usual, dict) else usual, score)


def usual_of(folder):
    """The usual score map of a flow's folder: of its embeddings, or as an export keeps it."""
    if (folder / USUAL).exists():
        with readable(folder / USUAL, "export it again"), np.load(folder / USUAL) as stored:
            return stored["map"]
    return scoring.usual_map(Embeddings.load(folder / "embeddings.npz"))


def beyond_map(references: References, heard: Heard, settings: Settings) -> ClipMap:
    """How far each band lies beyond all healthy clips, louder or softer, moment by moment."""
    row = next(heard.clips.itertuples())
    smooth = spectrum.running(spectrum.frames_of(heard, row, settings.spectrum))
    louder = smooth - references.views["loudest"].max(axis=0)
    softer = references.views["softest"].min(axis=0) - smooth
    values = DECIBEL * np.maximum(np.maximum(louder, softer), 0).T
    hertz = (settings.spectrum.low, settings.spectrum.high)
    return ClipMap(values, row.seconds, hertz, "beyond every healthy clip [dB]")


def shares(references: References, heard: Heard, settings: Settings, names: Collection[str]) -> pd.DataFrame:
    """What each band and each rhythm adds to Spectrum's squared distances of the one clip in `heard`.

    Args:
        references: of Spectrum. settings: that they were made with. names: of the views, of `spectrum.VIEWS`.

    Returns:
        DataFrame with `SHARES`: `view`, `hertz` (middle of the band), `swings` (lowest and highest modulation frequency
            [Hz], "" for a level) and `share`, of 1 for a view.
    """
    found = spectrum.views(heard, heard.clips, settings.spectrum, names)
    centres, block = spectrum.centres(settings.spectrum), settings.spectrum.block
    rate, tables = heard.sample_rate / settings.spectrum.hop / block, []
    for view, vectors in found.items():
        levels = len(vectors[0]) // len(centres)
        octaves = [f"{low * rate:.2g}–{high * rate:.2g}" for low, high in spectrum.OCTAVES]
        swings = {1: [""], len(octaves): octaves}.get(levels, ["", *octaves])
        table = {"view": view, "hertz": np.tile(centres, levels), "swings": np.repeat(swings, len(centres))}
        tables.append(pd.DataFrame(table | {"share": references.shares(view, vectors)[0]}))
    return pd.concat(tables, ignore_index=True)[list(SHARES)]
