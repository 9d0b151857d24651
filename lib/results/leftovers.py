"""What an earlier call of 06 left: gone before the next begins, so that nothing old stands beside what is new."""

import re

from lib.paths import Run

TABLES = re.compile(
    r"table(1|[234]_(all|top20|extended)_(paper|official))\.(csv|md|tex)"
    r"|(evaluation|effects|detector_ranking|decisions|clip_scores|left_out)\.csv|run\.json"
)
FIGURES = re.compile(r"(ranking|effects|table[234]_all_paper)\.(pdf|png)")


def remove(run: Run) -> None:
    """Delete the tables and figures that 06 writes; files of other names, and folders, stay."""
    for folder, names in ((run.tables, TABLES), (run.figures, FIGURES)):
        for path in folder.glob("*"):
            if names.fullmatch(path.name) and path.is_file():
                path.unlink()
