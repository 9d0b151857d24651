"""Files from a server over a line that breaks: tried again, begun where they ended, never taken for whole."""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pooch
import requests
from tqdm import tqdm

from lib.progress import progress

CHUNK = 1 << 16  # bytes that are written at once, and lost where the line breaks within them
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may say otherwise in a moment
LONGEST = 60.0  # s that are waited before a further try, whatever the server asks for
TOLD = 30.0  # s between two lines where there is no bar
BROKE = "the connection broke"
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
Result = TypeVar("Result")


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        tries: in a row that bring nothing new. wait: s before the second try, doubled before each further one.
        timeout: s without a byte.
    """

    tries: int = 5
    wait: float = 1.0
    timeout: float = 30.0


class Passing(Exception):
    """A try that failed and may go well another time; `wait` s are asked for, `gained` says that some bytes came."""

    def __init__(self, reason: str, wait: float = 0.0, gained: bool = False):
        super().__init__(reason)
        self.wait, self.gained = wait, gained


def fetch_text(url: str, patience: Patience) -> str:
    """A short text from a server.

    Raises:
        OSError: it cannot be had; names the address, why and the mend.
    """

    def attempt():
        try:
            with _answer(url, patience) as response:
                return response.text
        except BROKEN as error:
            raise Passing(BROKE) from error

    return _persist(attempt, url, patience)


def fetch_file(url: str, target: Path, part: Path, size: int, md5: str, patience: Patience) -> None:
    """A file from a server, whole and of this md5; what came so far stays in `part` when it cannot go on.

    Raises:
        OSError: it cannot be had, or not be written.
        ValueError: what came is another file; it is thrown away.
    """
    pooch.get_logger().setLevel("WARNING")
    resumed = Resumed(part, size, patience, target.name)
    try:
        pooch.retrieve(url, f"md5:{md5}", target.name, target.parent, downloader=resumed)
    except ValueError as error:
        part.unlink(missing_ok=True)
        reason = str(error).partition(". ")[0]
        raise ValueError(f"{url}: {reason}; it was thrown away: run again, it begins anew") from None
    part.unlink(missing_ok=True)


class Resumed:
    """A downloader of pooch's that goes on where an earlier one ended, by HTTP Range; a server without it begins anew.

    Args:
        part: what has come so far. size: of the whole file. patience: with the server. label: for the bar.
    """

    def __init__(self, part: Path, size: int, patience: Patience, label: str):
        self.part, self.size, self.patience, self.label = part, size, patience, label
        self._most = 0  # bytes that a try has brought it to

    def __call__(self, url: str, output_file: str, pooch: object = None) -> None:
        """Fetch `url`; `part` stays, as a second name of the file, until pooch has checked it."""
        if _size(self.part) > self.size:
            self.part.unlink()
        self._most = _size(self.part)
        meter = _Meter(self.label, self.size)
        with meter.bar:
            _persist(lambda: self._attempt(url, meter), url, self.patience)
        os.unlink(output_file)
        try:
            os.link(self.part, output_file)
        except OSError:  # a disk without links
            os.replace(self.part, output_file)

    def _attempt(self, url, meter):
        if (begin := _size(self.part)) == self.size:
            return meter.at(begin)
        why = BROKE
        with _answer(url, self.patience, begin) as response:
            begin = _begin(response, begin, self.part)
            try:
                self._write(response, begin, meter)
            except BROKEN as error:
                why = f"nothing came for {self.patience.timeout:g} s" if "timed out" in str(error) else BROKE
        if (size := _size(self.part)) < self.size:
            before, self._most = self._most, max(self._most, size)
            raise Passing(why, gained=size > before)

    def _write(self, response, begin, meter):
        with open(self.part, "ab") as file:
            file.truncate(begin)
            meter.at(begin)
            for chunk in response.iter_content(CHUNK):
                if (begin := begin + len(chunk)) > self.size:
                    raise ValueError(f"more than the {self.size} bytes that are listed")
                file.write(chunk)
                meter.at(begin)


class _Meter:
    """A bar for a person; a line now and then where there is none."""

    def __init__(self, label, size):
        self.bar = progress((), label, total=size, unit="B", unit_scale=True)
        self.label, self.size, self.due = label, size, time.monotonic() + TOLD

    def at(self, count):
        self.bar.update(count - self.bar.n)
        if self.bar.disable and time.monotonic() > self.due:
            tqdm.write(f"  {self.label}: {bytes_of(count)} of {bytes_of(self.size)}")
            self.due = time.monotonic() + TOLD


def bytes_of(count: float) -> str:
    """A number of bytes as a person says it.

    >>> bytes_of(312_400_000)
    '312 MB'
    """
    return re.sub(r"(?<=\d)(?=[A-Za-z])", " ", tqdm.format_sizeof(count, "B"))


def _persist(attempt: Callable[[], Result], url, patience) -> Result:
    """What `attempt` returns, tried again while it fails for a passing reason."""
    failed = 0
    while True:
        try:
            return attempt()
        except Passing as error:
            failed = 0 if error.gained else failed + 1
            if failed >= patience.tries:
                raise OSError(
                    f"{url}: {error}; run again later, it goes on where it stopped; or fetch the "
                    "file by other means, and name its folder: make data ZIPS=<folder>"
                ) from None
            delay = min(max(patience.wait * 2 ** max(failed - 1, 0), error.wait), LONGEST)
            tqdm.write(f"  {error}: tried again in {delay:.0f} s")
            time.sleep(delay)


def _answer(url, patience, begin=0):
    """The server's good answer to a request for all from byte `begin`, not read yet."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={begin}-"} if begin else {})
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=patience.timeout)
    except requests.exceptions.SSLError as error:
        raise OSError(f"{url}: no safe connection ({_cause(error)}); look at clock, proxy and certificates") from None
    except BROKEN as error:
        raise Passing(f"the server cannot be reached ({_cause(error)})") from None
    except requests.RequestException as error:
        raise OSError(f"{url}: {_cause(error)}; look at the address (--server) and the proxy") from None
    if response.status_code in (200, 206, 416):
        return response
    response.close()
    said = f"the server answers {response.status_code} {response.reason}"
    if response.status_code in PASSING:
        wait = response.headers.get("Retry-After", "")
        raise Passing(said, float(wait) if wait.isascii() and wait.isdecimal() else 0.0)
    raise OSError(f"{url}: {said}; look at the address in a browser")


def _begin(response, wanted, part):
    """The byte that the answer's first one is."""
    if response.status_code == 200:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    if response.status_code == 206 and found and int(found[1]) == wanted:
        return wanted
    part.unlink(missing_ok=True)
    raise Passing("the server cannot go on where it stopped")


def _cause(error):
    """The innermost words of an error of requests."""
    while inner := [each for each in (getattr(error, "reason", None), *error.args) if isinstance(each, Exception)]:
        error = inner[0]
    return str(error).rpartition(": ")[2] or type(error).__name__


def _size(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
