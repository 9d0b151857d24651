"""Scores recordings with a trained machine: python -m lib.score MODEL CLIPS … (`make score`), one line of a CSV each.

`--watch` (`make watch`) goes on, and scores files as they arrive. The exit status is 0 whatever is decided, 1 when some
clips could not be read (the others are scored), 2 for what is refused before it starts.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lib import homes
from lib.listener import Listener
from lib.listening.journal import Journal
from lib.recordings.names import AUDIO_SUFFIXES

AT_ONCE = 16  # clips that are decoded together
POLL = 1.0  # seconds between two looks at a folder


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    given = _arguments(arguments)
    homes.settle()
    try:
        listener = Listener.load(given.model, given.row or None)
        if given.threshold is not None:
            listener.set_threshold(value=given.threshold)
        elif given.false_alarms is not None:
            listener.set_threshold(false_alarms=given.false_alarms)
        journal = Journal(Path(given.csv))
        print(f"{listener.machine}, {listener.row}: called anomalous above {listener.threshold:.3g}")
        if given.watch:
            return _watch(listener, journal, given)
        files = list(_recordings(given.clips))
        if not files:
            raise ValueError(f"{' '.join(given.clips)}: no .wav or .flac file there")
        unread = _score(listener, journal, [file for file in files if file not in journal], given.pictures)
        print(f"{len(files)} clips in {given.csv}" + (f", {unread} could not be read" if unread else ""))
        return 1 if unread else 0
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"stopped; what was scored is in {given.csv}")
        return 128 + signal.SIGINT


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.score", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="outputs/<run>/<machine>, one trained system of it, or an export")
    parser.add_argument("clips", nargs="+", help="files or folders; with --watch one folder")
    parser.add_argument("--csv", default="scores.csv", help="a line a clip is appended; clips that have one are left")
    parser.add_argument("--row", default="", help="of the tables; none: Spectrum where the run has it")
    parser.add_argument("--threshold", type=float, help="score above which a clip is called anomalous")
    parser.add_argument("--false-alarms", type=float, help="wished share of normal clips above the threshold")
    parser.add_argument("--pictures", default="", help="folder for a picture a clip")
    parser.add_argument("--watch", action="store_true", help="go on, and score files as they arrive")
    return parser.parse_args(arguments)


def _recordings(places: Iterable[str]) -> Iterator[Path]:
    """The .wav and .flac files in folders, at any depth, and the files that are named, in their order."""
    for place in map(Path, places):
        if not place.exists():
            raise ValueError(f"{place}: no such file or folder")
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (path for path in found if place.is_file() or _is_recording(path))


def _is_recording(path):
    return path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()


def _score(listener, journal, files, pictures=""):
    """Score files, print and keep a line each; returns how many could not be read."""
    unread = 0
    for first in range(0, len(files), AT_ONCE):
        batch = files[first : first + AT_ONCE]
        heard = listener.hear(batch)
        scored = dict(zip(heard.clips["source"], listener.score_heard(heard).to_dict("records"), strict=True))
        for i, file in enumerate(batch):
            found = scored.get(i)
            if found is None:
                problem = heard.problems[heard.problems["source"] == i].iloc[0]
                found = {"problems": f"{problem['problem']} ({problem['mend']})"}
                unread += 1
                print(f"{file}: {found['problems']}", flush=True)
            else:
                word = "ANOMALOUS" if found["decision"] else "normal"
                print(f"{file}: {found['score']:.2f} {word}; {found['reason']}", flush=True)
            journal.add(file, found)
            if pictures and i in scored:
                _picture(listener, file, found, Path(pictures))
    return unread


def _picture(listener, file, found, folder):
    from lib.results import plots, plots_beyond  # take seconds, which a score without a picture should not

    heard = listener.hear([file])
    words = f"{file.name}: {found['score']:.2f}, threshold {found['threshold']:.2f}; {found['reason']}"
    figure = plots_beyond.clip_picture(listener.spectrogram(heard), listener.map_heard(heard), words)
    plots.save({f"{file.parent.name}_{file.stem}": figure}, folder)  # two folders may hold a.wav
    plots.plt.close(figure)


def _watch(listener, journal, given):
    """Score files of a folder when they have stopped growing, until Ctrl-C."""
    folder, seen = Path(given.clips[0]), {}
    if len(given.clips) != 1 or not folder.is_dir():
        raise ValueError(f"{' '.join(given.clips)}: --watch takes one folder")
    print(f"watching {folder}; Ctrl-C ends it", flush=True)
    while True:
        ready = []
        for file in _recordings([str(folder)]):
            try:
                state = file.stat()
            except OSError:  # gone again
                continue
            now = (state.st_size, state.st_mtime_ns)
            if seen.get(file) == now and file not in journal:
                ready.append(file)
            seen[file] = now
        _score(listener, journal, ready, given.pictures)
        time.sleep(POLL)


if __name__ == "__main__":
    sys.exit(main())
