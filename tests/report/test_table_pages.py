"""Tables of a page: numbers apart from their intervals, text escaped, formulas readable."""

import pandas as pd
import pytest

from lib.report.table_pages import Table, formulas, other_tables, paper_tables


@pytest.mark.parametrize(
    ("text", "shown", "more", "value"),
    [
        ("54.61† (1.50) [49.2, 60.1]", "54.61†", "(1.50) [49.2, 60.1]", 54.61),
        ("54.61 [0.0, 60.1]", "54.61", "[0.0, 60.1]", 54.61), ("−3.5", "−3.5", "", -3.5), ("1e-05", "1e-05", "", 1e-5),
        ("–§", "–§", "", None), ("OE-Flow", "OE-Flow", "", None), ("3 clips", "3 clips", "", None), ("", "", "", None),
    ],
)  # fmt: skip
def test_a_cell_is_its_text_what_stands_small_and_its_value(text, shown, more, value):
    cell = Table.of(pd.DataFrame({"a": [text]})).rows[0][0]
    assert (str(cell.text), cell.more, cell.value) == (shown, more, value)


def test_a_column_holds_numbers_where_every_cell_does(tmp_path):
    (tmp_path / "decisions.csv").write_text("a,b,c,d\n1.5,1,,True\n-2,two,2.25004,False\n7,3,3e-7,True\n")
    (table,) = other_tables(tmp_path)
    assert table.numeric == [True, False, True, False]
    assert [[str(cell.text) for cell in row] for row in table.rows] == [
        ["1.5", "1", "", "yes"], ["-2", "two", "2.25", "no"], ["7", "3", "3e-07", "yes"],
    ]  # fmt: skip
    mixed = Table.of(pd.DataFrame({"a": ["1.5 [1, 2]", "–", "–§", ""]}))
    assert mixed.numeric == [True] and [row[0].value for row in mixed.rows] == [1.5, None, None, None]


def test_text_is_escaped_and_formulas_are_not_text():
    assert str(formulas("<b>$x$</b> & $5")) == "&lt;b&gt;" + str(formulas("$x$")) + "&lt;/b&gt; &amp; $5"
    assert "<math" in str(formulas("$x$"))


def test_the_runs_tables_begin_with_all_under_the_paper_rule(finished):
    run = finished()
    (run.tables / "table4_all_official.csv").write_text("system,whose,fan\nOE,ours,1.0\n")
    (run.tables / "table4_extended_paper.csv").write_text("")
    ones, fours = paper_tables(run.tables)
    assert [table.title.partition(": ")[2] for table in fours] == [
        "all, paper rule",
        "all, official rule",
        "extended, paper rule",
    ]
    assert ones[0].title == "Table 1, systems" and fours[0].file == "table4_all_paper.csv"
    assert fours[0].caption == "Harmonic mean." and fours[1].caption == "" and fours[2].rows == []
    assert fours[0].columns[:2] == ["system", "made of"] and fours[0].numeric[2:] == [True, True, True]
    assert [table.file for table in other_tables(run.tables)] == ["decisions.csv"]
