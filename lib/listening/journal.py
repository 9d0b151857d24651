"""A CSV of scored clips that is whole up to its last line whatever ends the program, and knows what it holds."""

import csv
import io
import os
from pathlib import Path

from lib.paths import write_failure

COLUMNS = ("file", "size", "modified", "score", "threshold", "decision", "percentile", "reason", "problems")


class Journal:
    """Appends a line a clip; each reaches the disk before the next.

    Args:
        path: of the CSV. A line that a killed program left half written is taken away.

    Raises:
        ValueError: the file is another table. OSError: it cannot be written.
    """

    def __init__(self, path: Path):
        self.path, self._known = path, set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab+")  # noqa: SIM115  as long as the journal
            self._file.seek(0)
            content = self._file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                self._file.truncate(len(whole))
        except OSError as error:
            raise write_failure(path, error) or error from error
        rows = list(csv.reader(io.StringIO(whole.decode("utf-8"))))
        if not rows:
            self._write(COLUMNS)
        elif tuple(rows[0]) != COLUMNS:
            raise ValueError(f"{path}: another table, it begins with {','.join(rows[0][:3])}; choose another CSV")
        self._known = {tuple(row[:3]) for row in rows[1:]}

    def __contains__(self, file: Path) -> bool:
        """Whether this file, of this size and time, has a line."""
        return _state(file) in self._known

    def add(self, file: Path, found: dict) -> None:
        """A line: `found` has some of `COLUMNS` behind the first three."""
        state = _state(file)
        self._write([*state, *(_text(found.get(name, "")) for name in COLUMNS[3:])])
        self._known.add(state)

    def close(self) -> None:
        self._file.close()

    def _write(self, row):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            self._file.write(line.getvalue().encode("utf-8"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_failure(self.path, error) or error from error


def _state(file):
    try:
        found = file.stat()
    except OSError:
        return str(file), "0", "0"
    return str(file), str(found.st_size), str(found.st_mtime_ns)


def _text(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)
