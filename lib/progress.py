"""How work goes on: processes at a time, and progress bars for a person.

Batch runs set TQDM_DISABLE, which tqdm's notebook bars do not read by themselves; a log file gets no bars either.
"""

import os
import sys
from collections.abc import Iterable

from tqdm.auto import tqdm


def progress(iterable: Iterable, label: str, **options) -> Iterable:
    """`iterable` with a bar that goes when it is done."""
    seen = "ipykernel" in sys.modules or sys.stderr.isatty()
    return tqdm(iterable, label, leave=False, disable=bool(os.environ.get("TQDM_DISABLE")) or not seen, **options)


def cores() -> int:
    """Cores that this process may use; where the system cannot tell (macOS, Windows), all of the computer's."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def duration(seconds: float) -> str:
    """A duration as a person says it.

    >>> duration(7.4), duration(200), duration(9000)
    ('7 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def escape_what_has_no_encoding() -> None:
    """Let this process print names that are in no encoding, with escapes, instead of stopping at them."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
