"""Runs that the tests of the report are made of: made-up tables, and in a folder each thing that a run may leave."""

import json
from html.parser import HTMLParser

import pandas as pd
import pytest
from makers import made, write_notebook
from PIL import Image
from scored import evaluated, rows_of

from lib.paths import Run
from lib.results import page, tables
from lib.results.submission import decisions
from lib.settings import Settings

MACHINES = ("fan", "ToyCar")
HOSTILE = ('a"b<script>alert(1)</script>', "ä & ö")
CLIP = "</script><img src=x onerror=alert(1)>"
NETWORK = ("http:", "https:", "//")


@pytest.fixture(scope="session")
def scored_run():
    """(rows, evaluation, decisions, Table 4) of two machines, made once: what the notebook 06 saves."""
    given = dict(machines=MACHINES, systems=("OE", "Spectrum (power)", "Spectrum (flux)"), test=4)
    rows = rows_of(made(**given), systems=("OE",)).replace({"clip": {"source_normal_00": CLIP}})
    evaluation = evaluated(5, **given)
    table = tables.layout(evaluation, 4, "all", "paper", False).reset_index()
    return rows, evaluation, decisions(rows, 0.9), table


@pytest.fixture
def finished(scored_run, tmp_path):
    """Makes the folder of a run: two machines of these names, labelled or not, of these domains and seeds → `Run`."""

    def make(machines=MACHINES, labelled=True, domains=("source", "target"), figures=True, seeds=(0,)):
        run = Run(tmp_path / "outputs" / 'mine "<b>"')
        names = dict(zip(MACHINES, machines, strict=True))
        rows, evaluation, decided = (each.replace({"machine": names}) for each in scored_run[:3])
        table = scored_run[3].rename(columns=names)
        rows = rows[rows["domain"].isin(domains)]
        if not labelled:
            rows.loc[rows["part"] == "test", "label"], evaluation = "", evaluation[:0]
        if len(domains) == 1:
            evaluation = evaluation[evaluation["score"] != "auc_target"]
        rows = pd.concat([rows.assign(seed=seed, score=rows["score"] + seed * rows.index % 3) for seed in seeds])
        run.tables.mkdir(parents=True)
        made_tables = {"evaluation": evaluation, "clip_scores": rows, "decisions": decided, "table4_all_paper": table}
        for name, each in made_tables.items():
            each.to_csv(run.tables / f"{name}.csv", index=False)
        (run.tables / "table1.csv").write_text("system,loss function\nOE,$\\mathcal{L}$\n")
        (run.tables / "table4_all_paper.md").write_text("**Table 4.** Harmonic mean.\n\n| a |\n")
        told = page.facts("smoke", "clips", False, dict.fromkeys(machines, 12), (0,), Settings(), {})
        (run.tables / "run.json").write_text(json.dumps(told))
        (run.tables / "effects.csv").write_text("\n")
        run.problems.write_text("machine,file,problem,mend\n")
        if figures:
            run.figures.mkdir()
            Image.new("RGB", (40, 20), "white").save(run.figures / "table4_all_paper.png")
            (run.figures / "table4_all_paper.pdf").write_bytes(b"%PDF-1.4")
        notebook = run.notebook("08_spectrum_reference", machines[0])
        notebook.parent.mkdir(parents=True)
        write_notebook(notebook, "machine = 'fan'", "1 + 1")
        return run

    return make


class Links(HTMLParser):
    """What a page refers to: `loaded` scripts, styles, pictures and sounds, and `linked` pages and files."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.linked, self.tags = [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.loaded += [given["src"]] if given.get("src") else []
        if given.get("href"):
            (self.linked if tag == "a" else self.loaded).append(given["href"])


def broken_links(folder):
    """(page, reference) of every reference in a report that leads to nothing in it, and of all that it loads elsewhere."""
    found = []
    for page_ in folder.rglob("*.html"):
        links = Links(page_)
        for reference in links.loaded + links.linked:
            place, _, _ = reference.partition("#")
            elsewhere = reference.startswith(NETWORK)
            if reference.startswith("data:") or not place or (elsewhere and reference in links.linked):
                continue
            inside = (page_.parent / place).resolve()
            if elsewhere or not inside.is_relative_to(folder.resolve()) or not inside.is_file():
                found.append((page_.name, reference))
    return found
