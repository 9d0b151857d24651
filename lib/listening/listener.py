"""A trained machine, given new recordings: scores as in the tables, a threshold, a decision.

What a row of the tables says of a clip follows from the raw scores of its detectors and from the scores of the
calibration clips, which the run's files hold: both go through the functions that make the tables.
"""

import copy
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import ThreadpoolController

from lib.detection import scoring
from lib.listening import exported, trainings
from lib.listening.clip_map import ClipMap
from lib.listening.costs import costs
from lib.listening.maps import SHARES, USUAL, clip_map, shares, spectrogram, usual_of
from lib.listening.reasons import Reason, reason
from lib.listening.stream import Stream
from lib.listening.table_rows import TableRows
from lib.listening.trained import Ear
from lib.network.spectrum import frames_of, views_of
from lib.paths import Run
from lib.recordings import audit
from lib.recordings.clips import PLACE
from lib.recordings.heard import Heard, Source
from lib.settings import Settings
from lib.systems import BASELINE, ENCODER, ROWS, SPECTRUM, Trained

PREFERRED = ("Spectrum", "Shared", "Submitted 1")  # rows, where the run has one and none is named


class Listener:
    """One machine of a run, listening with one row of its tables.

    Attributes:
        machine: its name. row: of the tables, by which it decides. rows: all that it can listen with.
        threshold: above which a clip is called anomalous; standardised, so that the calibration clips have mean 0 and
            deviation 1.
    """

    def __init__(self, machine: str, trained: Mapping[Trained, Ear], scores: pd.DataFrame, settings: Settings,
                 row: str | None = None, asked: Sequence[str] = (), rows: Sequence[str] = ROWS):  # fmt: skip
        """As `load` makes it.

        Args:
            machine: its name. trained: what is trained for it. scores: of the run, of these trainings, with the columns
                `score_files.COLUMNS`. settings: by which the tables are made. row: of the tables.
            asked: systems of the run, of which Submitted 1–4 are made.
            rows: which may be listened with.
        """
        self.machine, self._trained, self._asked, self.settings = machine, trained, asked, settings
        self._rows = TableRows(scores, settings, asked, rows)
        self.rows = self._rows.names
        self._listen_with(row or next((name for name in PREFERRED if name in self.rows), self.rows[0]))

    def _listen_with(self, row):
        if row not in self.rows:
            raise ValueError(f"{self.machine}: no row {row!r} here; it has {', '.join(self.rows)}")
        self.row, self._known = row, self._rows.of(row)
        self.set_threshold(quantile=self.settings.evaluation.decision_quantile)

    def using(self, row: str) -> "Listener":
        """The same machine, listening with another row; what both need is loaded once."""
        other = copy.copy(self)
        other._listen_with(row)
        return other

    @classmethod
    def load(cls, folder: str | Path, row: str | None = None, seed: int | None = None) -> "Listener":
        """Open a machine of a run, one trained system, or what `export` wrote.

        Args:
            folder: outputs/<run>/<machine>, or below it <system>/<parameter>/seed<k>, or an export. row: of the tables;
                without one `PREFERRED`. seed: of the trainings; without one the smallest.

        Raises:
            ValueError: nothing is trained there, or no such row; names the mend.
        """
        folder = Path(folder).expanduser().resolve()
        if exported.is_export(folder):
            return cls._of_export(folder, row)
        found = trainings.find(folder, seed)
        return cls(found.machine, found.ears, found.scores, found.settings, row, found.asked)

    @classmethod
    def _of_export(cls, path, row):
        scratch = tempfile.TemporaryDirectory(prefix="asd-listener-")
        folder, manifest, scores = exported.read(path, Path(scratch.name))
        run, made = Run(folder), [Trained(*each) for each in exported.trained(path, manifest)]
        ears = {which: Ear(which, run.trained(*which), run.common(which.system, which.seed)) for which in made}
        chosen = row or manifest["row"]
        settings = Settings.model_validate(manifest["settings"])
        listener = cls(manifest["machine"], ears, scores, settings, chosen, manifest["asked"], manifest["rows"])
        if chosen == manifest["row"]:
            listener.set_threshold(value=manifest["threshold"])
        listener._scratch = scratch  # lives as long as the listener
        return listener

    def export(self, path: str | Path) -> Path:
        """Copy what the row needs, and Spectrum for its reasons, into a new folder, or a zip by its name.

        Raises:
            ValueError: something is there already, or the row needs an encoder of the user's.
        """
        from lib.network.device import versions  # torch takes seconds, which a score by Spectrum does without

        files, usual, kept, inside = {}, {}, [], Run(Path())
        for made, ear in self._trained.items():
            if made.system not in {SPECTRUM, *self._rows.needed(self.row)}:
                continue
            kept.append(made)
            common = inside.common(made.system, made.seed)
            for place, source in ((inside.trained(*made), ear.folder), (common, ear.common)):
                found = [source / name for name in exported.TRAINED] if source else []
                files |= {(place / file.name).as_posix(): file for file in found if file.exists()}
            if made.system == ENCODER:
                raise ValueError(f"{self.row}: an encoder's file is a program, and an export holds none; share the run")
            if ear.flow:
                usual[(inside.trained(*made) / USUAL).as_posix()] = usual_of(ear.folder)
        systems = {made.system for made in kept}
        facts = {
            "machine": self.machine, "row": self.row, "threshold": self.threshold, "asked": list(self._asked),
            "rows": [row for row in self.rows if self._rows.needed(row) <= systems],
            "trained": [made[1:] for made in kept], "versions": versions(),
            "settings": self.settings.model_dump(mode="json"),
        }  # fmt: skip
        return exported.write(Path(path).expanduser(), files, usual, self._rows.raw(systems), facts)

    def stream(self, rate: int, seconds: float | None = None, step: float | None = None) -> Stream:
        """A `Stream` of samples at `rate` Hz.

        Args:
            seconds: of a stretch that is scored as a clip; None: of the machine's usual clip, to which the threshold
                belongs. step: between two; None: half of it.
        """
        seconds = seconds or self.usual_seconds or 10.0
        return Stream(self, rate, seconds, step or seconds / 2)

    def map(self, clip: Source, rate: int | None = None, system: str | None = None) -> ClipMap:
        """Where in time and frequency one clip is strange.

        Args:
            clip: path, bytes or array. rate: of an array. system: of the row's, whose map is wanted; without one the
                first that has a flow, else Spectrum, else the first.

        Raises:
            ValueError: the clip cannot be used, or the row has no such system.
        """
        return self.map_heard(self.hear([clip], rate), system)

    def map_heard(self, heard: Heard, system: str | None = None) -> ClipMap:
        """As `map`, of one clip that `hear` has decoded."""
        _usable(heard)
        ears = self._ears()
        if (name := system or next(iter(ears))) not in ears:
            raise ValueError(f"{self.row} has no {name}; it has {', '.join(ears)}")
        return clip_map(ears[name], heard, self.machine)

    def shares(self, clip: Source, rate: int | None = None) -> pd.DataFrame:
        """What each band and each rhythm adds to the Spectrum in the row: `maps.shares` of one clip.

        Args:
            clip: path, bytes or array. rate: of an array.

        Returns:
            DataFrame as `maps.shares`, of the views that the row is made of; empty where it has none of Spectrum's.

        Raises:
            ValueError: the clip cannot be used.
        """
        return self.shares_heard(self.hear([clip], rate))

    def shares_heard(self, heard: Heard) -> pd.DataFrame:
        """As `shares`, of one clip that `hear` has decoded."""
        _usable(heard)
        names = views_of(self._rows.members(self.row)).values()
        if (ear := self._spectrum) is None or not names:
            return pd.DataFrame(columns=SHARES)
        return shares(ear.references, heard, ear.settings, names)

    @property
    def quick_map(self) -> bool:
        """Whether `map` takes a moment: no clip is heard again with each of its patches hidden."""
        name, ear = next(iter(self._ears().items()))
        return ear.flow or name in (SPECTRUM, BASELINE)

    def _ears(self):
        """{system: `Ear`} of the row's, the one that `map` takes first."""
        needed = self._rows.needed(self.row)
        ears = {made.system: ear for made, ear in self._trained.items() if made.system in needed}
        return dict(sorted(ears.items(), key=lambda each: (not each[1].flow, each[0] != SPECTRUM)))

    def spectrogram(self, heard: Heard) -> ClipMap:
        """Mel spectrogram of the one clip in `heard`, as Spectrum hears it."""
        _usable(heard)
        return spectrogram(heard, next(heard.clips.itertuples()), self.settings.spectrum)

    def hear(
        self, sources: Sequence[Source] | Source, rate: int | None = None, names: Sequence[str] | None = None
    ) -> Heard:
        """Decode clips as the run's own were: `recordings.heard.Heard`."""
        heard = Heard(sources, self.settings.data, rate, self._usual.get("divisor", 1.0), names)
        measured = heard.clips.join(audit.measure_clips(heard, heard.clips))
        by_place = measured.assign(path=measured["source"])
        found = audit.measured_problems(self.machine, by_place, self.usual_seconds)
        names = dict(zip(heard.clips["source"], heard.clips["stem"], strict=True))
        heard.add_problems([(place, names[place], problem, mend) for _, place, problem, mend in found])
        return heard

    def score(self, sources: Sequence[Source] | Source, rate: int | None = None) -> pd.DataFrame:
        """Score clips, each by itself.

        Args:
            sources: paths, bytes of audio files, or arrays, one or several. rate: of arrays, in Hz.

        Returns:
            DataFrame, a row a clip that can be used, in their order: `clip`, `score` (standardised), `threshold`,
            `decision` (whether it is called anomalous), `percentile` (of the calibration clips that score lower, in
            percent), `reason` (one sentence, "" without a Spectrum in the run), `problems` (what the audit says of it).
            A warning names each clip that cannot be used, and why.
        """
        heard = self.hear(sources, rate)
        lost = heard.problems[~heard.problems["source"].isin(heard.clips["source"])]
        for clip in lost.drop_duplicates("source", keep="last").itertuples():
            warnings.warn(f"{clip.clip} is not scored: {clip.problem} ({clip.mend})", stacklevel=2)
        return self.score_heard(heard)

    def score_heard(self, heard: Heard) -> pd.DataFrame:
        """As `score`, of clips that `hear` has decoded."""
        with _libraries().limit(limits=self.settings.threads, user_api="blas"):  # as when the references were scored
            score, normal = self._score(heard), self.normal
        said = heard.problems.groupby("source")["problem"].agg("; ".join)
        return pd.DataFrame({
            "clip": heard.clips["stem"],
            "score": score,
            "threshold": self.threshold,
            "decision": score > self.threshold,
            "percentile": [100 * float(np.mean(normal < value)) for value in score],
            "reason": [found.words for found in self.reasons(heard)] or "",
            "problems": [said.get(place, "") for place in heard.clips["source"]],
        })  # fmt: skip

    def reasons(self, heard: Heard) -> list[Reason]:
        """Why each clip sounds strange; empty where the run has no Spectrum, whose references know what is healthy."""
        if (ear := self._spectrum) is None:
            return []
        spectrum, rate = ear.settings.spectrum, heard.sample_rate
        rows = heard.clips[PLACE].itertuples()
        return [reason(frames_of(heard, row, spectrum), ear.references, spectrum, rate) for row in rows]

    @property
    def usual_seconds(self) -> float | None:
        """Length of the machine's usual clip, where the run says it."""
        return self._usual.get("seconds") or None

    @property
    def normal(self) -> np.ndarray:
        """(clips,) scores of the calibration clips, which are normal."""
        return self._known.loc[self._known["part"] == "calibration", "score"].to_numpy()

    @property
    def held_out(self) -> np.ndarray:
        """(clips,) scores of the run's test clips that no label calls anomalous."""
        test = self._known[(self._known["part"] == "test") & (self._known["label"] != "anomaly")]
        return test["score"].to_numpy()

    def set_threshold(
        self, quantile: float | None = None, value: float | None = None, false_alarms: float | None = None
    ) -> float:
        """Set, and return, the threshold, by one of three.

        Args:
            quantile: of the gamma distribution of the calibration scores, as the challenge's baseline has it. value:
                the score itself. false_alarms: the wished share of normal clips above it, by the calibration scores.
        """
        given = [each for each in (quantile, value, false_alarms) if each is not None]
        if len(given) != 1:
            raise ValueError("give one of quantile, value and false_alarms")
        if value is None and not 0 < given[0] < 1:
            raise ValueError(f"{given[0]}: a share between 0 and 1 is wanted")
        if value is not None:
            self.threshold = float(value)
        elif quantile is not None:
            self.threshold = scoring.decision_threshold(self.normal, quantile)[0]
        else:
            self.threshold = float(np.quantile(self.normal, 1 - false_alarms, method="higher"))
        return self.threshold

    def costs(self, thresholds: Sequence[float] = ()) -> pd.DataFrame:
        """What thresholds would have cost on the run's labelled test clips, as `costs.costs`."""
        test = self._known[(self._known["part"] == "test") & (self._known["label"] != "")]
        return costs(test, self.threshold, thresholds)

    @property
    def _spectrum(self) -> Ear | None:
        return next((ear for made, ear in self._trained.items() if made.system == SPECTRUM), None)

    @cached_property
    def _usual(self) -> dict:
        """As `ClipBank.usual`; empty where only systems of all machines are at hand."""
        found = (ear.facts.get("recordings", {}).get(self.machine) for ear in self._trained.values())
        return next(filter(None, found), {})

    def _score(self, heard):
        """(clips,) scores by the row; each clip has a number for a name, since names may be equal."""
        numbered = heard.clips["stem"].to_numpy()
        heard.clips["stem"] = [str(i) for i in range(len(heard.clips))]
        needed = self._rows.needed(self.row)
        ears = [(made, ear) for made, ear in self._trained.items() if made.system in needed and len(heard.clips)]
        members = self._rows.members(self.row)
        raw = [ear.score(heard, members).assign(parameter=made.parameter) for made, ear in ears]
        heard.clips["stem"] = numbered
        return self._rows.sum_of(self.row).score(raw, len(heard.clips))


@lru_cache(maxsize=1)
def _libraries():
    """That compute on several threads; to find them takes milliseconds, of which a clip has few."""
    return ThreadpoolController()


def _usable(heard):
    """ValueError, naming what is wrong, where the one clip that was heard cannot be used."""
    if heard.clips.empty:
        raise ValueError("; ".join(f"{p.clip}: {p.problem} ({p.mend})" for p in heard.problems.itertuples()))
