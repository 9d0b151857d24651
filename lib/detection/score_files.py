"""Files of clip scores: long-form tables that know what they were made with."""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from lib.paths import whole_file

KEY = b"provenance"


def write_scores(scores: pd.DataFrame, path: Path, provenance: dict) -> None:
    """Write a parquet file of `scores`, with the JSON-able `provenance` in its metadata."""
    table = pa.Table.from_pandas(scores, preserve_index=False)
    table = table.replace_schema_metadata(table.schema.metadata | {KEY: json.dumps(provenance)})
    with whole_file(path) as temporary:
        parquet.write_table(table, temporary)


def scores_provenance(path: Path) -> dict:
    """What the scores in `path` were made with; empty for a file that does not say."""
    return json.loads((parquet.read_schema(path).metadata or {}).get(KEY, b"{}"))
