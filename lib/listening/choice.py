"""What 07 listens with and to: its parameters, which a person in JupyterLab may change by hand."""

from collections.abc import Mapping
from pathlib import Path

import ipywidgets
import pandas as pd

from lib.detection import collected
from lib.listening import trainings
from lib.listening.listener import Listener
from lib.paths import Run, data_folder, run_folder, shown
from lib.progress import progress
from lib.recordings.dcase import Dataset
from lib.recordings.heard import Source, named, recordings_at
from lib.recordings.names import AUDIO_SUFFIXES

DEMO_CLIPS = 3  # of each domain and label, where no recordings are named


class Choice:
    """A machine of a run, and the recordings that it shall hear.

    Attributes:
        run: the run. clips: file or folder that is named, "" for test clips of `data`. data: data root.
        widget: a chooser of the machine and an upload; what a person sets there counts.
    """

    def __init__(self, run: Run, machines: list[str], machine: str, clips: str, data: Path):
        """As `open` makes it; `machines` may be chosen."""
        self.run, self.clips, self.data = run, clips, data
        self._machine = ipywidgets.Dropdown(options=machines, value=machine, description="machine")
        accepted = ",".join(AUDIO_SUFFIXES)
        self._upload = ipywidgets.FileUpload(accept=accepted, multiple=True, description="recordings")
        self.widget = ipywidgets.HBox([self._machine, self._upload])

    @classmethod
    def open(cls, machine: str, preset: str, data_root: str = "", run_dir: str = "", clips: str = "") -> "Choice":
        """The choice that a notebook's parameters make.

        Raises:
            ValueError: nothing is trained for this machine; names the command that does.
        """
        run, data = run_folder(run_dir, preset), data_folder(data_root, preset)
        machines = trainings.machines(run)
        if machine not in machines:
            others = f", but for {', '.join(machines)}" if machines else ""
            by_default = preset == "demo" and not data_root and not run_dir
            command = "make demo" if by_default else collected.command(preset, data_root, run)
            raise ValueError(
                f"{shown(run.root)}: nothing is trained for {machine}{others}; {command} trains every system, "
                "and 08_spectrum_reference with the same parameters what needs no training, in seconds"
            )
        return cls(run, machines, machine, clips, data)

    @property
    def machine(self) -> str:
        """Its name."""
        return self._machine.value

    @property
    def folder(self) -> Path:
        """Of the machine."""
        return self.run.machine(self.machine)

    def sources(self) -> tuple[str, dict[str, Source]]:
        """What was uploaded, else what is named, else a few of the machine's test clips.

        Returns:
            In words where they are from, and {name: recording}.

        Raises:
            ValueError: there is none.
        """
        if self._upload.value:
            return "uploaded", {file["name"]: bytes(file["content"]) for file in self._upload.value}
        if self.clips:
            place = Path(self.clips).expanduser().absolute()
            base = place if place.is_dir() else place.parent
            found = {named(path.relative_to(base)): path for path in recordings_at([place])}
            if not found:
                raise ValueError(f"{place}: no .wav or .flac file there; name other recordings in `clips`")
            return f"from {place}", found
        try:
            test = Dataset(self.data).of(self.machine, "test")
        except ValueError as error:
            raise ValueError(f"{error}; or name recordings in `clips`") from error
        few = test.groupby(["domain", "label"], sort=False).head(DEMO_CLIPS)
        return f"test clips of {shown(self.data)}", dict(zip(few["stem"], few["path"], strict=True))


def score_each(listener: Listener, sources: Mapping[str, Source]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score recordings one by one, so that hours of sound take the memory of the longest.

    Args:
        listener: that hears them. sources: {name: recording}.

    Returns:
        As `Listener.score`, the strangest first; and what is wrong with those that cannot be used: `clip`, `problem`
        and `mend`.

    Raises:
        ValueError: none can be used; says why.
    """
    scored, unread = [], []
    for name, source in progress(sources.items(), "clips", total=len(sources)):
        heard = listener.hear([source], names=[name])
        scored.append(listener.score_heard(heard))
        unread += [heard.problems.drop(columns="source")] if heard.clips.empty else []
    unread = pd.concat(unread, ignore_index=True) if unread else pd.DataFrame(columns=["clip", "problem", "mend"])
    scores = pd.concat(scored, ignore_index=True) if scored else pd.DataFrame(columns=["score"])
    if scores.empty:
        reasons = [f"{row.clip}: {row.problem} ({row.mend})" for row in unread.itertuples()]
        raise ValueError("none of these recordings can be used: " + "; ".join(reasons[:5] or ["there is none"]))
    return scores.sort_values("score", ascending=False, ignore_index=True), unread
