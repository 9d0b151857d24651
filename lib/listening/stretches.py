"""A long recording, in which a short fault would drown: stretch by stretch, and where it is strangest."""

import pandas as pd

from lib.recordings.heard import Heard

AT_ONCE = 16  # stretches that are scored together


def strangest(listener, heard: Heard, place: int, seconds: float) -> dict | None:
    """What the strangest of a clip's stretches says, in the words of `Listener.score`.

    Args:
        listener: `Listener`. heard: by it. place: of the clip, among the clips heard. seconds: of a stretch; the last
            one ends with the clip, so that all of it is heard.

    Returns:
        `score`, `decision`, `percentile` of the stretch, and as `reason` where it is, how many are above the threshold
        and its own reason; None of a clip that is no longer than a stretch, or of which none can be used.
    """
    clip, rate = heard.clips.iloc[place], heard.sample_rate
    length = max(round(seconds * rate), 1)
    if clip["length"] <= length:
        return None
    samples = heard.samples[clip["start"] : clip["start"] + clip["length"]]
    begins = [*range(0, len(samples) - length, length), len(samples) - length]
    found = []
    for i in range(0, len(begins), AT_ONCE):
        part = begins[i : i + AT_ONCE]
        scored = listener.score([samples[begin : begin + length] for begin in part], rate=rate)
        places = scored["clip"].str.removeprefix("clip ").astype(int) - 1  # one that cannot be used has no row
        found.append(scored.assign(begin=[part[k] / rate for k in places]))
    scored = pd.concat(found, ignore_index=True)
    if scored.empty:
        return None
    worst = scored.loc[scored["score"].idxmax()]
    above = f"{scored['decision'].sum()} of {len(begins)} stretches above the threshold"
    where = f"strangest from {moment(worst['begin'])} to {moment(worst['begin'] + seconds)} ({above})"
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
