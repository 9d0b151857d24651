"""One measured speed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A rate, in units a second, beside that of the bare arithmetic and of another's code in the same call.

    Attributes:
        goal: wanted rate / floor.
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
