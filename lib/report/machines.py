"""What the report says of one machine: its rows, its clips, its decisions, and the files of those that are heard."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib.listening.listener import Listener
from lib.report import sounds
from lib.report.files import AUDIT_COLUMNS, RunFiles
from lib.report.ranked_clips import LABELS, Ranked
from lib.report.rows import Ranking


@dataclass(frozen=True)
class MachinePage:
    """A machine's page.

    Attributes:
        name, slug: of the machine, and of its files. ranking: of its rows. ranked: its test clips. clips: what the page
            says of each, in their order. counts: {"train", "test": clips}. heard: how many have a picture and a player.
        notes: what could not be shown, and why.
    """

    name: str
    slug: str
    ranking: Ranking
    ranked: Ranked
    clips: list[dict]
    counts: dict[str, int]
    heard: int
    notes: list[str]

    @classmethod
    def of(cls, files: RunFiles, machine: str, slug: str, folder: Path, row: str = "", most: int = 0) -> "MachinePage":
        """Read, hear and draw.

        Args:
            files: of the run. machine: one of its. slug: its files' name. folder: of its pictures and cuts.
            row: of the tables, as `Ranked.of`. most: clips with a picture and a player; to the strangest the one with
                the lowest score is added, for comparison.
        """
        ranked, notes = Ranked.of(files, machine, row), []
        if row and row != ranked.row:
            notes.append(f"There is no row {row} here; the clips are ranked by {ranked.row}.")
        if ranked.unscored:
            notes.append(f"{ranked.unscored} clips have no score and are left out.")
        audit = _audit(files, machine, notes)
        test = audit[audit["split"] == "test"]
        places = dict(zip(test["stem"], test["path"], strict=True))
        told = _heard(files, ranked, _chosen(len(ranked.clips), most), places, folder, notes)
        trained = files.facts["training_clips"].get(machine, 0)
        counts = {"train": len(audit) - len(test) or trained, "test": len(test) or len(ranked.clips)}
        return cls(
            machine, slug, Ranking.of(files.evaluation, machine), ranked, _clips(ranked, told), counts, len(told), notes
        )

    @property
    def strangest(self) -> dict | None:
        """The first clip, where it can be heard."""
        return self.clips[0] if self.clips and self.clips[0]["sound"] else None

    @property
    def data(self) -> dict:
        """What the page's script needs: the axis, the run's threshold and the clips' scores and labels."""
        axis, threshold = self.ranked.axis, self.ranked.threshold
        clips = [{key: clip[key] for key in ("score", "label", "domain")} for clip in self.clips]
        return {"low": axis.low, "high": axis.high, "threshold": _finite(threshold), "clips": clips}

    @property
    def lanes(self) -> list[tuple[str, str, list[float]]]:
        """(kind, its words, places of its dots) of the strip: the calibration clips, then the test clips by label."""
        axis, clips = self.ranked.axis, self.ranked.clips
        found = [("calibration", "healthy, calibration", [axis.place(score) for score in self.ranked.calibration])]
        for label, words in (("normal", "test, normal"), ("anomaly", "test, anomalous"), ("", "test, unlabelled")):
            found.append(
                (label or "unlabelled", words, [axis.place(s) for s in clips.loc[clips["label"] == label, "score"]])
            )
        return [lane for lane in found if lane[2]]


def _audit(files, machine, notes):
    """The recordings of a machine; none, and a note, where its audit failed or cannot be read."""
    try:
        return files.audit(machine)
    except ValueError as error:
        notes.append(str(error))
        return pd.DataFrame(columns=AUDIT_COLUMNS)


def _chosen(count, most):
    """Places of the clips that are heard: the first `most`, and the last."""
    return [*range(min(most, count)), *([count - 1] if 0 < most < count else [])]


def _heard(files, ranked, chosen: Sequence[int], places, folder, notes) -> dict[int, dict]:
    """{place: what `sounds.write` told} of the clips that can be heard; says in `notes` what cannot and why."""
    if not chosen:
        return {}
    try:
        listener = Listener.load(files.run.machine(ranked.machine), ranked.row)
    except (ValueError, OSError) as error:
        notes.append(f"No picture and no sound: {error}")
        return {}
    found, refused = {}, []
    for place in chosen:
        stem = ranked.clips["clip"].iloc[place]
        try:
            if stem not in places:
                raise ValueError("its audit has no recording of that name; run 01_data_audit again")
            found[place] = sounds.Sound.of(listener, places[stem])
        except (ValueError, OSError) as error:
            refused.append(f"{stem}: {error}")
    if refused:
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        notes.append(f"No picture and no sound of {refused[0]}{more}")
    if found and (mapping := sounds.mapped_by(listener)) is not listener:
        notes.append(
            f"{ranked.row}'s own map takes seconds a clip; "
            + (f"the maps are {mapping.row}'s." if mapping else "without one, the cuts are the loudest stretches.")
        )
    return dict(zip(found, sounds.write(list(found.values()), folder), strict=True)) if found else {}


def _clips(ranked, told):
    """What the page says of each clip."""
    clips = []
    for place, clip in enumerate(ranked.clips.itertuples()):
        called = bool(clip.score > ranked.threshold)
        clips.append({
            "rank": place + 1, "name": clip.clip, "domain": clip.domain, "label": clip.label,
            "label_words": LABELS.get(clip.label, clip.label), "score": float(clip.score), "called": called,
            "sound": told.get(place),
        })  # fmt: skip
    return clips


def _finite(number):
    return float(number) if np.isfinite(number) else None
