"""The whole report of a run: it can be moved, loads nothing from elsewhere, shows names as text, and says what lacks."""

import json
import shutil

import pytest
import soundfile
from conftest import CLIP, HOSTILE, Links, broken_links
from makers import at_most

from lib.report import report
from lib.report.report import Options


def write(run, out=None, **options):
    """A report without the notebooks, which take the most time."""
    return report.write(run, out, Options(notebooks=False, **options))


def text_of(folder, name):
    return (folder / f"{name}.html").read_text(encoding="utf-8")


def test_a_report_can_be_moved_and_loads_nothing_from_elsewhere(finished, tmp_path):
    run = finished()
    moved = shutil.move(report.write(run).parent, tmp_path / "elsewhere")
    assert broken_links(moved) == []
    assert {page.name for page in moved.glob("*.html")} == {"index.html", "tables.html", "notebooks.html", "run.html"}
    policies = [
        dict(a).get("content")
        for page in moved.rglob("*.html")
        for t, a in Links(page).tags
        if t == "meta" and "http-equiv" in a
    ]
    assert len(policies) == len(list(moved.rglob("*.html"))) and all("default-src 'none'" in p for p in policies)


def test_the_report_of_a_real_run_has_pictures_and_players_and_is_small(smoke):
    """Made at the end of the run that all tests of a graph share."""
    folder, printed = smoke
    page = folder / "report" / "machines" / "fan.html"
    assert "\nreport: " in printed and "\nreport     " in printed and broken_links(folder / "report") == []
    links = Links(page)
    cuts = [attributes["src"] for tag, attributes in links.tags if tag == "audio"]
    assert len(cuts) == 16 and sum(tag == "li" for tag, _ in links.tags) == 16
    for cut in cuts:
        assert soundfile.info(page.parent / cut).duration == 3.0
    pictures = [attributes["src"] for tag, attributes in links.tags if tag == "img"]
    assert len(pictures) == 32 and all(path.endswith(".webp") for path in pictures)
    size = sum(path.stat().st_size for path in (folder / "report" / "machines").rglob("*"))
    assert size * 20 / 16 < 2.5e6
    listed = Links(folder / "report" / "notebooks.html").linked
    assert sum("notebooks/fan-" in place for place in listed) == len(
        list((folder / "notebooks" / "fan").glob("*.ipynb"))
    )


def test_names_are_text(finished):
    run = finished(machines=HOSTILE)
    clock = {"call": "<b>", "kinds": {"fitting": [12.34, 5.06], "other": [1, 15.2]}}
    run.clock("08_spectrum_reference", HOSTILE[0]).write_text(json.dumps(clock))
    folder = write(run).parent
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        scripts = [attributes for tag, attributes in Links(page).tags if tag == "script"]
        assert all("src" in script or script.get("id") == "data" for script in scripts), page
        assert HOSTILE[0] not in text and CLIP not in text and "<img src=x" not in text and '"<b>"' not in text
    page = next((folder / "machines").glob("a-b*.html"))
    assert "&lt;/script&gt;&lt;img src=x" in page.read_text(encoding="utf-8") and "ä &amp; ö" in text_of(
        folder, "index"
    )
    data = page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0]
    assert len(json.loads(data)["clips"]) == 16
    where = text_of(folder, "run").partition("Where the time went")[2].partition("</section>")[0]
    assert "&lt;script&gt;" in where and ">fitting</td>" in where and ">25 %</td>" in where and "no clock" not in where


def test_a_machine_that_failed_is_said_and_the_others_are_there(finished):
    run = finished()
    run.failures.write_text("03_oe_training pump OE all seed0: the recordings are odd <b>\n")
    folder = write(run).parent
    assert "1 notebook of the last call failed" in text_of(folder, "index")
    assert "the recordings are odd &lt;b&gt;" in text_of(folder, "run")
    assert {path.stem for path in (folder / "machines").glob("*.html")} == {"fan", "ToyCar"}


