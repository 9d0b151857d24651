"""What a run has trained for a machine, as it scores clips that are in no bank: the raw scores of its detectors.

Each kind goes the way of its notebook, through the same functions: 02, 04 and 05, 08, 09 or 10 with 05. What lies on
the disk is opened when it is first wanted.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lib.detection import scoring
from lib.detection.spectra import References
from lib.network import spectrum
from lib.paths import readable
from lib.recordings.heard import Heard
from lib.settings import Settings
from lib.systems import BASELINE, BASELINES, EXTRACTORS, SPECTRA, SPECTRUM, SYSTEMS, Trained

if TYPE_CHECKING:
    from lib.listening import networks
    from lib.network import autoencoder


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
    def baseline(self) -> "autoencoder.Baseline":
        """The autoencoder."""
        from lib.listening import networks  # torch takes seconds, which Spectrum does without

        return networks.baseline_of(self)

    @cached_property
    def extractor(self) -> "networks.Extractor":
        """Of a system with embeddings, with its own detectors; those of protocol `extended` are left out."""
        from lib.listening import networks

        return networks.Extractor.of(self)

    def score(self, heard: Heard, rows: Collection[str] = SPECTRA) -> pd.DataFrame:
        """Raw scores of clips.

        Args:
            heard: the clips. rows: which of Spectrum's are wanted.

        Returns:
            DataFrame with `system` (a row's name), `detector`, `fit_set`, `aggregator`, `clip`, `domain`, `label` and
            `score`.
        """
        if self.made.system == SPECTRUM:
            wanted = spectrum.views_of(rows)
            views = spectrum.views(heard, heard.clips, self.settings.spectrum, wanted.values())
            return _rows(heard, list(wanted), self.references.score(views))
        if self.made.system == BASELINE:
            from lib.listening import networks

            return _rows(heard, BASELINES, networks.baseline_scores(self, heard))
        return self.extractor.scores(self.extractor.embed(heard)).assign(system=self.made.system)


def _rows(heard, systems, scores):
    """Long form of {detector: (clips,)}, each a row of its own."""
    names = {"system": systems, "detector": list(scores), "fit_set": "", "aggregator": "plain"}
    return scoring.of_each(heard.clips, pd.DataFrame(names), list(scores.values()))
