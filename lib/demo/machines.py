"""The physics of the demo machines.

Each machine is a function (attributes, fault, samples, rng) → (samples,) float64 of RMS about 1 (the valve,
mostly silent, less). Everything follows the shaft's angle in turns, so a change of speed moves all that hangs
on it. What a fault draws comes from the fault's own generator: the machine under it is the normal clip's.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from lib.demo.sounds import SAMPLE_RATE, coloured, fixed, impacts, ring, strike, swell, tones, turns

TOY_RESTS = ((1.5, 0.3), (1.8, 0.3))  # s, mean and deviation of the rest before and after a run of 12 s
VALVE_PATTERNS = {  # s: period of the cycle, and when it opens and shuts in it
    "00": (2.4, ((0.0, 0.9), (1.5, 1.9))),
    "01": (1.0, ((0.0, 0.45),)),
    "02": (3.0, ((0.0, 0.3), (0.7, 1.0), (1.4, 2.3))),
    "03": (1.6, ((0.0, 1.1),)),
}
LIMPING = 0.25 * np.exp(-np.arange(30) / 14)  # amplitudes of a shaft's harmonics when it runs unevenly


@dataclass(frozen=True)
class Fault:
    """What is wrong with a machine: `fault("leak")` is its severity, and 0 when something else is."""

    kind: str = ""
    severity: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __call__(self, kind: str) -> float:
        return self.severity if kind == self.kind else 0.0


def bearing(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A shaft in a ball bearing: rolling noise, and balls that pass the outer race 3.57 times a turn."""
    speed = float(attributes["vel"])  # turns per second
    angle = turns(speed * rng.normal(1, 0.01), samples, rng)
    rolling = coloured(samples, [(50, -6), (400, 0), (2500, -4), (8000, -16)], rng)
    hum = tones(angle, [0.30, 0.25, 0.12, 0.08], rng, base=4)  # of the motor's four poles
    passing = 0.4 * impacts(angle, 3.57, rng, spread=0.5, jitter=0.05)
    if s := fault("outer race"):
        passing += s * impacts(angle, 3.57, fault.rng, spread=0.1)
    if s := fault("inner race"):  # the defect turns with the shaft, through the loaded zone and out of it
        passing += s * impacts(angle, 5.43, fault.rng, spread=0.1) * swell(angle, 0.9, fault.rng)
    if s := fault("cage"):
        passing += s * impacts(angle, 0.42, fault.rng)
    sound = 0.8 * rolling + hum + ring(passing, ((1900, 0.004, 1.6), (3300, 0.003, 1.2), (5100, 0.002, 0.8)))
    if s := fault("dry"):
        squeal = coloured(samples, [(50, -60), (2000, -30), (4500, 0), (6500, 0), (8000, -10)], fault.rng)
        sound += s * squeal * swell(angle, 0.3, fault.rng)
    return (speed / 15) ** 0.6 * sound


