"""The study, one run a preset of workflow/presets/study, and its page: python -m lib.study --data=… (`make study`).

Resumable: what is finished is not run again, and the page tells what there is so far.
"""

import argparse
import sys

from lib import batch, paths
from lib.results import study
from lib.results.study_rows import FOLDER, RUNS

SEEDS = "0 1 2 3"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status, of `batch.main` where a run stops."""
    parser = argparse.ArgumentParser(prog="python -m lib.study", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default="", help="data root; none: demo data")
    parser.add_argument("--machines", default="", help="names; none: all with training and test clips")
    parser.add_argument("--seeds", default=SEEDS, help=f"none: {SEEDS}")
    parser.add_argument("--only", default="", help="start of the runs' names, such as shared; none: all")
    given = parser.parse_args(arguments)
    folder = paths.OUTPUTS / "study"
    for name in (name for name in RUNS if name.startswith(given.only)):
        preset = str(FOLDER / f"{name}.yaml")
        which = [f"--data={given.data}", f"--machines={given.machines}", f"--seeds={given.seeds}"]
        print(f"\n{name}", flush=True)
        if status := batch.main(["--preset", preset, *which, "--run", str(folder / name)]):
            return status
        print(study.write(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
