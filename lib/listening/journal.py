"""A CSV of scored clips that is whole up to its last line whatever ends the program, and knows what it holds."""

import csv
import io
import os
from pathlib import Path
from typing import NamedTuple

from lib.paths import write_failure
from lib.recordings.heard import named

KEY = ("file", "size", "modified", "machine", "row", "threshold")
COLUMNS = (*KEY, "score", "decision", "percentile", "reason", "problems")


class State(NamedTuple):
    """What tells a file from another of its name: taken before it is heard."""

    file: Path
    size: int
    modified: int

    @classmethod
    def of(cls, file: Path) -> "State":
        """Zeros for a file that cannot be reached."""
        try:
            found = file.stat()
        except OSError:
            return cls(file, 0, 0)
        return cls(file, found.st_size, found.st_mtime_ns)


class Journal:
    """Appends a line a clip; each reaches the disk before the next.

    Args:
        path: of the CSV. A line that a killed program left half written is taken away.
        listener: machine, row and threshold of the scores. Lines of others stay, and count for nothing.

    Raises:
        ValueError: the file is another table. OSError: it cannot be written.
    """

    def __init__(self, path: Path, machine: str, row: str, threshold: float):
        self.path, self._by = path, (machine, row, _text(threshold))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "ab+")  # noqa: SIM115  as long as the journal
            self._file.seek(0)
            content = self._file.read()
        except OSError as error:
            raise write_failure(path, error) or error from error
        head = (",".join(COLUMNS) + "\n").encode()
        if not (content.startswith(head) or head.startswith(content)):
            begin = content[:40].splitlines()[:1]
            raise ValueError(f"{path}: another table, it begins with {begin[0].decode('utf-8', 'replace')!r}; "
                             "choose another CSV")  # fmt: skip
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._file.truncate(len(whole))
        if not whole:
            self._write(COLUMNS)
        rows = list(csv.DictReader(io.StringIO(whole.decode("utf-8", "replace"))))
        self._known = {tuple(row[name] for name in KEY): row["score"] != "" for row in rows}

    def knows(self, state: State) -> bool:
        """Whether this file, as it is now, has a line by this listener."""
        return self._key(state) in self._known

    def scored(self, state: State) -> bool:
        """Whether that line has a score: the file could be read."""
        return self._known.get(self._key(state), False)

    def add(self, state: State, found: dict) -> None:
        """A line of a file as it was when it was heard; `found` has some of the columns behind `KEY`."""
        key = self._key(state)
        self._write([*key, *(_text(found.get(name, "")) for name in COLUMNS[len(KEY) :])])
        self._known[key] = "score" in found

    def close(self) -> None:
        self._file.close()

    def _key(self, state):
        return (named(state.file), str(state.size), str(state.modified), *self._by)

    def _write(self, row):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        try:
            self._file.write(line.getvalue().encode("utf-8", "backslashreplace"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_failure(self.path, error) or error from error


def _text(value):
    return f"{value:.6g}" if isinstance(value, float) else str(value)