def fan(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Seven blades, 29 turns a second, in their own turbulence; `m-n` names the machine beside it."""
    angle = turns(29 * rng.normal(1, 0.008), samples, rng)
    blades = tones(angle, [0.6, 0.35, 0.22, 0.12, 0.08, 0.05], rng, base=7)
    s = fault("clogged")  # the flow separates: duller tones, a rumble instead
    air = coloured(samples, [(50, 2 + 8 * s), (300, 3 * s), (1500, -7), (8000, -24)], rng)
    sound = (1 - 0.5 * s) * blades + (0.8 + 0.3 * s) * air
    if s := fault("unbalance"):
        sound = sound * swell(angle, 0.5 * s, fault.rng) + s * tones(angle, [0.5, 0.25], fault.rng)
    if s := fault("blade"):
        sound += s * tones(angle, LIMPING, fault.rng)
    if s := fault("rubbing"):
        scrape = coloured(samples, [(50, -40), (1500, -10), (3000, 0), (8000, -6)], fault.rng)
        sound += s * scrape * np.maximum(np.cos(2 * np.pi * angle), 0) ** 12
    return sound + 0.4 * _neighbour(attributes["m-n"], samples, rng)


def _neighbour(name, samples, rng):
    """(samples,) a machine of RMS about 1 that is not under watch: a whine and a pulsating rush."""
    own = fixed("fan", name)
    angle = turns(own.uniform(8, 24) * rng.normal(1, 0.01), samples, rng)
    whine = tones(angle, own.uniform(0.1, 0.7, 6), rng, base=int(own.integers(9, 23)))
    rush = coloured(samples, [(50, -10), (own.uniform(200, 2500), 0), (8000, -25)], rng)
    return whine + 0.7 * rush * swell(angle / 8, own.uniform(0.1, 0.7), rng)


def gearbox(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A pinion of 23 teeth and a wheel of 138: the mesh and its harmonics, louder and slower under load."""
    load = float(attributes["wt"]) / 150
    speed = (4 + 9 * float(attributes["volt"])) * (1 - 0.06 * load)  # turns per second
    angle = turns(speed * rng.normal(1, 0.01), samples, rng)
    worn = fault("wear")
    amplitudes = np.array([0.7, 0.5, 0.3, 0.15, 0.08, 0.05]) * (1 + worn * np.arange(6) / 2)
    mesh = tones(angle, amplitudes, rng, base=23) * swell(angle, 0.15 + 0.4 * worn, rng)
    if s := fault("eccentric"):
        mesh *= swell(angle / 6, s, fault.rng)
    brush = coloured(samples, [(50, -12), (700, 0), (2500, -3), (8000, -18)], rng)
    blows = 0.10 * impacts(angle, 23, rng, spread=0.4)
    if s := fault("chipped"):
        blows += s * impacts(angle, 1, fault.rng, spread=0.2)
    if s := fault("backlash"):
        blows += s * impacts(angle, 23, fault.rng, spread=0.6, jitter=0.2)
    rattle = ring(blows, ((1300, 0.006, 1.5), (2700, 0.004, 1.2), (4300, 0.003, 0.7)))
    return (0.5 + 0.6 * load) * mesh + 0.5 * brush + tones(angle, [0.3, 0.2, 0.1], rng) + rattle


def slider(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A carriage on a ball screw, 0.4 m to and fro: sounding as fast as it goes, knocking at both ends."""
    pull = float(attributes["ac"]) * 9.81  # m/s²
    top = min(float(attributes["vel"]) / 1000, (0.4 * pull) ** 0.5)  # m/s, as far as a stroke lets it
    stroke, rest = 0.4 / top + top / pull, 0.2  # s
    clock = np.arange(samples) / SAMPLE_RATE * rng.normal(1, 0.01) + rng.uniform(0, 2 * stroke)
    at = clock % (stroke + rest)
    speed = np.clip(np.minimum(pull * at, pull * (stroke - at)), 0, top)  # m/s
    angle = turns(speed / 0.012, samples, rng)  # 12 mm a turn
    balls = tones(angle, [0.5, 0.3, 0.25, 0.1], rng, base=18)
    rolling = coloured(samples, [(50, -10), (300, -2), (1200, 0), (8000, -20)], rng)
    if s := fault("bent screw"):
        balls = balls * swell(angle, s, fault.rng) + s * tones(angle, LIMPING, fault.rng)
    if s := fault("dry"):
        shriek = [(50, -60), (1800, -25), (3500, 0), (5500, -3), (8000, -15)]
        rolling += s * coloured(samples, shriek, fault.rng)
    ends = np.flatnonzero(np.diff(at) < 0).astype(float)
    knocks = strike(ends, 2.0 * np.exp(rng.normal(0, 0.3, len(ends))), samples)
    if s := fault("loose"):
        knocks += strike(ends + fault.rng.uniform(240, 800, len(ends)), s, samples)  # 15 to 50 ms after
    if s := fault("rail"):  # a dent that each stroke passes at the same place
        dent = np.diff((at > fault.rng.uniform(0.3, 0.7) * stroke).astype(int)) > 0
        knocks += strike(np.flatnonzero(dent).astype(float), s, samples)
    body = ((420, 0.012, 1.5), (1100, 0.006, 1.0), (2600, 0.003, 0.6))
    return 1.6 * (speed / 0.3) ** 0.6 * (balls + 0.7 * rolling) + ring(knocks, body)


def valve(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A solenoid valve that clicks open, lets a puff of air through, and clicks shut, in a pattern."""
    period, cycle = VALVE_PATTERNS[attributes["pat"]]
    period *= rng.normal(1, 0.01)
    starts = np.arange(-1, samples / SAMPLE_RATE / period + 1) * period + rng.uniform(0, period)
    opens, shuts = (np.add.outer(starts, times).ravel() for times in zip(*cycle, strict=True))
    opens, shuts = (times + rng.normal(0, 0.004, len(times)) for times in (opens, shuts))
    rises, falls = np.exp(rng.normal(0, 0.15, (2, len(opens))))
    works = fault.rng.random(len(opens)) >= fault("stuck")  # what does not open does not shut either
    rises, falls = rises * works * (1 - fault("weak")), falls * works
    opens = opens + 0.12 * fault("late") * fault.rng.exponential(1, len(opens))
    again = shuts + fault.rng.uniform(0.012, 0.03, len(shuts))
    clicks = strike(opens * SAMPLE_RATE, 6.0 * rises, samples)
    clacks = strike(shuts * SAMPLE_RATE, 4.0 * falls, samples)
    clacks += strike(again * SAMPLE_RATE, fault("bounce") * works, samples)
    fade = np.exp(-np.arange(samples) / (0.05 * SAMPLE_RATE))
    puffs = fft.irfft(fft.rfft(strike(opens * SAMPLE_RATE, rises, samples)) * fft.rfft(fade), samples)
    air = coloured(samples, [(50, -40), (1500, -8), (4000, 0), (8000, -4)], rng)
    sound = ring(clicks, ((1700, 0.004, 1.0), (4200, 0.003, 1.0), (6300, 0.0015, 0.8)))
    return sound + ring(clacks, ((900, 0.006, 1.0), (2600, 0.003, 0.8))) + (1.2 * puffs + fault("leak")) * air


def toy_car(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A toy car on a bench: motor, gear mesh, wheels; car B1 differs from C1 in gears, from B2 in tone."""
    own, run, angle = _drive(0.55, attributes, fault, samples, rng)
    mesh = tones(angle, own.uniform(0.15, 0.6, 5), rng, base=int(own.integers(36, 44)))
    whine = tones(angle, own.uniform(0.05, 0.3, 4), rng, base=9)
    unit = fixed("car", attributes["car"]).normal(0, 2, 4)  # dB
    colour = [(50, -14), (500, -6 + unit[0]), (1200, unit[1]), (3000, -6 + unit[2]), (8000, -18 + unit[3])]
    rattle = coloured(samples, colour, rng)
    wobble = swell(angle, fault("bent shaft"), fault.rng)
    mesh += fault("bent shaft") * tones(angle, LIMPING, fault.rng)
    if s := fault("loose gear"):
        mesh += s * tones(angle + 0.01 * np.sin(2 * np.pi * angle), [0.4, 0.4, 0.3, 0.2], fault.rng, base=53)
    bumps = 0.5 * impacts(angle, 1, rng, spread=0.5)
    if s := fault("flat tyre"):
        bumps += s * impacts(angle, 1, fault.rng, spread=0.2)
    body = [(340, 0.01, 1.5), (900, 0.005, 1.5), (2300, 0.003, 1.5)]
    body = [(hertz * np.exp(own.normal(0, 0.1)), decay, peak) for hertz, decay, peak in body]
    return run**1.2 * (whine + wobble * (mesh + rattle)) + ring(run * bumps, body)


def toy_train(attributes: dict[str, str], fault: Fault, samples: int, rng: np.random.Generator) -> np.ndarray:
    """A toy train on a ring of eight rails: motor, two axles over each joint, loudest where it passes by."""
    own, run, angle = _drive(0.9, attributes, fault, samples, rng)
    lap = (angle - angle[0]) / 42 + rng.random()  # laps of 42 turns of a wheel
    near = 0.5 + 0.9 * np.exp(3 * (np.cos(2 * np.pi * lap) - 1))
    motor = tones(angle, own.uniform(0.1, 0.5, 5), rng, base=int(own.integers(50, 70)))
    wheels = coloured(samples, [(50, -16), (800, -4), (2500, 0), (5000, -4), (8000, -14)], rng)
    wobble = swell(angle, fault("broken shaft"), fault.rng)
    motor += fault("broken shaft") * tones(angle, LIMPING, fault.rng, base=4)
    axles = (lap, lap + 1 / 150)
    joints = sum(impacts(axle, 8, rng, spread=0.3, jitter=0.002) for axle in axles)
    if s := fault("joint"):  # two of the eight stand open
        place = fault.rng.integers(4) / 8
        joints += s * sum(impacts(axle + place, 2, fault.rng, spread=0.1) for axle in axles)
    if s := fault("flat wheel"):
        joints += s * impacts(angle, 1, fault.rng, spread=0.2)
    rattle = ring(run * joints, ((700, 0.006, 1.6), (1900, 0.004, 1.3), (3900, 0.002, 0.9)))
    return near * (run**1.2 * wobble * (motor + 0.6 * wheels) + 1.6 * run * rattle)


def _drive(turns_per_unit, attributes, fault, samples, rng):
    """A toy's run from rest to rest.

    Args:
        turns_per_unit: turns of a wheel a second, per unit of the attribute `spd`.

    Returns:
        The generator that is the same for all cars of this letter; (samples,) share of full speed, exactly 0
        before the start and after the end; (samples,) angle of the wheels in turns.
    """
    own = fixed("car", attributes["car"][0])
    full = turns_per_unit * float(attributes["spd"].rstrip("V")) * np.exp(own.normal(0, 0.05))
    full *= rng.normal(1, 0.012) * (1 + fault("voltage up") - fault("voltage down"))
    time = np.arange(samples) * (12 / samples)  # s; rests and ramps shrink with a shorter clip
    before, after = (np.clip(rng.normal(mean, deviation), 0.8, 2.6) for mean, deviation in TOY_RESTS)
    ramp = np.minimum((time - before) / 0.9, (12 - after - time) / 0.7)
    run = np.sin(np.pi / 2 * np.clip(ramp, 0, 1))
    fresh = 1 + fault("overcharge") * np.exp(-time / 4)  # a battery charged too full is fastest at the start
    return own, run, turns(run * full * fresh, samples, rng)


MACHINES = {
    "bearing": bearing,
    "fan": fan,
    "gearbox": gearbox,
    "slider": slider,
    "valve": valve,
    "ToyCar": toy_car,
    "ToyTrain": toy_train,
}
