"""A microphone's samples as they come: each finished stretch scored as a clip of that length, in bounded memory."""

import numpy as np
import pandas as pd
import soxr

from lib.recordings.reading import FULL_SCALE


class Stream:
    """Feeds a listener; made by `Listener.stream`.

    Args:
        listener: `Listener`. rate: of the samples, in Hz. seconds: of a stretch. step: seconds between the beginnings
            of two.
    """

    def __init__(self, listener, rate: int, seconds: float, step: float):
        if not 0 < step <= seconds:
            raise ValueError(f"a step of {step} s: above 0 and at most the {seconds} s of a stretch is wanted")
        own = listener.settings.data.sample_rate
        self.listener, self.rate = listener, own
        self.length, self.step = round(seconds * own), max(1, round(step * own))
        self._resampler = soxr.ResampleStream(rate, own, 1, dtype="float32") if rate != own else None
        self._waiting, self._begin = np.empty(0, np.int16), 0  # samples that are not past, and where they begin

    def feed(self, samples: np.ndarray, last: bool = False) -> pd.DataFrame:
        """Score what is finished by these samples.

        Args:
            samples: (n,) int16, or float of full scale 1, of one channel. last: no more will come, so that what the
                resampler holds back is heard, too; a stretch that is not full is not scored.

        Returns:
            DataFrame as `Listener.score`, a row a finished stretch, with `begin` and `end` in seconds of the stream.
        """
        samples = np.asarray(samples)
        if samples.ndim != 1 or (samples.dtype != np.int16 and samples.dtype.kind != "f"):
            raise ValueError(f"{samples.dtype} of shape {samples.shape}: one channel of int16 or float is wanted")
        if samples.dtype != np.int16 and not np.isfinite(samples).all():
            raise ValueError("samples that are NaN or infinite; is the recorder sending sound?")
        floats = samples.astype(np.float32) / (FULL_SCALE if samples.dtype == np.int16 else 1)
        if self._resampler is not None:
            floats = self._resampler.resample_chunk(floats, last=last)
        heard = np.clip(np.rint(floats * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        self._waiting = np.concatenate([self._waiting, heard])
        begins, stretches = [], []
        while len(self._waiting) >= self.length:
            begins.append(self._begin / self.rate)
            stretches.append(self._waiting[: self.length])
            self._waiting, self._begin = self._waiting[self.step :], self._begin + self.step
        if not stretches:
            return pd.DataFrame()
        found = self.listener.score(stretches, rate=self.rate)
        places = found["clip"].str.removeprefix("clip ").astype(int) - 1  # a stretch that cannot be used has no row
        begin = np.array(begins)[places]
        return found.assign(begin=begin, end=begin + self.length / self.rate)
