import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib import cards, graph, summary
from lib.graph import Graph
from lib.network.device import pick_device
from lib.paths import PROJECT
from lib.settings import load_settings


def test_a_card_has_as_many_places_as_its_memory_holds_and_no_more_than_help():
    assert cards.places([79, 23, 9, 2], need=10) == [3, 2, 1, 1]
    assert cards.places([79, 23], need=10, asked=5) == [5, 5] and cards.places([], need=10) == []


@pytest.mark.parametrize(
    ("answer", "free"),
    [("print('a warning'); print([10.5, 3])", [10.5, 3.0]), ("print([])", []), ("raise SystemExit(1)", [0.0])],
)
def test_free_memory_is_asked_for_in_another_process(monkeypatch, capsys, answer, free):
    monkeypatch.setattr(cards, "present", lambda: True)
    monkeypatch.setattr(cards, "ASK", answer)
    assert cards.free_memory() == free
    assert ("one training at a time" in capsys.readouterr().out) == (free == [0.0])


@pytest.mark.parametrize(("hidden", "there"), [(None, True), ("0,1", True), ("", False), ("-1", False)])
def test_a_hidden_card_is_none(monkeypatch, tmp_path, hidden, there):
    monkeypatch.setattr(cards, "NODES", (str(tmp_path / "none"), str(tmp_path)))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert cards.present() is there
    monkeypatch.setattr(cards, "NODES", (str(tmp_path / "none"),))
    assert not cards.present()


HOLD = "from lib import cards; print(cards.claim(), flush=True); input()"


def test_jobs_spread_over_the_cards_and_a_place_is_free_again_when_its_job_has_ended(tmp_path):
    environment = cards.environment(tmp_path, [2, 1]) | {"PYTHONPATH": str(PROJECT)}
    jobs = []
    for expected in ("0", "1", "0", "None"):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        jobs.append(subprocess.Popen([sys.executable, "-c", HOLD], env=environment, **pipes))
        assert jobs[-1].stdout.readline().strip() == expected
    ended = jobs.pop(1)
    ended.kill()
    ended.communicate()
    done = subprocess.run([sys.executable, "-c", HOLD], env=environment, input="\n", capture_output=True, text=True)
    assert done.stdout.strip() == "1"
    for job in jobs:
        job.communicate("\n")


def test_the_device_is_the_card_of_the_place_else_the_emptiest(monkeypatch, tmp_path):
    for name, value in {
        "is_available": lambda: True,
        "device_count": lambda: 3,
        "mem_get_info": lambda card: (np.array([3, 9, 5])[card], 10),
        "set_device": lambda card: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    for flags, name in ((torch.backends.cudnn, "benchmark"), (torch.backends.cudnn, "allow_tf32")):
        monkeypatch.setattr(flags, name, getattr(flags, name))
    assert pick_device() == torch.device("cuda", 1)
    monkeypatch.setenv(cards.PLACES, json.dumps({"folder": str(tmp_path), "places": [1]}))
    assert [pick_device().index for _ in range(2)] == [0, 1]


def test_a_run_tells_snakemake_and_its_jobs_how_many_share_a_card(root, run, monkeypatch):
    settings = load_settings("smoke")
    monkeypatch.setattr(cards, "free_memory", lambda: [79.0, 1.0])
    run.state.mkdir(parents=True, exist_ok=True)
    with_cards = Graph.of(run, settings, "smoke", str(root), "", [0], 4, "")
    assert with_cards.places == (3, 1) and graph._places(settings, 10**6, 7) == (7, 7)
    assert with_cards._command(False)[-2:] == ["--resources", "gpu=4"]
    assert json.loads(with_cards._environment()[cards.PLACES])["places"] == [3, 1]
    assert "2 graphics cards with room for 3, 1 of them" in "\n".join(summary.first_lines(with_cards))
    without = replace(with_cards, places=())
    assert "--resources" not in without._command(False) and cards.PLACES not in without._environment()
    assert "graphics card" not in "\n".join(summary.first_lines(without))