def test_without_labels_there_are_clips_and_decisions_and_no_precision(finished):
    folder = write(finished(labelled=False)).parent
    page = text_of(folder, "machines/fan")
    assert "called anomalous" in page and page.count('class="clip') >= 16
    for word in ("precision", "recall", "false alarms", "Best on them", ">wrong<"):
        assert word not in page, word
    assert "The test clips have no labels" in text_of(folder, "index")


def test_one_domain_has_no_row_and_no_filter_of_its_own(finished):
    page = text_of(write(finished(domains=("source",))).parent, "machines/fan")
    assert 'name="domain"' not in page and 'data-domain=""' in page and 'tr data-domain="source"' not in page


def test_what_is_not_there_is_left_out(finished):
    run = finished(figures=False)
    folder = write(run).parent
    assert "Figures" not in text_of(folder, "tables").partition("<h1>")[2].partition("</h1>")[2]
    assert not (folder / "notebooks.html").exists() and "notebooks.html" not in text_of(folder, "index")
    assert broken_links(folder) == []
    where = text_of(folder, "run").partition("Where the time went")[2].partition("</section>")[0]
    assert "1 executed notebooks have no clock: an older version ran them" in where and "<table" not in where
    assert "No picture and no sound: " in text_of(folder, "machines/fan"), "nothing is trained in a made-up run"


def test_a_row_that_no_machine_has_is_refused_and_one_of_some_is_said(finished):
    run = finished()
    with pytest.raises(ValueError, match=r"no row 'Shared' in .*; it has OE, Spectrum"):
        write(run, row="Shared")
    assert "Decisions by OE" in text_of(write(run, row="OE").parent, "machines/fan")


def test_a_run_without_tables_names_the_mend(tmp_path, run):
    with pytest.raises(ValueError, match="06_ensemble_and_tables"):
        write(run)
    assert not run.report.exists()


def test_a_folder_of_others_is_left_alone_and_an_older_report_goes(finished, tmp_path):
    run, out = finished(), tmp_path / "docs"
    out.mkdir()
    write(run, out)
    (out / "machines" / "old.html").touch()
    (out / "index.html").unlink()  # as Snakemake does before it begins
    write(run, out)
    assert not (out / "machines" / "old.html").exists() and (out / "index.html").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "link").symlink_to(out)
    for place in ("mine", "mine/notes.txt", "link"):
        with pytest.raises(ValueError, match=r"name another (one|folder) \(--out\)"):
            write(run, tmp_path / place)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_disk_that_is_full_leaves_the_older_report_and_names_the_mend(finished):
    run = finished()
    before = write(run).read_text()
    with at_most(3000), pytest.raises(OSError, match=r"cannot write .*/report: File too large; raise the limit"):
        write(run)
    assert (run.report / "index.html").read_text() == before
    assert [path.name for path in run.root.iterdir() if path.name.startswith(".report")] == []


def test_tables_that_are_large_are_named_and_not_copied(finished, monkeypatch):
    monkeypatch.setattr(report, "LARGE", 3000)
    folder = write(finished()).parent
    assert not (folder / "tables" / "clip_scores.csv").exists() and (folder / "tables" / "table1.csv").exists()
    assert "Too large for the report" in text_of(folder, "tables") and broken_links(folder) == []


def test_what_is_cut_off_is_named_or_left_out(finished):
    run = finished()
    notebook = run.notebook("08_spectrum_reference", "fan")
    notebook.write_text(notebook.read_text()[:100])
    (run.figures / "table4_all_paper.png").write_bytes(b"\x89PNG")
    run.failures.write_bytes(b"\xff odd\n")
    folder = report.write(run).parent
    assert "cannot be read" in text_of(folder, "notebooks") and "<figure>" not in text_of(folder, "tables")
    assert "seconds</th>" not in text_of(folder, "index") and " odd</li>" in text_of(folder, "run")
    facts = json.loads((run.tables / "run.json").read_text())
    (run.tables / "run.json").write_text(json.dumps({name: facts[name] for name in facts if name != "commit"}))
    with pytest.raises(ValueError, match=r"run\.json: it has no commit; run 06_ensemble_and_tables again"):
        write(run)
