"""Embeddings of every segment of a machine's clips, the table that detectors are fitted on and score (Eq. 4's 𝒳_i)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lib import clock
from lib.paths import readable, whole_file

ARRAYS = ("vectors", "clip", "weight", "maps", "columns")
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
        maps: (segments, height, width) float32 score maps of the flow, NaN for pseudo-target clips; None without one.
        columns: (segments, width) power weights of the maps' time columns, each clip's summing to 1; None likewise.
        provenance: what they were made by, as `Experiment.provenance` says it; empty until they are saved.
    """

    vectors: np.ndarray
    clip: np.ndarray
    weight: np.ndarray
    clips: pd.DataFrame
    maps: np.ndarray | None = None
    columns: np.ndarray | None = None
    provenance: dict = field(default_factory=dict)

    def take(self, chosen: ArrayLike) -> "Embeddings":
        """The segments of the clips where the boolean `chosen` (clips,) holds, clips renumbered."""
        chosen = np.asarray(chosen, bool)
        kept, number = chosen[self.clip], np.cumsum(chosen) - 1
        maps, columns = (None if values is None else values[kept] for values in (self.maps, self.columns))
        clips = self.clips[chosen].reset_index(drop=True)
        return Embeddings(self.vectors[kept], number[self.clip[kept]], self.weight[kept], clips, maps, columns)

    def part(self, *parts: str) -> "Embeddings":
        """The clips of these parts."""
        return self.take(self.clips["part"].isin(parts))

    @clock.counts("writing")
    def save(self, path: Path, provenance: dict) -> None:
        """Write one npz without objects, with the JSON-able `provenance`."""
        arrays = {field: self.clips[field].to_numpy(str) for field in CLIP_FIELDS}
        arrays |= {name: values for name in ARRAYS if (values := getattr(self, name)) is not None}
        with whole_file(path) as temporary:
            np.savez(temporary, provenance=json.dumps(provenance), **arrays)

    @classmethod
    def load(cls, path: Path) -> "Embeddings":
        """Read what `save` wrote; ValueError, naming the notebook that makes it, when it is missing."""
        if not path.exists():
            raise ValueError(
                f"{path}: not there; run the training notebook (03_oe_training, 04_joint_flow_training, "
                "09_shared_extractor or 10_frozen_encoder) first"
            )
        with readable(path, "delete it and run the training notebook again"), np.load(path) as stored:
            clips = pd.DataFrame({field: stored[field].astype(object) for field in CLIP_FIELDS})
            provenance = json.loads(str(stored["provenance"]))
            return cls(clips=clips, provenance=provenance, **{name: stored[name] for name in ARRAYS if name in stored})


def concatenate(tables: Sequence[Embeddings]) -> Embeddings:
    """Several `Embeddings` as one; where only some have score maps, the others' are NaN."""
    before = np.cumsum([0] + [len(t.clips) for t in tables[:-1]])
    maps, columns = (_stacked(tables, name) for name in ("maps", "columns"))
    return Embeddings(
        np.concatenate([t.vectors for t in tables]),
        np.concatenate([t.clip + n for t, n in zip(tables, before, strict=True)]),
        np.concatenate([t.weight for t in tables]),
        pd.concat([t.clips for t in tables], ignore_index=True),
        maps,
        columns,
    )


def _stacked(tables, name):
    found = [getattr(table, name) for table in tables]
    shape = next((values.shape[1:] for values in found if values is not None), None)
    if shape is None:
        return None
    missing = [np.full((len(table.clip), *shape), np.nan, np.float32) for table in tables]
    return np.concatenate([m if values is None else values for values, m in zip(found, missing, strict=True)])
