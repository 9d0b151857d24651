"""What a stage of the bench finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """The speed of one stage at one size, higher is better.

    Attributes:
        stage: "OE training", "decode", …
        size: "224 × 313, bf16", "1000 clips of 12 s, flac".
        rate: units a second. unit: "clips/s".
        floor: the same unit, what the bare arithmetic or memory allows, measured in this call. floor_of: what it is.
        peer: the same unit, what the named peer does. peer_of: "librosa, clip by clip".
        goal: the ratio rate/floor that is wanted.
    """

    stage: str
    size: str
    rate: float
    unit: str
    floor: float | None = None
    floor_of: str = ""
    peer: float | None = None
    peer_of: str = ""
    goal: float | None = None
