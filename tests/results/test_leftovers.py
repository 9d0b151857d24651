"""What an earlier call of 06 left."""

import json

from makers import LACKING
from scored import evaluated

from lib.paths import NOTEBOOKS, write_text
from lib.results import leftovers, tables
from lib.systems import SYSTEMS

OWN = (
    "table5.csv",
    "table4_all_paper.xlsx",
    "my table4_all_paper.csv",
    "notes.md",
    "table4_all_paper_final.csv",
    "refused.txt",
)
OWN_FIGURES = ("ranking.svg", "ranking_of_mine.png", "table4_best_paper.png", "table1_all_paper.png")


def test_every_file_of_06_goes_and_nothing_else(run):
    written = tables.write_tables(evaluated(systems=tuple(SYSTEMS), lacking={"fan": LACKING}), run.tables, True)
    source = (NOTEBOOKS / "06_ensemble_and_tables.ipynb").read_text(encoding="utf-8")
    save = "".join(next(c["source"] for c in json.loads(source)["cells"] if "write_tables" in "".join(c["source"])))
    names = [line.split('"')[1] for line in save.splitlines() if line.startswith('    ("')]
    assert {"evaluation", "left_out", "clip_scores", "effects", "decisions", "detector_ranking"} == set(names)
    old = [*written, *(run.tables / f"{name}.csv" for name in names)]
    old += [
        run.figures / f"{n}.{s}"
        for n in ("ranking", "effects", "table2_all_paper", "table4_all_paper")
        for s in ("pdf", "png")
    ]
    kept = [run.tables / name for name in OWN] + [run.figures / name for name in OWN_FIGURES]
    kept += [
        run.figures / "fan" / "effects.png",
        run.tables / "evaluation.csv.d" / "evaluation.csv",
        run.root / "evaluation.csv",
    ]
    for path in (*old, *kept):
        write_text(path, "old")
    (run.figures / "effects.pdf").unlink()
    (run.figures / "effects.pdf").mkdir()
    leftovers.remove(run)
    assert not [path for path in old if path.is_file()] and all(path.exists() for path in kept)


def test_a_new_run_has_nothing_to_remove(run):
    leftovers.remove(run)
    assert not run.root.exists()
