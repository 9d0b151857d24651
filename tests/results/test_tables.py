"""Tables 1–4 in the paper's layout, from made clip scores."""

import re

import pandas as pd
import pytest
from makers import LACKING
from scored import evaluated

from lib.detection.collected import LEFT_OUT
from lib.results import tables
from lib.results.tables_text import latex
from lib.systems import BASELINES, ROWS, SUBMITTED, SYSTEMS

PAPER = [*BASELINES, *SYSTEMS, *SUBMITTED]


def test_tables_in_the_papers_layout():
    evaluation = evaluated(50, systems=(*ROWS[:2], *SYSTEMS))
    paper = tables.layout(evaluation, 4, "all", "paper", beside_paper=True)
    official = tables.layout(evaluation, 4, "all", "official", beside_paper=True)
    assert list(paper.columns) == [tables.MADE_OF, "fan", "ToyCar", "overall"]
    assert [system for system, whose in paper.index if whose == "ours"] == PAPER == list(ROWS[: len(PAPER)])
    assert [s for s, whose in paper.index if whose == "paper"] == [s for s in PAPER[2:] if s != "Serial-OE"]
    assert [s for s, whose in official.index if whose == "paper"] == list(ROWS[:2])
    assert paper.loc[("OE", "paper"), "ToyCar"] == "52.98" and paper.loc[("OE", "paper"), "overall"] == "–"
    assert (
        paper.loc[("Submitted 4", "paper"), "fan"] == "74.22"
        and official.loc[("Baseline (MSE)", "paper"), "fan"] == "52.59"
    )
    assert paper.loc[("Submitted 2", "ours"), tables.MADE_OF] == "OE-DFlow and SerialOE-DFlow"
    assert paper.loc[("Baseline (MSE)", "ours"), tables.MADE_OF] == ""
    value = evaluation.query(
        "protocol == 'all' and rule == 'paper' and machine == 'fan' and score == 'hmean' and system == 'OE'"
    )["value"].item()
    assert paper.loc[("OE", "ours"), "fan"].startswith(f"{value:.2f} [")


def test_the_papers_overall_stands_beside_its_seven_machines_alone():
    machines = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
    assert tables.beside(4, "paper", machines).loc["OE", "overall"] == 64.84
    assert (
        "overall" not in tables.beside(4, "paper", (*machines, "shaker")) and tables.beside(4, "paper", ["pump"]).empty
    )


@pytest.mark.parametrize("rule", ["paper", "official"])
def test_no_figure_of_the_paper_beside_demo_data(rule):
    evaluation = evaluated(systems=(*ROWS[:2], *SYSTEMS))
    assert set(tables.layout(evaluation, 4, "all", rule, False).index.get_level_values("whose")) == {"ours"}


def test_written_tables(tmp_path):
    evaluation = evaluated(50, systems=(*ROWS[:2], *SYSTEMS), lacking={"fan": LACKING})
    written = tables.write_tables(evaluation, tmp_path, beside_paper=True)
    assert len(written) == 3 * (1 + 3 * 2 * 2) and {p.suffix for p in written} == {".csv", ".md", ".tex"}
    assert all(p.exists() for p in written)
    for path in written:
        text = path.read_text()
        if path.suffix == ".tex":
            rows = [line for line in text.splitlines() if line.endswith(r"\\")]
            assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1 and len(rows) >= 7
            assert text.count(r"\toprule") == 1 and not set("†‡§–") & set(text) and not re.search(r"(?<!\\)%\d", text)
        if path.suffix == ".md":
            lines = [line for line in text.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in lines}) == 1
    assert (
        "†" in (tmp_path / "table4_all_paper.csv").read_text()
        and "fan has no" in (tmp_path / "table4_all_paper.md").read_text()
    )
    synthetic = tables.write_tables(evaluation, tmp_path, beside_paper=False)
    assert (
        "52.98" not in "".join(p.read_text() for p in synthetic)
        and "whose" not in (tmp_path / "table2_all_paper.md").read_text()
    )


def test_table_1_says_what_the_systems_are():
    table = tables.summary().set_index("system")
    assert list(table.index) == ["OE", "Serial-OE*", "OE-Flow", "OE-DFlow", "SerialOE-Flow", "SerialOE-DFlow"]
    assert list(table["domain-invariant modeling"]) == ["Not applicable"] * 2 + ["Not applied", "Applied"] * 2
    losses = table["loss function"]
    assert (
        losses["OE-Flow"]
        == losses["OE-DFlow"]
        == r"$\mathcal{L}_{\mathrm{machine}} + \lambda_{\mathrm{Flow}}\mathcal{L}_{\mathrm{Flow}}$"
    )
    assert "SerialOE" in losses["Serial-OE*"] and "Flow" not in losses["Serial-OE*"]
    assert table.loc["OE-Flow", "detectors"] == "GMM, KNN, and Normalizing flow"


def test_latex_of_any_machine_and_reason():
    """Names and reasons come from folders and errors: every sign with a meaning in LaTeX is escaped."""
    evaluation = evaluated(machines=("50% $x$_#1 {a}",))
    gone = pd.DataFrame(
        [("50% $x$_#1 {a}", "OE", "all", 0, "x/detector_scores.parquet", "refused", r"a\b~c^d & e…")], columns=LEFT_OUT
    )
    text = latex(
        tables.layout(evaluation, 4, "all", "paper", False, gone).reset_index(),
        tables.caption(evaluation, 4, "all", "paper", gone),
    )
    assert (
        r"50\% \$x\$\_\#1 \{a\}" in text
        and r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d \& e\dots{}" in text
    )
    assert "$\\dagger$" in text and latex(tables.summary(), "").count(r"\mathcal{L}_{\mathrm{machine}}") >= 3
