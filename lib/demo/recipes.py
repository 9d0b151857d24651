"""The levers of the demo data: how each machine runs, what breaks and how badly, how loud the factory is."""

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How hard a machine is.

    Attributes:
        source, target: values of each attribute; a clip has one of their combinations.
        faults: kind → (weakest, strongest) severity, drawn log-uniformly; every kind is as frequent. The weakest is
            about as loud as its surroundings in the third of an octave where it is heard best, most strongest ones
            12 dB louder; changes of speed are beyond a healthy clip's (LOG.md).
        snr: dB, machine over factory noise in source and target, ± 1.5 dB from clip to clip.
        shift: dB, deviation of the target's recording path (place, microphone) from the source's.
        surroundings: source's and target's background, by name in `sounds.BACKGROUNDS`.
        seconds: length of a clip.
    """

    source: dict
    target: dict
    faults: dict
    snr: tuple
    shift: float
    surroundings: tuple
    seconds: float = 10.0


RECIPES = {
    "bearing": Recipe(
        source={"vel": ("9", "16", "21"), "loc": ("A", "B")},
        target={"vel": ("6", "26"), "loc": ("C", "D")},
        faults={"outer race": (0.95, 3.8), "inner race": (0.65, 2.6), "cage": (1.0, 4.0), "dry": (0.19, 0.76)},
        snr=(3, 1), shift=2, surroundings=("hall", "press"),
    ),
    "fan": Recipe(
        source={"m-n": ("W", "X")},
        target={"m-n": ("Y", "Z")},
        faults={"unbalance": (1.2, 4.8), "blade": (0.75, 3.0), "clogged": (0.9, 1.8), "rubbing": (0.7, 2.8)},
        snr=(5, 4), shift=2, surroundings=("hall", "yard"),
    ),
    "gearbox": Recipe(
        source={"volt": ("1.0", "1.5", "2.0"), "wt": ("0", "50")},
        target={"volt": ("1.3", "2.5"), "wt": ("100", "150")},
        faults={"wear": (1.1, 4.4), "eccentric": (0.6, 0.95), "chipped": (0.85, 3.4), "backlash": (0.14, 0.56)},
        snr=(3, -1), shift=2, surroundings=("press", "hall"),
    ),
    "slider": Recipe(
        source={"vel": ("200", "300"), "ac": ("0.03", "0.11")},
        target={"vel": ("400", "500"), "ac": ("0.07", "0.20")},
        faults={"loose": (1.5, 6.0), "rail": (1.1, 4.5), "bent screw": (0.45, 0.95), "dry": (0.25, 1.0)},
        snr=(5, 1), shift=3, surroundings=("press", "vent"),
    ),
    "valve": Recipe(
        source={"pat": ("00", "01")},
        target={"pat": ("02", "03")},
        faults={
            "stuck": (0.25, 0.8), "late": (0.2, 2.0), "weak": (0.5, 0.95), "leak": (0.08, 0.32),
            "bounce": (2.0, 8.0),
        },
        snr=(3, 2), shift=2, surroundings=("vent", "hall"),
    ),
    "ToyCar": Recipe(
        source={"car": ("B1", "B2", "C1"), "spd": ("31V", "40V"), "mic": ("1",)},
        target={"car": ("A1", "E1"), "spd": ("28V", "37V"), "mic": ("2",)},
        faults={
            "bent shaft": (0.48, 1.9), "loose gear": (1.0, 4.0), "flat tyre": (0.55, 2.2),
            "voltage up": (0.05, 0.2), "voltage down": (0.05, 0.2), "overcharge": (0.06, 0.25),
        },
        snr=(6, 2), shift=4, surroundings=("yard", "yard"), seconds=12.0,
    ),
    "ToyTrain": Recipe(
        source={"car": ("C1", "C2", "D1"), "spd": ("7", "10"), "mic": ("1",)},
        target={"car": ("A1", "B2"), "spd": ("5", "9"), "mic": ("2",)},
        faults={
            "broken shaft": (0.22, 0.9), "joint": (6.0, 24.0), "flat wheel": (0.95, 3.8),
            "voltage up": (0.05, 0.2), "voltage down": (0.05, 0.2), "overcharge": (0.06, 0.25),
        },
        snr=(7, 4), shift=4, surroundings=("vent", "vent"), seconds=12.0,
    ),
}  # fmt: skip


def recipe_of(machine: str) -> Recipe:
    """The machine's `Recipe`; ValueError for an unknown one."""
    if machine not in RECIPES:
        raise ValueError(f"unknown machine {machine!r}; the demo data has {', '.join(RECIPES)}")
    return RECIPES[machine]


def combinations(machine: str, domain: str) -> list[dict[str, str]]:
    """The joint attributes of a domain, a list of {key: value}, which its clips take in turn."""
    values = getattr(recipe_of(machine), domain)
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def check(machine: str, attributes: dict[str, str], domain: str) -> None:
    """ValueError for a domain, a key or a value that the machine does not have."""
    recipe = recipe_of(machine)
    if domain not in ("source", "target"):
        raise ValueError(f"unknown domain {domain!r}; allowed: source, target")
    allowed = {key: recipe.source[key] + recipe.target[key] for key in recipe.source}
    if attributes.keys() != allowed.keys() or any(attributes[key] not in allowed[key] for key in allowed):
        raise ValueError(f"{machine} cannot run at {dict(attributes)}; allowed: {allowed}")
