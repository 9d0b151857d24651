"""Command line of the check: python -m workflow.gpu_check [--device cpu] [--quick] [--out FILE] [--seconds N].

Prints one table and writes it as JSON. Exit status 1 where a number is not the CPU's or the host waits, else 0: a goal
that is missed is said, and fails nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
import torch

from lib.network.device import pick_device, prepare
from lib.paths import OUTPUTS, PROJECT, write_text
from workflow.gpu_check import parity, rates, whole
from workflow.gpu_check.made import PAPER, QUICK, Scale

SECTIONS = ("parity", "ceilings", "rates", "sharing", "OE", "OE-Flow", "bench")
ENOUGH = {"bench": 90}  # s that a section needs at least to be begun; others 20


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    given, begin = _arguments(arguments), time.monotonic()
    device = torch.device("cpu") if given.device == "cpu" else pick_device()
    if given.device == "cuda" and device.type != "cuda":
        print("torch sees no graphics card here; a rehearsal without one: --device cpu --quick", file=sys.stderr)
        return 2
    prepare(0, torch.get_num_threads())
    scale, said = QUICK if given.quick else PAPER, {"machine": machine(device), "sections": {}, "skipped": {}}
    with tempfile.TemporaryDirectory() as folder:
        for section in given.only or SECTIONS:
            left = given.seconds - (time.monotonic() - begin)
            if left < ENOUGH.get(section, 20) and not given.quick:
                said["skipped"][section] = f"{left:.0f} s were left"
                continue
            try:
                said["sections"][section] = rows_of(section, device, scale, Path(folder), left)
            except Exception as error:  # what else can be proved is
                traceback.print_exc()
                said["skipped"][section] = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    said["seconds"] = round(time.monotonic() - begin, 1)
    said["holds"] = "parity" not in said["skipped"] and all(row.get("holds", True) for row in _rows(said))
    print("\n".join(table(said)))
    try:
        write_text(Path(given.out), json.dumps(said, indent=1))
    except OSError as error:
        print(f"cannot write {given.out}: {error.strerror}; name another file by --out", file=sys.stderr)
        return 2
    print(f"written to {given.out}")
    return 0 if said["holds"] else 1


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="bash workflow/gpu_check.sh", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a card")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a rehearsal")
    parser.add_argument("--out", default=str(OUTPUTS / "gpu_check.json"), help="JSON file")
    parser.add_argument("--seconds", type=float, default=560, help="in which no section begins any more")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="some sections")
    return parser.parse_args(arguments)


def machine(device: torch.device) -> dict:
    """What it ran on; JSON-able."""
    facts = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    facts |= {"processor": platform.machine(), "cores": os.cpu_count(), "cuda": torch.version.cuda}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts |= {"card": card.name, "memory_gib": round(card.total_memory / 2**30, 1)}
        facts |= {"capability": f"{card.major}.{card.minor}", "cudnn": torch.backends.cudnn.version()}
    return facts


def rows_of(section: str, device: torch.device, scale: Scale, folder: Path, left: float) -> list[dict]:
    """What a section has found, a row each; `folder` for its data, `left` in s."""
    quick = scale is QUICK
    if section == "bench":
        return bench(left) if not quick else []
    if section == "parity":
        found = parity.checks(device, scale)
    elif section == "ceilings":
        found = rates.ceilings(device, quick)
    elif section == "rates":
        found = rates.training_rates(device, scale)
    elif section == "sharing":
        found = rates.shared_rates(device, scale) if device.type == "cuda" else []
    else:
        found = whole.training(folder, scale, section, scale.epochs, device.type)
    return [row._asdict() | ({"holds": row.holds} if isinstance(row, parity.Check) else {}) for row in found]


def bench(left: float) -> list[dict]:
    """What `make bench` prints, as far as the time goes."""
    folder = PROJECT / "workflow" / "bench"
    command = ["-m", "workflow.bench"] if (folder / "__main__.py").exists() else [str(folder.with_suffix(".py"))]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        printed = subprocess.run([sys.executable, *command], cwd=PROJECT, timeout=left - 15, **pipes).stdout
    except subprocess.TimeoutExpired as error:
        printed = (error.stdout or b"") + b"\n(the time was up)"
    return [{"name": line} for line in printed.decode(errors="replace").splitlines()]


def _rows(said):
    return [row for rows in said["sections"].values() for row in rows]


def table(said: dict) -> list[str]:
    """Lines for a person."""
    lines = [", ".join(f"{name} {value}" for name, value in said["machine"].items())]
    for section, rows in said["sections"].items():
        lines += ["", section]
        for row in rows:
            if "tolerance" in row:
                verdict = "holds" if row["holds"] else "DOES NOT HOLD"
                lines.append(f"  {row['name']:58} {row['error']:10.1e}  at most {row['tolerance']:.0e}  {verdict}")
            elif "value" in row:
                wanted = f"  wanted {row['wanted']:,.1f}" if row["wanted"] else ""
                lines.append(f"  {row['name']:58} {row['value']:10,.1f} {row['unit']}{wanted}")
            else:
                lines.append(f"  {row['name']}")
    lines += [f"left out: {section}: {why}" for section, why in said["skipped"].items()]
    return [*lines, "", f"{'all holds' if said['holds'] else 'NOT ALL HOLDS'}, {said['seconds']} s"]


if __name__ == "__main__":
    sys.exit(main())
