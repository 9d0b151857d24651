"""docs/results.md from a run's files: order, numbers, seconds, and what is missing."""

import json

import pandas as pd
import pytest
from makers import made
from matplotlib import pyplot as plt
from scored import evaluated, rows_of

from lib.paths import Run
from lib.results import page
from lib.settings import Settings

SYSTEMS = ("OE", "OE-Flow", "Spectrum (power)", "Spectrum (flux)")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("page") / "mine")
    run.tables.mkdir(parents=True)
    evaluated(50, systems=SYSTEMS, seeds=(0, 1)).to_csv(run.tables / "evaluation.csv", index=False)
    rows_of(made(systems=SYSTEMS, seeds=(0, 1)), systems=("OE", "OE-Flow")).to_csv(
        run.tables / "clip_scores.csv", index=False
    )
    told = page.facts("somewhere/quick.yaml", "clips", False, {"fan": 7, "ToyCar": 9}, (1, 0), Settings(), {})
    (run.tables / "run.json").write_text(json.dumps(told))
    for machine in ("fan", "ToyCar"):
        for name, took in (("03_oe_training-OE-all-seed0", 10), ("04_joint_flow_training-OE-Flow-all-seed0", 20),
                           ("05_inlier_fitting-OE-all-seed0", 1), ("05_inlier_fitting-OE-Flow-all-seed0", 2),
                           ("08_spectrum_reference", 3)):  # fmt: skip
            path = run.root / "notebooks" / machine / f"{name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"cells": [], "metadata": {"papermill": {"duration": took}}}))
    return page.Measured(run)


def test_rows_are_best_first_and_say_what_the_tables_say(measured):
    table = [line.strip("| ").split(" | ") for line in measured.text().splitlines() if line.startswith("|")]
    assert table[0] == [
        "row", "fan, paper rule", "fan, official rule", "ToyCar, paper rule", "ToyCar, official rule",
        "overall, paper rule", "overall, official rule", "seconds",
    ]  # fmt: skip
    evaluation = pd.read_csv(measured.run.tables / "evaluation.csv").query("protocol == 'all' and score == 'hmean'")
    values = evaluation.query("rule == 'paper' and machine == 'overall'").set_index("system")["value"]
    listed = [values[line[0]] for line in table[2:]]
    assert listed == sorted(values, reverse=True) and len(set(listed)) > 3
    for line in table[2:]:
        assert line[5].startswith(f"{values[line[0]]:.1f} (") and line[5].endswith("]")
    official = evaluation.query("rule == 'official' and machine == 'fan'").set_index("system")["value"]
    assert all(line[2].startswith(f"{official[line[0]]:.1f}") for line in table[2:])


@pytest.mark.parametrize(
    ("row", "seconds"),
    [("OE", 22), ("OE-Flow", 44), ("Spectrum (flux)", 6), ("Spectrum", 6), ("Spectrum + Submitted 1", 72)],
)
def test_seconds_are_those_of_the_rows_notebooks(measured, row, seconds):
    """Of a fusion those of all its members, each notebook once."""
    assert measured.seconds_of(row) == seconds


def test_it_names_what_made_it_and_no_folder_of_this_computer(measured):
    text = measured.text()
    assert "training clips: fan 7, ToyCar 9. Seeds 0 1, 20" in text and f"commit {measured.facts['commit']}" in text
    assert "`python -m lib.batch --preset quick.yaml --data clips --seeds '0 1'`" in text and "somewhere" not in text


def test_the_demo_is_the_commands_of_the_readme():
    told = page.facts("demo", "demo", True, {"fan": 70}, [0], Settings(), {})
    assert told["command"] == "make demo"
    told = page.facts("demo", "demo", True, {"fan": 70}, [0], Settings(), {}, ("fan", "Bay 2"))
    assert told["command"] == "python -m lib.batch --preset demo --machines 'fan Bay 2' --seeds 0"


def test_the_page_shows_its_figures_and_the_published_anchors(measured, tmp_path):
    path = page.write([measured.run.root], tmp_path / "docs")
    text = path.read_text()
    shown = [line.partition("](")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(shown) == 1 + 3 and all((path.parent / name).stat().st_size > 5000 for name in shown)
    measured.run.figures.mkdir()
    (measured.run.figures / "Shared_seed1_map.png").write_bytes(b"of 09")
    path = page.write([measured.run.root], tmp_path / "more")
    assert "](results_mine_map.png)" in path.read_text()
    assert (path.parent / "results_mine_map.png").read_bytes() == b"of 09"
    assert "69.78" in text and "Not comparable" in text and text.index("## mine") < text.index("## Published results")


def test_a_name_covers_no_point_and_no_other_name():
    """Seven points close together, three on one place, one at each edge."""
    figure, axis = plt.subplots(figsize=(7.2, 3.4), dpi=120)
    axis.set(xlim=(0, 100), ylim=(0, 100))
    where = [(50, 50), (50, 50), (50, 50), (52, 50), (48, 51), (99, 50), (1, 49)]
    points = {f"a row's long name {i}": place for i, place in enumerate(where)}
    page._name_points(axis, points)
    figure.draw_without_rendering()
    names = {text.get_text(): text.get_window_extent() for text in axis.texts}
    assert list(names) == list(points)
    for name, box in names.items():
        assert not any(box.overlaps(other) for other_name, other in names.items() if other_name != name)
        assert not any(box.contains(*axis.transData.transform(place)) for place in where)
        assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1


def test_a_run_without_tables_names_the_mend(tmp_path):
    with pytest.raises(ValueError, match="06_ensemble_and_tables"):
        page.write([tmp_path / "nothing"], tmp_path / "docs")
