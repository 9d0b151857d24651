"""The challenge's files: python -m lib.submission export RUN, and python -m lib.submission evaluate SCORES [TRUTH].

`export` writes those of a finished run; `evaluate` scores any, of whatever system, as the official evaluator does. The
exit status is 0, 1 where something was refused (the rest is done), 2 for what is refused before it starts.
"""

import argparse
import sys
from pathlib import Path

from lib import homes, paths
from lib.progress import escape_what_has_no_encoding


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    given = _arguments(arguments)
    homes.settle()
    escape_what_has_no_encoding()
    try:
        return given.work(given)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.submission", description=(__doc__ or "").partition("\n")[0])
    works = parser.add_subparsers(required=True, metavar="export | evaluate")
    export = works.add_parser("export", help="write the score and decision files of a finished run")
    export.add_argument("run", help="its folder, or its name under outputs")
    export.add_argument("--row", action="append", default=[], help="of the tables, may be given again; none: all")
    export.add_argument("--team", default="", help="folder of the files; none: the one of the run's settings")
    export.add_argument("--out", default="", help="folder in which teams/<team> is made; none: the run's")
    export.set_defaults(work=_export)
    evaluate = works.add_parser("evaluate", help="score files against the ground truth")
    evaluate.add_argument("scores", help="folder of score files, at any depth; each folder is a submission of its own")
    evaluate.add_argument("truth", nargs="?", default="", help="of the official evaluator, a data root, a folder or "
                          "a list of named clips; none: as the names in the score files say")  # fmt: skip
    evaluate.add_argument("--machines", default="", help="names with blanks between; none: all")
    evaluate.add_argument("--resamples", type=int, default=1000, help="of the bootstrap; 0: no intervals")
    evaluate.add_argument("--csv", default="", help="file for all numbers")
    evaluate.set_defaults(work=_evaluate)
    return parser.parse_args(arguments)


def _export(given):
    from lib.results import finished, submission  # they take seconds, which a refused command line should not

    folder = Path(given.run).expanduser()
    root = folder if folder.is_dir() else paths.OUTPUTS / folder
    if not given.run or not root.is_dir():
        raise ValueError(f"{given.run!r}: no such run; give the folder of a finished one, or its name under outputs")
    made = finished.read(paths.Run(root.resolve()))
    made = made.only(given.row) if given.row else made
    team = given.team or made.settings.team
    if Path(team).name != team or team in ("", ".."):
        raise ValueError(f"--team {team!r}: a team is the name of a folder")
    out = paths.Run(Path(given.out).expanduser() if given.out else root)
    quantile = made.settings.evaluation.decision_quantile
    written, refusals = submission.write_files(made.rows, made.tests, out, team, quantile, made.refused)
    for line in (*map(paths.shown, written), *refusals):
        print(line)
    more = f"; {len(refusals)} refused" if refusals else ""
    print(f"{len(written)} files of {made.rows['system'].nunique()} rows{more}")
    return 1 if refusals else 0


def _evaluate(given):
    import pandas as pd

    from lib.results import evaluation, evaluation_text, official, truth

    if given.resamples < 0:
        raise ValueError(f"--resamples {given.resamples}: a number of resamples, 0 for none")
    found = official.folders(Path(given.scores))
    known = truth.read(Path(given.truth)) if given.truth else None
    found, known = evaluation.chosen(found, known, given.machines)
    made = []
    for folder, files in found.items():
        made.append(evaluation.evaluate(folder, files, known, given.resamples))
        print("\n" * bool(made[1:]) + evaluation_text.block(made[-1]), flush=True)
    if len(made) > 1:
        print(f"\n{evaluation_text.summary(made)}")
    if given.csv:
        table = pd.concat([each.table() for each in made])
        paths.write_csv(given.csv, table)
    return 1 if any(each.faults for each in made) else 0


if __name__ == "__main__":
    sys.exit(main())
