"""Demo data in the DCASE 2023 Task 2 layout: the seven development machines, made from physics.

It runs the whole pipeline without a download and shows the shape of its results; none of its figures stands
beside the paper's. `recipes` holds the levers, `machines` the physics, `sounds`
what it is made of. Each clip has its own generator, seeded by all that names it: none depends on another.
"""

import fcntl
import itertools
import json
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
from scipy import fft

from lib import clock
from lib.demo.machines import MACHINES, Fault
from lib.demo.recipes import check, combinations, recipe_of
from lib.demo.sounds import SAMPLE_RATE, factory, recording_path
from lib.paths import whole_file
from lib.progress import cores, progress
from lib.recordings.names import format_name
from lib.settings import Demo

GENERATOR = 2  # raise it when a clip would sound different: demo data at hand is then made anew
FULL_SCALE = 32767
RAW = "dev_data/raw"
WHOLE, PARTIAL, LOCK = "synthetic.json", ".synthetic.json", ".synthetic.lock"  # files in the root


@clock.counts("bank")
def make_demo_data(
    root: str | Path, demo: Demo, workers: int | None = None, lengths: dict[str, float] | None = None
) -> Path:
    """Make the demo data under `root`, unless it is there already.

    `synthetic.json` (seed, sizes, lengths, generator, files) comes last and declares the root whole. An
    interrupted call leaves `.synthetic.json`, by which the next one knows its own files and makes them anew,
    as it does those of another recipe. Several processes may call it at once.

    Args:
        root: folder that is absent, empty, or made by this function.
        demo: `settings.Demo`.
        workers: processes; None is one a core.
        lengths: {machine: seconds}, for clips that do not last as long as the challenge's.

    Returns:
        Path of the root.

    Raises:
        ValueError: an unknown machine, a length or seed out of range, or a folder that holds other files.
        OSError: the folder cannot be written to.
    """
    root = Path(root).expanduser().resolve()
    order = _order(demo, lengths or {})
    if _read(root / WHOLE).get("order") == order:
        return root
    _refuse_foreign(root)
    with _locked(root):
        if _read(root / WHOLE).get("order") != order:  # another process may have made it meanwhile
            _remove(root)
            _make(root, order, workers or cores())
    return root


def make_clip(
    machine: str,
    attributes: dict[str, str],
    domain: str,
    anomalous: bool,
    rng: np.random.Generator,
    seconds: float | None = None,
) -> np.ndarray:
    """One clip: the machine, through its recording path, in factory noise.

    Two calls with generators of the same seed differ by the fault alone.

    Args:
        machine: name in `recipes.RECIPES`.
        attributes: {key: value}, of values that the machine has in either domain.
        domain: "source" or "target": background and recording path.
        anomalous: whether one of the machine's faults is in it.
        rng: `np.random.Generator`, from which three are spawned.
        seconds: length; None is the machine's own.

    Returns:
        (samples,) float64 in [-1, 1] at 16 kHz.

    Raises:
        ValueError: an unknown machine, domain or attribute value.
    """
    check(machine, attributes, domain)
    recipe = recipe_of(machine)
    samples = round((seconds or recipe.seconds) * SAMPLE_RATE)
    own, around, wrong = rng.spawn(3)
    sound = MACHINES[machine](attributes, draw_fault(machine, wrong) if anomalous else Fault(), samples, own)
    shifted = domain == "target"
    place = attributes.get("loc") or attributes.get("mic") or domain
    path = recording_path(machine, place, shifted * recipe.shift, samples, around)
    noise = 10 ** ((around.normal(0, 1.5) - recipe.snr[shifted]) / 20)
    level = 10 ** (around.normal(-30, 1) / 20)
    spectrum = path * fft.rfft(sound) + noise * factory(recipe.surroundings[shifted], samples, around)
    clip = level * fft.irfft(spectrum, samples)
    return clip / max(1.0, np.abs(clip).max() / 0.98)


def draw_fault(machine: str, rng: np.random.Generator) -> Fault:
    """A `Fault` of the machine: any of its kinds, its severity log-uniform in the kind's range."""
    faults = recipe_of(machine).faults
    kind = list(faults)[rng.integers(len(faults))]
    weakest, strongest = faults[kind]
    return Fault(kind, weakest * (strongest / weakest) ** rng.random(), rng)


def _order(demo, lengths):
    """All that the data follows from, as it stands in synthetic.json."""
    for machine, length in lengths.items():
        if recipe_of(machine) and not 1 <= length <= 60:
            raise ValueError(f"a clip of {machine} cannot last {length} s; allowed: 1 to 60")
    if demo.seed < 0:
        raise ValueError(f"demo.seed {demo.seed} is negative; allowed: 0 and above")
    seconds = {m: float(lengths.get(m, recipe_of(m).seconds)) for m in sorted(set(demo.machines))}
    sizes = {key: getattr(demo, key) for key in ("source_clips", "target_clips", "test_clips")}
    return {"generator": GENERATOR, "seed": demo.seed, "seconds": seconds, **sizes}


