"""What a notebook's result depends on: every module that it imports, every setting that these read, and no other."""

import json
import re
import shutil
from functools import cache

import pytest

from lib import dependencies, paths
from lib.graph import STEPS, WORKFLOW
from lib.settings import Settings

NOTEBOOKS = sorted(path.stem for path in paths.NOTEBOOKS.glob("*.ipynb"))
AUDIT, BASELINE, OE, JOINT, FITTING, TABLES, SPECTRUM, SHARED, ENCODER = STEPS
FLOWS = dict.fromkeys(
    (BASELINE, OE, AUDIT, TABLES, SPECTRUM, SHARED, ENCODER), False
)  # the others may train or score a flow


def named(notebook):
    """Files of lib that a notebook imports, read by a plain search for import lines, followed through lib."""
    cells = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    texts, found = ["\n".join("".join(cell["source"]) for cell in cells)], set()
    while texts:
        for package, names in re.findall(r"^ *from (lib[\w.]*) import \(?((?:[^)(#\n]|(?<=,)\n)+)", texts.pop(), re.M):
            for name in ["", *re.findall(r"\w+", names)]:
                file = paths.PROJECT.joinpath(*package.split("."), name).with_suffix(".py")
                if file.is_file() and file not in found:
                    found.add(file)
                    texts.append(file.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_import_is_followed(notebook):
    found = set(dependencies.sources(notebook))
    assert named(notebook) - found == {paths.PROJECT / "lib" / "clock.py"}, "it measures, and changes no result"
    assert paths.NOTEBOOKS / f"{notebook}.ipynb" in found
    assert {path.name for path in found} >= {"settings.py", "presets.py", "paths.py", "systems.py"}


def test_the_graph_runs_every_notebook_but_those_for_a_person():
    rules = re.findall(r'^    name: "(\w+)"', (WORKFLOW / "Snakefile").read_text(), re.MULTILINE)
    assert sorted(rules) == sorted([*STEPS, "report"])
    assert set(NOTEBOOKS) - set(STEPS) == {"00_tour", "07_score_recordings"}


@pytest.mark.parametrize("notebook", STEPS)
def test_no_step_follows_from_the_listener(notebook):
    """A change of how new recordings are heard would make every result of a run old."""
    assert "listening" not in {path.parent.name for path in dependencies.sources(notebook)}


@pytest.mark.parametrize(
    ("notebook", "modules", "settings"),
    [
        (AUDIT, ("recordings/audit", "recordings/decoding", "results/plots"), ("data.channel", "data.sample_rate")),
        (BASELINE, ("network/autoencoder", "detection/scoring"), ("autoencoder.epochs", "evaluation.max_fpr", "threads")),
        (OE, ("network/losses", "network/flow", "recordings/machine"), ("training.epochs", "evaluation.highpass", "threads")),
        (JOINT, ("detection/ensembles", "detection/metrics", "results/plots_flow"), ("evaluation.weighted_machines", "evaluation.max_fpr", "joint.epochs", "flow.weight")),
        (FITTING, ("detection/inliers", "detection/detectors"), ("inliers.gmm_components", "inliers.calibration_folds", "threads")),
        (TABLES, ("results/plots", "results/plots_tables", "results/effects"), ("evaluation.bootstrap", "evaluation.weighted_machines", "systems", "baselines", "team")),
    ],
)  # fmt: skip
def test_what_a_list_by_hand_forgot(notebook, modules, settings):
    found = {
        str(path.relative_to(paths.PROJECT / "lib").with_suffix("")) for path in dependencies.sources(notebook)[1:]
    }
    assert found >= set(modules) and set(dependencies.settings_read(notebook)) >= set(settings)


def test_the_papers_tables_belong_to_the_code_that_reads_them():
    assert "paper_tables.csv" in {path.name for path in dependencies.sources(TABLES)}
    assert "paper_tables.csv" not in {path.name for path in dependencies.sources(OE)}


ALL = set(STEPS)  # the tables open the bank and the plan, too


@cache
def by_default(notebook):
    return dependencies.provenance(notebook, Settings(), FLOWS.get(notebook, True))


@pytest.mark.parametrize(
    ("group", "field", "value", "notebooks"),
    [
        ("inliers", "knn_neighbours", (1,), {FITTING, TABLES}),  # the plan asks whether a machine has enough clips
        ("inliers", "gmm_reg_covar", 0.5, {FITTING}),
        ("inliers", "fit_on", "all", {BASELINE, JOINT, FITTING, TABLES, SPECTRUM, SHARED, ENCODER}),
        ("training", "epochs", 3, {OE, JOINT}),
        ("training", "precision", "fp32", {OE, JOINT, SHARED}),
        ("joint", "epochs", 3, {JOINT}),
        ("joint", "learning_rate", 0.1, {JOINT}),
        ("flow", "steps", 2, {JOINT}),
        ("flow", "centre", True, {JOINT}),
        ("autoencoder", "epochs", 3, {BASELINE}),
        ("autoencoder", "hidden", 3, {BASELINE}),
        ("frontend", "mels", 64, {OE, JOINT, SHARED, ENCODER}),
        ("frontend", "standardize", "clip", {OE, JOINT, SHARED, ENCODER}),
        ("frontend", "segment_seconds", 4.0, {OE, JOINT, TABLES, SHARED, ENCODER}),
        ("extractor", "machine_head", "norm", {OE, JOINT, SHARED, ENCODER}),
        ("evaluation", "bootstrap", 10, {TABLES}),
        ("evaluation", "highpass", (3000.0, 2500.0), {OE, JOINT, SHARED, ENCODER}),
        ("evaluation", "weighted_machines", ("fan",), {JOINT, FITTING, TABLES}),
        ("evaluation", "max_fpr", 0.2, {BASELINE, JOINT, FITTING, TABLES, SPECTRUM}),
        ("spectrum", "local_density", 0, {SPECTRUM}),
        ("shared", "steps", 9, {SHARED}),
        ("shared", "threads", 3, {SHARED}),
        ("shared", "low", 60.0, {SHARED, TABLES}),
        ("shared", "window", 1024, {SHARED, ENCODER}),  # an interval has a low and a high, too, so TABLES errs to the wide side
        ("spectrum", "high", 7000.0, {SPECTRUM, TABLES}),
        ("data", "sample_rate", 16001, ALL),
        ("", "threads", 2, ALL),
        ("", "team", "mine", {TABLES}),
        ("", "encoder_rate", 48000, {ENCODER}),
        ("shared", "hears_targets", False, {SHARED, ENCODER, TABLES}),
        ("demo", "source_clips", 3, set()),  # the data's fingerprint says what it is
    ],
)  # fmt: skip
def test_a_changed_setting_changes_what_reads_it(group, field, value, notebooks):
    settings = Settings()
    change = {group: getattr(settings, group).model_copy(update={field: value})} if group else {field: value}
    other = settings.model_copy(update=change)
    changed = {
        name for name in STEPS if by_default(name) != dependencies.provenance(name, other, FLOWS.get(name, True))
    }
    assert changed == notebooks


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The project's lib and notebooks in a folder where they may change."""
    for name in ("lib", "notebooks"):
        shutil.copytree(paths.PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(dependencies, "LIBRARY", tmp_path / "lib")
    monkeypatch.setattr(dependencies, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def codes():
    return {name: dependencies.code(name) for name in STEPS}


@pytest.mark.parametrize(
    ("file", "notebooks"),
    [
        ("network/losses.py", {OE, JOINT}),
        ("network/autoencoder.py", {BASELINE}),
        ("detection/inliers.py", {FITTING}),
        ("detection/ensembles.py", {JOINT, FITTING, TABLES}),
        ("recordings/decoding.py", ALL),
        ("recordings/audit.py", {AUDIT}),
        ("network/spectrum.py", {SPECTRUM}),
        ("network/shared.py", {SHARED}),
        ("network/encoder.py", {ENCODER}),
        ("results/plots_flow.py", {JOINT}),
        ("results/submission.py", {TABLES}),
        ("results/paper_tables.csv", {TABLES}),
        ("settings.py", ALL),
        ("clock.py", set()),
    ],
)
def test_changed_code_changes_what_imports_it(copied, file, notebooks):
    before, path = codes(), copied / "lib" / file
    path.write_text(path.read_text(encoding="utf-8") + "\nNEW = 1\n", encoding="utf-8")
    after = codes()
    assert {name for name in STEPS if before[name] != after[name]} == notebooks


def test_comments_layout_and_texts_change_nothing(copied):
    before = codes()
    path = copied / "lib" / "network" / "losses.py"
    path.write_text("# a comment\n\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    for notebook in STEPS:
        path = copied / "notebooks" / f"{notebook}.ipynb"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": ["Hello."]})
        path.write_text(json.dumps(content | {"metadata": {}}), encoding="utf-8")
    assert codes() == before
    cell = next(cell for cell in content["cells"] if cell["cell_type"] == "code")
    cell["source"].append("\nNEW = 1")
    path.write_text(json.dumps(content), encoding="utf-8")
    assert {name for name, code in codes().items() if code != before[name]} == {STEPS[-1]}


def test_provenance_is_the_same_after_a_file():
    found = dependencies.provenance(JOINT, Settings())
    assert json.loads(json.dumps(found)) == found and found["notebook"] == JOINT
    assert found["settings"]["flow.weight"] == 1e-7 and found["settings"]["evaluation.highpass"] == [4000, 3500]
