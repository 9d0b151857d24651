"""The command line of the report: its options, and what is refused in one line."""

import pytest

from lib.report.__main__ import main


def test_a_report_with_options(finished, tmp_path, capsys):
    out = tmp_path / "docs" / "report"
    assert main([str(finished().root), "--out", str(out), "--clips", "0", "--no-notebooks", "--row", "OE"]) == 0
    assert capsys.readouterr().out.strip() == str(out / "index.html")
    page = (out / "machines" / "fan.html").read_text()
    assert "Decisions by OE" in page and "No clip has a picture" in page and not (out / "notebooks.html").exists()


def test_what_is_refused(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "no clip scores to report" in said and len(said.splitlines()) == 1
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--clips", "-1"])
