"""The networks that a run has trained, as they embed and score clips that are in no bank.

Apart from `trained`, since torch takes seconds to import, which Spectrum does without.
"""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch

from lib.detection import detectors, scoring
from lib.network import autoencoder
from lib.network.embedder import Embedder
from lib.network.embeddings import Embeddings
from lib.network.encoder import FrozenEncoder, Sound
from lib.network.frontend import MelSpectrogram
from lib.network.shared import load_shared, shared_mel
from lib.network.training import load_trained
from lib.recordings.heard import Heard
from lib.recordings.machine import standardized
from lib.settings import Settings
from lib.systems import ENCODER, EXTRACTORS, SHARED

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Extractor:
    """A trained model with its front end, as it embeds clips that are in no bank, and what scores the embeddings.

    Attributes:
        model, mel: the network and its front end. settings, facts: of the training.
        fitted: detectors by family and fit set. flow: whether its flow scores, too.
    """

    model: torch.nn.Module
    mel: torch.nn.Module
    settings: Settings
    facts: dict
    fitted: dict
    flow: bool

    def embedder(self, heard: Heard) -> Embedder:
        """Of the clips of a `Heard`."""
        given = SimpleNamespace(bank=heard, settings=self.settings, samples=heard.tensor(), mel=self.mel)
        return Embedder(self.model, given)

    def rows(self, heard: Heard) -> pd.DataFrame:
        """The clips with the mean and deviation by which the model's were standardised; some models have none."""
        if "standardization" not in self.facts:
            return heard.clips.assign(mean=0.0, deviation=1.0)
        if self.settings.frontend.standardize == "clip":
            return standardized(heard, heard.clips, "clip", heard.clips)
        return heard.clips.assign(**self.facts["standardization"])

    def embed(self, heard: Heard) -> Embeddings:
        """Every clip's segments."""
        return self.embedder(heard).clips(self.rows(heard), "test")

    def scores(self, embedded: Embeddings) -> pd.DataFrame:
        """Raw scores of every detector, as `detectors.score_clips`."""
        tables = [detectors.score_clips(self.fitted, embedded)] if self.fitted else []
        return pd.concat(tables + ([scoring.flow_clip_scores(embedded)] if self.flow else []), ignore_index=True)

    @classmethod
    def of(cls, ear) -> "Extractor":
        """With its own detectors; those of protocol `extended` are left out. `ear` is a `trained.Ear`."""
        row, fitted = EXTRACTORS[ear.made.system], {}
        if row.families:
            loaded = detectors.load_detectors(ear.folder)
            fitted = {key: detector for key, detector in loaded.items() if key[0] in row.families}
        return cls(*_model(ear), ear.settings, ear.facts, fitted, "flow" in row.detectors)


def _model(ear):
    """(model, front end)."""
    settings = ear.settings
    if ear.made.system == SHARED:
        return load_shared(ear.model_folder, CPU)[0], shared_mel(settings, CPU)
    if ear.made.system == ENCODER:
        rates = settings.data.sample_rate, settings.encoder_rate
        return FrozenEncoder(Path(settings.encoder), *rates, CPU), Sound()
    return load_trained(ear.folder, CPU)[0], MelSpectrogram(settings.frontend, settings.data.sample_rate)


def baseline_of(ear) -> autoencoder.Baseline:
    """The autoencoder of a `trained.Ear`."""
    return autoencoder.Baseline.load(ear.folder, CPU)[0]


def baseline_scores(ear, heard: Heard) -> dict:
    """As `autoencoder.Baseline.scores`, of clips that are in no bank."""
    frames = autoencoder.log_mel_frames(
        heard.tensor(), heard.clips, ear.settings.autoencoder, ear.settings.data.sample_rate
    )
    return ear.baseline.scores(frames)
