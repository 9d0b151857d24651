"""What the bench found, kept by machine: docs/bench/<machine>.csv, a row an entry with date and commit."""

import csv
import io
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
import torch

from lib.network.device import pick_device, pick_precision
from lib.paths import PROJECT, readable, write_text
from lib.progress import cores
from workflow.bench.entry import Entry

FOLDER = PROJECT / "docs" / "bench"
NAMES = tuple(field.name for field in fields(Entry))
NUMBERS = ("rate", "floor", "peer", "goal")
COLUMNS = ("date", "commit", *NAMES)
SLOWER = 0.85  # of the last rate: below it is said


def machine_name() -> str:
    """The card's name, else the processor's, what it computes with and how many of its cores this process may use.

    In letters that a file may have. A virtual machine may hide which processor of a family it has: the widest
    instructions that torch found tell two apart whose rates are.

    >>> import re
    >>> bool(re.fullmatch("[a-z0-9-]+", machine_name()))
    True
    """
    if torch.cuda.is_available():
        return _slug(torch.cuda.get_device_name(pick_device()))
    count = cores()
    able = torch.backends.cpu.get_cpu_capability()
    able += " bf16" if pick_precision("auto", torch.device("cpu")) == torch.bfloat16 else ""
    return _slug(f"{_processor()} {able} {count} core{'s' if count > 1 else ''}")


def _slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _processor():
    """The processor's name as Linux or macOS say it, else its architecture."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^model name\s*:\s*(\S.*)$", text, re.MULTILINE):
            return found[1]
    except OSError:
        pass
    try:
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() or platform.machine()
    except (OSError, subprocess.CalledProcessError):
        return platform.machine()


def cores_of(machine: str) -> int:
    """Works that a machine does at a time: a core each, one on a card.

    >>> cores_of("amd-epyc-avx2-2-cores"), cores_of("nvidia-h100-80gb-hbm3")
    (2, 1)
    """
    found = re.search(r"-(\d+)-cores?$", machine)
    return int(found[1]) if found else 1


def files() -> dict[str, Path]:
    """{machine: file} of all that were measured."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.csv"))}


def read(path: Path) -> pd.DataFrame:
    """The rows of a file in their order, none where there is no file.

    Raises:
        ValueError: it cannot be read, lacks a column or holds what is no number; names the mend.
    """
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    with readable(path, "restore it by git checkout, or delete it: the next bench begins it anew"):
        rows = pd.read_csv(path, encoding="utf-8", keep_default_na=False, dtype=str)
        if tuple(rows.columns) != COLUMNS:
            raise ValueError(f"its columns are {', '.join(rows.columns)}, wanted are {', '.join(COLUMNS)}")
        for name in NUMBERS:
            rows[name] = pd.to_numeric(rows[name].replace("", None))
        if not (rows["rate"] > 0).all():
            raise ValueError(f"row {int((~(rows['rate'] > 0)).idxmax()) + 2}: a rate that is not above 0")
    return rows


def newest(rows: pd.DataFrame) -> pd.DataFrame:
    """The last row of each stage and size, in the order in which a stage first came."""
    last = rows.drop_duplicates(["stage", "size"], keep="last")
    first = rows.drop_duplicates(["stage", "size"])[["stage", "size"]]
    return first.merge(last, on=["stage", "size"])[list(COLUMNS)]


def append(path: Path, entries: Sequence[Entry], date: str, commit: str) -> None:
    """Add a row for each entry; the file is whole or as it was."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.exists():
        writer.writerow(COLUMNS)
    for entry in entries:
        writer.writerow([date, commit, *map(_cell, asdict(entry).values())])
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    write_text(path, before + text.getvalue())


def _cell(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.5g}"


def change(entry: Entry, rows: pd.DataFrame) -> float | None:
    """Its rate over the last one kept, less 1; None for a stage and size that are new, or in another unit."""
    same = rows[(rows["stage"] == entry.stage) & (rows["size"] == entry.size) & (rows["unit"] == entry.unit)]
    return entry.rate / float(same["rate"].iloc[-1]) - 1 if len(same) else None
