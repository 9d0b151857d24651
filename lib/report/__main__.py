"""Makes the report of a run by hand: python -m lib.report outputs/<run>."""

import argparse
import sys
from pathlib import Path

from lib.paths import Run, shown

USAGE = (__doc__ or "").partition("\n")[0]


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status, 2 where the report cannot be made."""
    parser = argparse.ArgumentParser(prog="python -m lib.report", description=USAGE)
    parser.add_argument("run", help="folder of a run that has tables")
    parser.add_argument("--out", default="", help="folder of the report; none: report in the run's folder")
    parser.add_argument("--clips", type=_count, default=20, help="of a machine, with a picture and a player")
    parser.add_argument(
        "--row", default="", help="of the tables, by which clips are ranked; none: Spectrum, else the first"
    )
    parser.add_argument("--no-notebooks", action="store_true", help="without the executed notebooks")
    given = parser.parse_args(arguments)
    from lib.report import report  # its libraries take seconds, which --help should not

    options = report.Options(given.clips, given.row, not given.no_notebooks)
    try:
        out = Path(given.out).expanduser() if given.out else None
        print(shown(report.write(Run(Path(given.run).expanduser().resolve()), out, options)))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _count(text):
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
