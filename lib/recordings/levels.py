"""One full scale for the clips of a machine: what float samples mean that are not within ±1.

Level tells a detector something, so the clips of one machine share one scale, and what cannot be put on it is refused.
Integer formats have their own full scale. A float clip is within ±1 unless its machine says otherwise:

- Peaks above 256 are values of integers: divided by 2¹⁵ (to 2¹⁷, where they exceed 16 bits), 2²³ or 2³¹ (or twice
  that), the smallest that holds the loudest. Where most of a machine's float clips are so, all of them are divided.
- Others (pascal, volts, gain beyond full scale): where all clips of the machine are float, all are divided by the one
  power of two that brings the loudest sample, if above 1 or below 1/128, to between 1/2 and 1.
- A clip that fits no such scale, more than 64 times as loud as the machine's usual one, or above 2 beside clips whose
  full scale is known, is refused; up to 2 it is clipped. Each is listed with its factor.
"""

import math

import numpy as np
import pandas as pd

INTEGERS = 256.0  # a float peak above it is of integers' values
QUIETEST = 1 / 128  # a machine's peak below it keeps fewer than 8 bits in a bank of 16
ODD = 64.0  # times the usual peak
OVER = 2.0  # × full scale: clipped beside clips of known full scale, refused above
_HOLDERS = (15, 16, 17, 23, 24, 31, 32)


def divisors(peaks: dict[str, float], integers: bool) -> tuple[dict[str, float], list[tuple[str, str, str]]]:
    """What each float clip of one machine is divided by, NaN for one that is refused, and (path, problem, mend).

    Args:
        peaks: {path: largest absolute sample} of the float clips, 0 for a silent one.
        integers: whether the machine has clips of an integer format, too.

    >>> divisors({"a": 20.0, "b": 0.5}, False)[0]
    {'a': 32.0, 'b': 32.0}
    >>> divisors({"a": 0.9, "b": 9000.0}, True)[0]
    {'a': 1.0, 'b': 32768.0}
    """
    found, problems = dict.fromkeys(peaks, 1.0), []
    heard = {path: peak for path, peak in peaks.items() if peak > 0}
    large = {path: peak for path, peak in heard.items() if peak > INTEGERS}
    if 2 * len(large) > len(heard):
        usual = float(np.median(list(heard.values())))
        large = _without_odd(heard, _holder(usual), found, problems)
    if large:
        _divide(large, _holder(max(large.values())), "values of integers", found, problems)
    rest = {path: peak for path, peak in heard.items() if path not in large and not math.isnan(found[path])}
    if integers or large:
        _hold_to_full_scale(rest, found, problems)
    elif rest := _without_odd(rest, 1.0, found, problems):
        loudest = max(rest.values())
        if not QUIETEST <= loudest <= 1:
            _divide(rest, 2.0 ** math.ceil(math.log2(loudest)), "another unit than full scale", found, problems)
    return found, problems


def of_machines(machines: pd.Series, files: list[str], peaks: list[float]) -> tuple[list[float], list[tuple]]:
    """What each file's float samples are divided by (NaN: it is refused), and (machine, path, problem, mend).

    Args:
        machines: of each file. files: paths. peaks: as `decoding.measure` gives them: −1 for an integer format, NaN for
            a file that cannot be read.
    """
    table, found, problems = pd.DataFrame({"machine": machines, "path": files, "peak": peaks}), {}, []
    for machine, rows in table.groupby("machine"):
        floats = rows[rows["peak"] >= 0]
        own, said = divisors(dict(zip(floats["path"], floats["peak"], strict=True)), bool((rows["peak"] < 0).any()))
        found |= own
        problems += [(machine, *each) for each in said]
    return [found.get(path, 1.0) for path in files], problems


def _holder(peak):
    """The full scale of the integers of which the loudest is `peak`."""
    return next((2.0**bits for bits in _HOLDERS if peak <= 2.0**bits), math.nan)


def _divide(peaks, divisor, what, found, problems):
    loudest = max(peaks, key=peaks.get)
    found |= dict.fromkeys(peaks, divisor)
    if math.isnan(divisor):
        problems += [(path, f"no sound: a peak of {peak:.3g}", "export it again") for path, peak in peaks.items()]
        return
    said = (
        f"scaled: {len(peaks)} float clip(s) divided by {divisor:g}, {what}; the loudest peak is {peaks[loudest]:.3g}"
    )
    problems.append((loudest, said, "nothing, or export float within ±1; one factor keeps their levels comparable"))


def _without_odd(peaks, least, found, problems):
    """The clips less those above `least` and far louder than the machine's usual one, which are refused."""
    usual = float(np.median(list(peaks.values()))) if peaks else 0.0
    odd = {path: peak for path, peak in peaks.items() if peak > max(least, ODD * usual)}
    for path, peak in odd.items():
        said = f"another scale: its peak is {peak:.3g} where the machine's usual float clip has {usual:.3g}; not used"
        problems.append((path, said, "export it with the gain of the others"))
        found[path] = math.nan
    return {path: peak for path, peak in peaks.items() if path not in odd}


def _hold_to_full_scale(peaks, found, problems):
    for path, peak in peaks.items():
        if peak > OVER:
            said = f"another scale: its peak is {peak:.3g} where the machine's other clips end at 1; not used"
            divisor = 2.0 ** math.ceil(math.log2(peak))
            problems.append((path, said, f"export it with the gain of the others; divided by {divisor:g} it would fit"))
            found[path] = math.nan
        elif peak > 1:
            said = f"beyond full scale: float samples up to {peak:.3g}, clipped at 1"
            problems.append((path, said, "lower the gain of the export"))
