"""The worked examples of docs/extending.md run, and do what the page says."""

import json
import re

import numpy as np
import pytest

from lib.detection import detectors
from lib.network import losses
from lib.network.embedder import Embedder
from lib.network.training import Trainer
from lib.paths import PROJECT
from lib.results import tables
from lib.settings import Inliers
from lib.systems import SYSTEMS


@pytest.fixture
def page(root, monkeypatch, capsys):
    """What the page's blocks print, run one after the other beside a folder `my_data`."""
    before = [(registry, set(registry)) for registry in (detectors.FAMILIES, losses.TERMS, SYSTEMS)]
    root.rename(root.parent / "my_data")
    monkeypatch.chdir(root.parent)
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (PROJECT / "docs" / "extending.md").read_text(), re.DOTALL):
        exec(compile(block, "docs/extending.md", "exec"), names)
    (root.parent / "my_data").rename(root)
    yield capsys.readouterr().out
    for registry, known in before:
        for name in set(registry) - known:
            del registry[name]


def test_a_system_of_its_own_loss_is_trained_and_its_detector_scores(page, machine):
    assert "['fan']" in page
    training = machine("Compact-OE")
    trainer = Trainer(training)
    assert trainer.loss() == "L = 1 · L_machine + 1 · L_compact" and trainer.run()["compact"].gt(0).all()
    clips = training.clips
    embedded = Embedder(trainer.model, training).clips(clips.own, clips.own["part"].to_numpy())
    scored = detectors.score_machine(embedded, SYSTEMS["Compact-OE"].families, Inliers(knn_neighbours=(1,)), 0)
    assert {"KNN-1", "Robust"} == set(scored.scores["detector"])
    detectors.save_detectors(training.folder, scored, {"machine": "fan"})
    again = detectors.load_detectors(training.folder)[("Robust", "source")]
    vectors = embedded.vectors
    assert np.array_equal(
        again.score(vectors)["Robust"], scored.detectors[("Robust", "source")].score(vectors)["Robust"]
    )
    assert json.loads((training.folder / "detectors.json").read_text())["machine"] == "fan"
    rows = tables.summary().set_index("system")  # Table 1, with which 06 begins
    assert r"\mathrm{machine}}$ + $\mathcal{L}_{\mathrm{compact}}" in rows.loc["Compact-OE*", "loss function"]
