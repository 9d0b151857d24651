"""Downloads the real data: python -m lib.data [DATA] (`make data`), the recordings of DCASE 2023 Task 2 from Zenodo.

A call that was stopped goes on with the same command. The exit status is 0 when all that was asked for is there, 1 when
something is missing (the rest is there), 2 for what is refused before it starts.
"""

import argparse
import shlex
import signal
import sys

from lib import paths
from lib.progress import escape_what_has_no_encoding
from lib.recordings import zenodo
from lib.recordings.download import download


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    given = _arguments(arguments)
    escape_what_has_no_encoding()
    root = given.data or paths.DATA
    try:
        machines, sets = given.machines.replace(",", " ").split(), given.sets.replace(",", " ").split()
        missing = download(root, machines, sets, server=given.server, zips=given.zips or None)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what came is kept, and the same command goes on from there", file=sys.stderr)
        return 128 + signal.SIGINT
    if missing:
        print(f"missing: {', '.join(missing)}", file=sys.stderr)
        return 1
    where = shlex.quote(str(paths.shown(root)))
    print(f"the data is in {where}: make run DATA={where} PRESET=spectrum")
    return 0


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.data", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", nargs="?", default="", help="data root, made where it is not there; none: data/")
    parser.add_argument("--machines", default="", help="names; none: all")
    parser.add_argument("--sets", default="", help=f"of {', '.join(zenodo.SETS)}; none: all")
    parser.add_argument("--zips", default="", help="folder of archives at hand, which are taken instead")
    parser.add_argument("--server", default=zenodo.SERVER, help="another server with the same records")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
