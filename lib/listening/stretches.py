"""A long recording, in which a short fault would drown: stretch by stretch, and where it is strangest."""

import copy

import numpy as np
import pandas as pd

from lib.recordings.heard import Heard

AT_ONCE = 16  # stretches that are scored together


def scored(listener, heard: Heard, seconds: float | None) -> dict[int, dict]:
    """What a listener says of clips, of long ones what it says of their strangest stretches.

    Args:
        listener: `Listener`. heard: by it. seconds: of a stretch; None scores every clip as a whole.

    Returns:
        {place among the sources: a row of `Listener.score`}, without those that cannot be used.
    """
    length = round(seconds * heard.sample_rate) if seconds else np.inf
    long, whole = heard.clips["length"] > length, copy.copy(heard)
    whole.clips = heard.clips[~long].reset_index(drop=True)
    found = dict(zip(whole.clips["source"], listener.score_heard(whole).to_dict("records"), strict=True))
    for clip in heard.clips[long].itertuples():
        said = "; ".join(heard.problems.loc[heard.problems["source"] == clip.source, "problem"])
        found[clip.source] = _strangest(listener, heard.sound(clip), heard.sample_rate, length) | {"problems": said}
    return found


def _strangest(listener, samples, rate, length):
    """The strangest stretch of `length` samples; the last one ends with the clip, so that all of it is heard."""
    begins, found = [*range(0, len(samples) - length, length), len(samples) - length], []
    for i in range(0, len(begins), AT_ONCE):
        part = begins[i : i + AT_ONCE]
        rows = listener.score([samples[begin : begin + length] for begin in part], rate=rate)
        found.append(rows.assign(begin=np.array(part) / rate))
    rows = pd.concat(found, ignore_index=True)
    worst = rows.loc[rows["score"].idxmax()]
    above = f"{rows['decision'].sum()} of {len(begins)} stretches above the threshold"
    where = f"strangest from {moment(worst['begin'])} to {moment(worst['begin'] + length / rate)} ({above})"
    reason = ": ".join(filter(None, (where, worst["reason"])))
    return {**worst[["score", "decision", "percentile"]].to_dict(), "reason": reason}


def moment(seconds: float) -> str:
    """
    >>> moment(75.25), moment(3661)
    ('1:15.2', '1:01:01.0')
    """
    minutes, left = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{left // 10:02d}.{left % 10}"
