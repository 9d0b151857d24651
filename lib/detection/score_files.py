"""Files of clip scores: long-form tables that know what they were made with, and what that should be."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute as pc
from pyarrow import parquet

from lib import clock, dependencies
from lib.paths import readable, whole_file
from lib.recordings.clips import ClipBank
from lib.settings import Settings
from lib.systems import ALONE, BASELINE, EXTRACTORS, SPECTRUM, Trained

KEY = b"provenance"
NAMES = ("machine", "system", "parameter", "seed")
COLUMNS = (
    *NAMES, "detector", "fit_set", "aggregator", "part", "clip", "domain", "label",
    "score", "mean", "deviation", "standardized",
)  # fmt: skip
AUTOENCODER, DETECTORS, FLOW = "scores.parquet", "detector_scores.parquet", "flow_scores.parquet"
MEND = "delete it and run the notebook that wrote it (02, 04, 05 or 08) again"
NOTEBOOKS = {  # of what Table 1 does not hold, the one that writes its scores first
    BASELINE: ("02_autoencoder_baseline",),
    SPECTRUM: ("08_spectrum_reference",),
}


@clock.counts("writing")
def write_scores(scores: pd.DataFrame, path: Path, provenance: dict) -> None:
    """Write a parquet file of `scores`, with the JSON-able `provenance` in its metadata."""
    table = pa.Table.from_pandas(scores, preserve_index=False)
    table = table.replace_schema_metadata(table.schema.metadata | {KEY: json.dumps(provenance)})
    with whole_file(path) as temporary:
        parquet.write_table(table, temporary)


def read_scores(path: Path) -> tuple[dict, pa.Table]:
    """What the scores in a file were made with, empty where it does not say, and the file as it is.

    Raises:
        ValueError: it cannot be read; names the mend.
    """
    with readable(path, MEND), parquet.ParquetFile(path) as file:
        table = file.read(use_threads=False)  # small files, of which a run has thousands
        return _said(table.schema), table


def _said(schema):
    """The provenance of a file's metadata."""
    return json.loads((schema.metadata or {}).get(KEY, b"{}"))


def checked(table: pa.Table, path: Path) -> pa.Table:
    """The columns `COLUMNS` of a file of scores.

    Raises:
        ValueError: it lacks columns or rows, or holds scores that are not finite; names the mend.
    """
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        raise ValueError(f"{path}: no table of clip scores, it has no {', '.join(missing)}; {MEND}")
    if "test" not in pc.unique(table["part"]).to_pylist():
        raise ValueError(f"{path}: holds no scores of test clips; {MEND}")
    if broken := int((~np.isfinite([_numbers(table[name]) for name in ("score", "standardized")])).any(axis=0).sum()):
        raise ValueError(f"{path}: {broken} of {len(table)} scores are not finite; {MEND}")
    return table.select(COLUMNS)


def _numbers(column):
    """(rows,) floats of a column, NaN for what is none."""
    if pa.types.is_floating(column.type):
        return column.to_numpy()
    return pd.to_numeric(column.to_pandas(), errors="coerce").to_numpy(float, na_value=np.nan)


def load_scores(path: Path) -> pd.DataFrame:
    """The clip scores of one file, with the columns `COLUMNS`; ValueError as `read_scores` and `checked`."""
    return checked(read_scores(path)[1], path).to_pandas()


def trained_with(path: Path) -> dict:
    """The provenance of the training behind a file's clip scores, as its `model.json` says it.

    Raises:
        ValueError: the file cannot be read; names the mend.
    """
    with readable(path, MEND):
        return _layers(_said(parquet.read_schema(path)))[-1]


def notebooks_of(name: str, made: Trained) -> tuple[str, ...]:
    """The notebooks whose work is in a file of scores, the one that writes it first.

    >>> notebooks_of("detector_scores.parquet", Trained("fan", "OE", "all", 0))
    ('05_inlier_fitting', '03_oe_training')
    """
    if made.system in NOTEBOOKS:
        return NOTEBOOKS[made.system]
    trains = EXTRACTORS[made.system].notebook
    return ("05_inlier_fitting", trains) if name == DETECTORS else (trains,)


def expected_provenance(name: str, made: Trained, settings: Settings, bank: ClipBank) -> dict:
    """What a file of scores says of itself when it was made by this code, with these settings, from these recordings.

    Args:
        name: of the file. made: the training that it belongs to. settings: of the run. bank: of the data root.
    """
    row = EXTRACTORS.get(made.system)
    flow = bool(row and row.latent)
    *scorer, trainer = (json.loads(_provenance(n, settings, flow)) for n in notebooks_of(name, made))
    alone = trainer["notebook"] in ALONE
    trainer |= {"data": bank.fingerprint if row and row.of_all else bank.fingerprint_of(made.machine, alone)}
    return scorer[0] | {"embeddings": trainer} if scorer else trainer


@lru_cache(maxsize=64)  # a run has few kinds of notebooks and many files
def _provenance(notebook, settings, flow):
    return json.dumps(dependencies.provenance(notebook, settings, flow))


def difference(found: dict, expected: dict) -> str:
    """Why scores that were made with `found` do not count where `expected` is asked for; "" where they do.

    >>> difference({"settings": {"training.epochs": 2}}, {"settings": {"training.epochs": 3}})
    'made with training.epochs 2, now 3'
    """
    if found == expected:
        return ""
    if not found:
        return "does not say what it was made with"
    pairs = list(zip(_layers(found), _layers(expected), strict=False))
    changed = dict.fromkeys(
        f"{name} {_shown(old[name])}, now {_shown(new[name])}"
        for old, new in ((o.get("settings", {}), n.get("settings", {})) for o, n in pairs)
        for name in sorted(old.keys() & new.keys())
        if old[name] != new[name]
    )
    if changed:
        more = f"; and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"made with {'; '.join(list(changed)[:3])}{more}"
    if any(old.get("data") != new.get("data") for old, new in pairs):
        return "made from other recordings than those under the data root now"
    return "made by other code"


def _layers(made):
    """A provenance and, within it, that of the embeddings."""
    return [made, *_layers(made["embeddings"])] if isinstance(made.get("embeddings"), dict) else [made]


def _shown(value):
    """A setting's value in one short piece of text."""
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
