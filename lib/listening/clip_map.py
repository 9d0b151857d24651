"""Values over a clip's frequencies and time: a spectrogram, or where it is strange."""

from dataclasses import dataclass, replace

import numpy as np
from librosa import hz_to_mel

ROUNDING = 1e-9  # of the sum over a clip


@dataclass(frozen=True)
class ClipMap:
    """Values over frequency and time.

    Attributes:
        values: (height, columns), the lowest band first; larger is stranger.
        seconds: of the clip; columns are of equal length. hertz: its lowest and highest edge. kind: what the values
            are, with their unit. htk: whether the mel scale between is HTK's, or Slaney's.
    """

    values: np.ndarray
    seconds: float
    hertz: tuple[float, float]
    kind: str
    htk: bool = True

    def strangest(self, seconds: float) -> tuple[float, float]:
        """Begin and end [s] of the stretch of that length where the values are largest; of a shorter clip all of it.

        Of stretches that are as strange the middle one.

        >>> ClipMap(np.array([[0, 0, 1, 3, 3, 0]]), 6.0, (50, 7800), "dB").strangest(2.0)
        (3.0, 5.0)
        """
        columns = self.values.shape[1]
        width = min(max(1, round(seconds / self.seconds * columns)), columns)
        total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(self.values).mean(axis=0))])
        sums = total[width:] - total[:-width]
        equal = np.flatnonzero(sums >= sums.max() - ROUNDING * abs(total[-1]))
        begin = max(0.0, min(float(equal[len(equal) // 2]) / columns * self.seconds, self.seconds - seconds))
        return begin, min(begin + seconds, self.seconds)

    def shrunk(self, columns: int) -> "ClipMap":
        """At most so many columns, each the largest of those that it stands for: a short event in hours stays."""
        if self.values.shape[1] <= columns:
            return self
        begins = np.linspace(0, self.values.shape[1], columns, endpoint=False).astype(int)
        return replace(self, values=np.maximum.reduceat(self.values, begins, axis=1))

    def at(self, hertz: np.ndarray) -> np.ndarray:
        """(len(hertz), columns) values at these frequencies, NaN outside the map's."""
        low, high = hz_to_mel(np.array(self.hertz), htk=self.htk)
        place = np.floor((hz_to_mel(hertz, htk=self.htk) - low) / (high - low) * len(self.values)).astype(int)
        inside = (place >= 0) & (place < len(self.values))
        return np.where(inside[:, None], self.values[np.where(inside, place, 0)], np.nan)

    def cut(self, begin: float, end: float) -> "ClipMap":
        """The part from `begin` to `end` [s]."""
        first, last = (round(edge / self.seconds * self.values.shape[1]) for edge in (begin, end))
        return replace(self, values=self.values[:, first : max(last, first + 1)], seconds=end - begin)