def _clips(order):
    """Every clip of an order, as (path under the root, what seeds it, attributes, seconds)."""
    folds = [(domain, "train", "normal", order[f"{domain}_clips"]) for domain in ("source", "target")]
    for domain, label in itertools.product(("source", "target"), ("normal", "anomaly")):
        folds.append((domain, "test", label, order["test_clips"]))
    for machine, (domain, split, label, count) in itertools.product(order["seconds"], folds):
        first = 1 if machine.startswith("Toy") else 0  # as in ToyADMOS2 and in MIMII
        each = itertools.cycle(combinations(machine, domain))
        for number, attributes in zip(range(first, first + count), each, strict=False):
            name = format_name(domain, split, label, number, attributes)
            seeds = (order["seed"], machine, split, domain, label, number)
            yield f"{RAW}/{machine}/{split}/{name}.wav", seeds, attributes, order["seconds"][machine]


def _make(root, order, workers):
    clips = list(_clips(order))
    tables = _attribute_files(clips)
    files = [*tables, *(path for path, *_ in clips)]
    _write(root / PARTIAL, json.dumps({"order": order, "files": files}, indent=1))
    for path, text in tables.items():
        _write(root / path, text)
    tasks = [(root, *clip) for clip in clips]
    with ProcessPoolExecutor(workers) as pool:
        done = pool.map(_write_clip, tasks, chunksize=4)
        for _ in progress(done, "demo data", total=len(tasks), unit="clip"):
            pass
    os.replace(root / PARTIAL, root / WHOLE)


def _attribute_files(clips):
    """{path under the root: text} of each machine's attributes_00.csv."""
    texts = {}
    for path, (_, machine, *_), attributes, _ in clips:
        header = ["file_name", *(f"d{i}{part}" for i in range(1, len(attributes) + 1) for part in "pv")]
        row = [path.removeprefix(f"{RAW}/"), *itertools.chain(*attributes.items())]
        table = f"{RAW}/{machine}/attributes_00.csv"
        texts[table] = texts.get(table, ",".join(header) + "\n") + ",".join(row) + "\n"
    return texts


def _write_clip(task):
    root, path, (seed, *names), attributes, seconds = task
    machine, _, domain, label, _ = names
    sequence = np.random.SeedSequence([seed, *"/".join(map(str, names)).encode()])
    rng = np.random.Generator(np.random.PCG64(sequence))
    samples = make_clip(machine, attributes, domain, label == "anomaly", rng, seconds)
    samples = np.rint(samples * FULL_SCALE).astype(np.int16)
    with whole_file(root / path, sync=False) as temporary:
        soundfile.write(temporary, samples, SAMPLE_RATE, subtype="PCM_16")


def _write(path, text):
    with whole_file(path, sync=False) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read(path):
    """A synthetic.json as a dictionary, empty when there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: no valid JSON ({error}); delete the folder to have it made anew") from None


def _refuse_foreign(root):
    """ValueError for a file, and for a folder that holds anything and was not made here."""
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root}: a file; the demo data needs an absent or empty folder")
    found = {path.name for path in root.iterdir()} - {LOCK} if root.exists() else set()
    if found and not found & {WHOLE, PARTIAL}:
        raise ValueError(
            f"{root}: holds {min(found)} but no {WHOLE}, so it was not made here and is left alone; the demo "
            "data needs an absent or empty folder"
        )


@contextmanager
def _locked(root):
    """Hold the folder: one process makes the data, others wait."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / LOCK, "w")  # noqa: SIM115
    except OSError as error:
        raise OSError(f"cannot write {root}: {error.strerror}; choose another folder") from error
    with lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # flock would pass to the workers, which outlive a killed parent
        yield


def _remove(root):
    """Delete what an earlier call made, whole or not, and nothing else."""
    if (root / WHOLE).exists():
        os.replace(root / WHOLE, root / PARTIAL)  # first, so that a half-deleted folder is known for one
    files = [root / name for name in _read(root / PARTIAL).get("files", [])]
    for path in files:
        path.unlink(missing_ok=True)
    folders = {folder for path in files for folder in path.parents if root in folder.parents}
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        for leftover in folder.glob(".section_00_*.wav"):  # whole_file's, of a call that was killed
            leftover.unlink()
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    (root / PARTIAL).unlink(missing_ok=True)
