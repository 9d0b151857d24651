"""Places to write for the libraries, where the user's own are not there or may only be read.

A container with a foreign user id, a service, a CI or a full home: numba, matplotlib, Jupyter and Snakemake then end in
a traceback on a cache of theirs. `lib.run` and `lib.batch` call `settle`; python -m lib.homes MODULE … does it for any.
"""

import getpass
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path

CACHES = {  # variable → where the library writes without it, relative to the home
    "XDG_CACHE_HOME": ".cache",
    "MPLCONFIGDIR": ".config/matplotlib",
    "NUMBA_CACHE_DIR": None,  # beside the sources or under XDG_CACHE_HOME
    "IPYTHONDIR": ".ipython",
    "JUPYTER_CONFIG_DIR": ".jupyter",
    "JUPYTER_DATA_DIR": ".local/share/jupyter",
    "JUPYTER_RUNTIME_DIR": ".local/share/jupyter/runtime",
}


def settle(environment: MutableMapping = os.environ) -> dict[str, str]:
    """Point each of `CACHES` that cannot be written to a private folder; what can be written stays.

    A home, a user's name or a temporary folder that the system does not know is set, too. Child processes inherit it.

    Args:
        environment: is changed.

    Returns:
        What was set.
    """
    new = {}
    home = environment.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):  # a user id without an entry in passwd
        home = new["HOME"] = _private("home")
    for name, usual in CACHES.items():
        folder = environment.get(name) or (usual and os.path.join(home, usual))
        if folder and not can_write(folder):
            new[name] = _private(name.lower())
    if environment.get("TMPDIR") and not can_write(environment["TMPDIR"]):
        new["TMPDIR"] = tempfile.gettempdir()  # Python looks further by itself, other programs do not
    try:
        getpass.getuser()
    except (KeyError, OSError):
        new["LOGNAME"] = f"user{os.getuid()}"
    environment.update(new)
    return new


def can_write(folder: str | os.PathLike) -> bool:
    """Whether a file of some bytes can be made in `folder`, or in the one above it that it would be made in.

    >>> can_write("/proc/nowhere")
    False
    """
    place = next(path for path in (Path(folder), *Path(folder).absolute().parents) if os.path.exists(path))
    try:
        with tempfile.TemporaryFile(dir=place, buffering=0) as probe:  # a full disk takes an empty file
            probe.write(bytes(4096))
    except OSError:
        return False
    return True


@contextmanager
def private_folder() -> Iterator[tuple[Path, str]]:
    """A folder that only this user may enter, removed afterwards; and the transport that works in it, ipc or tcp.

    Raises:
        OSError: there is no room for temporary files.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix="asd-"))
    except OSError as error:
        raise OSError(f"cannot make a temporary folder: {error}; name one that can be written by TMPDIR") from error
    try:
        yield folder, "ipc" if takes_sockets(folder) else "tcp"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def takes_sockets(folder):
    """Windows has none; a path of more than about 100 bytes and some network drives refuse them."""
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(folder / "k-0"))
    except (OSError, AttributeError):
        return False
    return True


def _private(name):
    """A folder of this user alone under the system's temporary folder, the same for every process."""
    root = Path(tempfile.gettempdir(), f"asd-{os.getuid()}")
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        return tempfile.mkdtemp(prefix=f"asd-{name}-")  # somebody else put it there
    (root / name).mkdir(mode=0o700, exist_ok=True)
    return str(root / name)


if __name__ == "__main__":
    settle()
    os.execv(sys.executable, [sys.executable, "-m", *sys.argv[1:]])
