"""Scores recordings with a trained machine: python -m lib.score MODEL CLIPS … (`make score`), one line of a CSV each.

`--watch` (`make watch`) goes on, and scores files as they arrive. The exit status is 0 whatever is decided, 1 when some
clips could not be read (the others are scored), 2 for what is refused before it starts.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

import numpy as np

from lib import homes
from lib.listener import Listener
from lib.listening import stretches
from lib.listening.journal import Journal, State
from lib.progress import escape_what_has_no_encoding
from lib.recordings.heard import recordings_at

AT_ONCE, BYTES = 16, 1 << 27  # clips, and bytes of files, that are decoded together
LONG = 3  # times the usual length
POLL, QUIET = 1.0, 10.0  # seconds between two looks at a folder; that a file must not have changed before it is scored


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    given = _arguments(arguments)
    homes.settle()
    escape_what_has_no_encoding()
    try:
        listener = Listener.load(given.model, given.row or None)
        if given.threshold is not None:
            listener.set_threshold(value=given.threshold)
        elif given.false_alarms is not None:
            listener.set_threshold(false_alarms=given.false_alarms)
        if given.watch and (len(given.clips) != 1 or not given.clips[0] or not Path(given.clips[0]).is_dir()):
            raise ValueError(f"{' '.join(given.clips) or '(nothing)'}: --watch takes one folder")
        if given.stretch is not None and not 0.1 <= given.stretch < float("inf"):
            raise ValueError(f"--stretch {given.stretch:g}: seconds, 0.1 or more, are wanted")
        way = f"{listener.row}, strangest {given.stretch:g} s" if given.stretch else listener.row
        journal = Journal(Path(given.csv), listener.machine, way, listener.threshold)
        print(f"{listener.machine}, {way}: called anomalous above {listener.threshold:.3g}")
        if given.watch:
            return _watch(listener, journal, given)
        states = [State.of(file) for file in recordings_at(given.clips)]
        if not states:
            raise ValueError(f"{' '.join(given.clips)}: no .wav or .flac file there")
        new = [state for state in states if not journal.knows(state)]
        _score(listener, journal, new, given)
        unread = sum(not journal.scored(state) for state in states)
        earlier = f", {len(states) - len(new)} of them scored earlier" if len(new) < len(states) else ""
        print(f"{len(states)} clips in {given.csv}{earlier}" + (f"; {unread} could not be read" if unread else ""))
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
    parser.add_argument("--stretch", type=float, help="seconds; of a longer recording its strangest stretch counts")
    parser.add_argument("--pictures", default="", help="folder for a picture a clip")
    parser.add_argument("--watch", action="store_true", help="go on, and score files as they arrive")
    return parser.parse_args(arguments)


def _score(listener, journal, states, given):
    """Score files, print and keep a line each."""
    long = 0
    for batch in _batches(states):
        heard = listener.hear([state.file for state in batch])
        scored = stretches.scored(listener, heard, given.stretch)
        long += int((heard.clips["seconds"] > LONG * (listener.usual_seconds or np.inf)).sum())
        for i, state in enumerate(batch):
            found = scored.get(i)
            if found is None:
                problem = heard.problems[heard.problems["source"] == i].iloc[-1]  # the last is why it was given up
                found = {"problems": f"{problem['problem']} ({problem['mend']})"}
                print(f"{state.file}: {found['problems']}", flush=True)
            else:
                word = "ANOMALOUS" if found["decision"] else "normal"
                said = "; ".join(filter(None, (found["reason"], found["problems"])))
                print(f"{state.file}: {found['score']:.2f} {word}; {said}", flush=True)
            journal.add(state, found)
            if given.pictures and i in scored:
                _picture(listener, state.file, found, Path(given.pictures))
    if long and not given.stretch:
        usual, some = listener.usual_seconds, "1 recording is" if long == 1 else f"{long} recordings are"
        print(f"{some} much longer than the usual {usual:.3g} s; a short fault drowns there: "
              f"make score … STRETCH={usual:.3g}, or --stretch {usual:.3g}", flush=True)  # fmt: skip


def _batches(states):
    """Lists of files that are decoded together: few, and not too large."""
    batch, size = [], 0
    for state in states:
        if batch and (len(batch) == AT_ONCE or size + state.size > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(state)
        size += state.size
    if batch:
        yield batch


def _picture(listener, file, found, folder):
    from lib.results import plots, plots_clip  # take seconds, which a score without a picture should not

    words = f"{file.name}: {found['score']:.2f}, threshold {found['threshold']:.2f}; {found['reason']}"
    name = f"{file.parent.name}_{file.name}".replace(".", "_")  # two folders may hold a.wav, one a.wav and a.flac
    try:
        heard = listener.hear([file])
        figure = plots_clip.clip_picture(listener.spectrogram(heard), listener.map_heard(heard), words)
        plots.save({name: figure}, folder)
        plots.plt.close(figure)
    except ValueError as error:
        print(f"{file}: no picture: {error}", flush=True)


def _watch(listener, journal, given):
    """Score files of a folder when they have not changed for `QUIET` seconds, until Ctrl-C."""
    folder, since = given.clips[0], {}
    print(f"watching {folder}: a file is scored {QUIET:.0f} s after it last changed; Ctrl-C ends it", flush=True)
    while True:
        now, states = time.monotonic(), [State.of(file) for file in recordings_at([folder])]
        since = {state: since.get(state, now) for state in states}
        still = [state for state in states if now - since[state] >= QUIET and not journal.knows(state)]
        _score(listener, journal, still, given)
        time.sleep(POLL)


if __name__ == "__main__":
    sys.exit(main())
