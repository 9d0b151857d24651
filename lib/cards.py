"""Graphics cards of this computer, and how many jobs of a run share each.

A run asks once how much memory is free, gives every card as many places as jobs fit into it, and tells its jobs by an
environment variable; a job holds a place by a lock that goes with its process.
"""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLACES = "ASD_CARDS"  # environment variable: folder of the locks and places of each card, as JSON
MOST = 3  # jobs a card where memory is no limit: one trains while the others start, embed or write
SPARE = 0.9  # of the free memory, what jobs may take
NODES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # of the drivers: NVIDIA, AMD, Windows' subsystem for Linux
ASK = (
    "import torch; print([torch.cuda.mem_get_info(i)[0] / 2**30 for i in range(torch.cuda.device_count())]"
    " if torch.cuda.is_available() else [])"
)
PATIENCE = 120  # s for the answer; the first touch of a card can take a while


def present() -> bool:
    """Whether there may be a card, without asking torch, whose import takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    return not hidden and any(Path(node).exists() for node in NODES)


def free_memory() -> list[float]:
    """GiB free on each card that torch can use; none where there is no card.

    A process of its own asks: half a GiB of every card is taken for as long as the asking process lives.
    """
    if not present():
        return []
    try:
        asked = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, timeout=PATIENCE)
        return [float(gigabytes) for gigabytes in json.loads(asked.stdout.strip().splitlines()[-1])]
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        print(f"the graphics cards do not answer ({type(error).__name__}): one training at a time")
        return [0.0]


def places(free: Sequence[float], need: float, asked: int = 0) -> list[int]:
    """Jobs that share each card: what its memory holds, at most `MOST` and at least one.

    Args:
        free: GiB of each card. need: GiB of a job. asked: jobs a card, whatever the memory; 0 leaves it to the memory.

    >>> places([79.0, 11.0, 4.0], need=6.0)
    [3, 1, 1]
    >>> places([79.0], need=6.0, asked=8)
    [8]
    """
    return [asked or min(MOST, max(1, int(SPARE * gigabytes / need))) for gigabytes in free]


def environment(folder: Path, counts: Sequence[int]) -> dict[str, str]:
    """What to add to a job's environment; nothing without a card.

    Args:
        folder: of the run's locks. counts: places of each card.
    """
    return {PLACES: json.dumps({"folder": str(folder), "places": list(counts)})} if counts else {}


def claim() -> int | None:
    """The card on which this process gets a place, held until it ends; the emptiest first. None where none is free.

    Outside a run there are no places.
    """
    said = json.loads(os.environ.get(PLACES, "{}"))
    counts = said.get("places", [])
    for place in range(max(counts, default=0)):
        for card in (card for card, count in enumerate(counts) if place < count):
            if _lock(Path(said["folder"]) / f"card{card}-{place}.lock"):
                return card
    return None


def _lock(path):
    """Whether the file could be locked; it stays open, and so locked, as long as the process lives."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    return True
