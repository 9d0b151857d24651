"""What a run has trained for a machine, as it scores clips that are in no bank: the raw scores of its detectors.

Each kind goes the way of its notebook, through the same functions: 02, 04 and 05, 08, 09 or 10 with 05. What lies on
the disk is opened when it is first wanted.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch

from lib.detection import detectors, scoring
from lib.detection.spectra import References
from lib.network import autoencoder, spectrum
from lib.network.embedder import Embedder
from lib.network.embeddings import Embeddings
from lib.network.encoder import FrozenEncoder, Sound
from lib.network.frontend import MelSpectrogram
from lib.network.shared import load_shared, shared_mel
from lib.network.training import load_trained
from lib.paths import readable
from lib.recordings.heard import Heard
from lib.recordings.machine import standardized
from lib.settings import Settings
from lib.systems import BASELINE, BASELINES, ENCODER, EXTRACTORS, SHARED, SPECTRA, SPECTRUM, SYSTEMS, Trained

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ear:
    """One trained thing of a machine.

    Attributes:
        made: which. folder: of its model, or of its detectors where the model serves all machines.
        model_folder: where a model that serves all machines lies.
    """

    made: Trained
    folder: Path
    model_folder: Path

    @property
    def common(self) -> Path | None:
        """`model_folder` of a model that serves all machines; None of others."""
        row = EXTRACTORS.get(self.made.system)
        return self.model_folder if row and row.of_all else None

    @cached_property
    def facts(self) -> dict:
        """Of its `model.json`; ValueError, with the mend, where it cannot be read."""
        path = (self.common or self.folder) / "model.json"
        with readable(path, "run the notebook that trains it again"):
            return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def settings(self) -> Settings:
        """That it was made with."""
        return Settings.model_validate(self.facts["settings"])

    @property
    def written(self) -> float:
        """When its facts were, in seconds of the system's clock."""
        return ((self.common or self.folder) / "model.json").stat().st_mtime

    @property
    def flow(self) -> bool:
        """Whether its model has a flow, whose map says where a clip is strange."""
        return self.made.system in SYSTEMS and bool(SYSTEMS[self.made.system].latent)

    @cached_property
    def references(self) -> References:
        """Of Spectrum."""
        return References.load(self.folder)[0]

    @cached_property
    def baseline(self) -> autoencoder.Baseline:
        """The autoencoder."""
        return autoencoder.Baseline.load(self.folder, CPU)[0]

    @cached_property
    def extractor(self) -> "Extractor":
        """Of a system with embeddings, with its own detectors; those of protocol `extended` are left out."""
        row, fitted = EXTRACTORS[self.made.system], {}
        if row.families:
            loaded = detectors.load_detectors(self.folder)
            fitted = {key: detector for key, detector in loaded.items() if key[0] in row.families}
        return Extractor(*self._model(), self.settings, self.facts, fitted, "flow" in row.detectors)

    def score(self, heard: Heard) -> pd.DataFrame:
        """Raw scores of clips.

        Returns:
            DataFrame with `system` (a row's name), `detector`, `fit_set`, `aggregator`, `clip`, `domain`, `label` and
            `score`.
        """
        if self.made.system == SPECTRUM:
            views = spectrum.views(heard, heard.clips, self.settings.spectrum)
            return _rows(heard, SPECTRA, self.references.score(views))
        if self.made.system == BASELINE:
            rate = self.settings.data.sample_rate
            frames = autoencoder.log_mel_frames(heard.tensor(), heard.clips, self.settings.autoencoder, rate)
            return _rows(heard, BASELINES, self.baseline.scores(frames))
        return self.extractor.scores(self.extractor.embed(heard)).assign(system=self.made.system)

    def _model(self):
        """(model, front end)."""
        settings = self.settings
        if self.made.system == SHARED:
            return load_shared(self.model_folder, CPU)[0], shared_mel(settings, CPU)
        if self.made.system == ENCODER:
            rates = settings.data.sample_rate, settings.encoder_rate
            return FrozenEncoder(Path(settings.encoder), *rates, CPU), Sound()
        return load_trained(self.folder, CPU)[0], MelSpectrogram(settings.frontend, settings.data.sample_rate)


def _rows(heard, systems, scores):
    """Long form of {detector: (clips,)}, each a row of its own."""
    clips = heard.clips[["stem", "domain", "label"]].rename(columns={"stem": "clip"})
    tables = [
        clips.assign(system=system, detector=detector, fit_set="", aggregator="plain", score=score)
        for system, (detector, score) in zip(systems, scores.items(), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


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
