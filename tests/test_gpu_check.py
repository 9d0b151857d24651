"""The check of a graphics card, rehearsed without one."""

import json
import os
import subprocess
import sys

import pytest
import torch

from lib.network import extractor
from lib.network.torchvision_pair import timm
from lib.paths import PROJECT
from workflow.gpu_check import __main__ as command
from workflow.gpu_check import made, parity

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    """A narrow network, a flow of one step."""
    create = timm.create_model

    def narrow(name, pretrained=False, **wanted):
        block = timm.models.resnet.Bottleneck
        return create(name, pretrained, block=block, layers=[1] * 4, channels=(2, 4, 8, 128), **wanted)

    monkeypatch.setattr(extractor.timm, "create_model", narrow)
    monkeypatch.setitem(made.QUICK.preset, "flow", {"steps": 1})


def test_the_rehearsal_proves_every_number_and_leaves_a_table(small, tmp_path, capsys):
    out = tmp_path / "check.json"
    assert command.main(["--device", "cpu", "--quick", "--only", "parity", "ceilings", "--out", str(out)]) == 0
    said, printed = json.loads(out.read_text()), capsys.readouterr().out
    names = {row["name"] for row in said["sections"]["parity"]}
    assert {"mel front end", "embedding, float32", "KNN", "flow, negative log-likelihood", "recorded steps"} <= names
    assert {f"joint step, {term}, float32" for term in ("machine", "attribute", "flow", "gradient")} <= names
    assert said["holds"] and not said["skipped"] and "all holds" in printed and "DOES NOT" not in printed
    assert [row["name"] for row in said["sections"]["ceilings"]] == ["bfloat16 product", "copy"]


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_a_number_that_is_not_the_cpus_fails_the_check(small, tmp_path, monkeypatch, capsys, wrong):
    real = parity.nearest_distances
    monkeypatch.setattr(parity, "nearest_distances", lambda *a: real(*a) * (1 + wrong * (a[3] != "cpu")))
    monkeypatch.setattr(parity, "checks", lambda device, _: parity.neighbours(device))
    assert command.main(["--device", "cpu", "--only", "parity", "--out", str(tmp_path / "check.json")]) == 1
    assert "DOES NOT HOLD" in capsys.readouterr().out


def test_a_section_that_fails_or_comes_too_late_is_left_out_and_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.rates, "ceilings", lambda *_: 1 / 0)
    given = ["--device", "cpu", "--out", str(tmp_path / "check.json"), "--only"]
    assert command.main([*given, "ceilings"]) == 0
    assert "left out: ceilings: ZeroDivisionError: division by zero" in capsys.readouterr().out
    assert command.main([*given, "parity", "--seconds", "5"]) == 1
    assert "left out: parity: 5 s were left" in capsys.readouterr().out


def test_without_a_card_the_check_says_how_to_rehearse(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command.main(["--out", str(tmp_path / "check.json")]) == 2
    assert "--device cpu --quick" in capsys.readouterr().err


IMPORTED = """
import importlib.metadata, sys
import torch
import workflow.gpu_check.__main__, lib.demo.data
from workflow.gpu_check.made import QUICK, Made, noise, settings_of
Made("OE", settings_of(QUICK), noise(12), torch.device("cpu")).step()
names = importlib.metadata.packages_distributions()
found = {name for module in set(sys.modules) for name in names.get(module, [])}
print(*sorted(found))
"""


@pytest.mark.long
def test_the_list_of_packages_holds_what_the_check_imports():
    """But for torch and what timm and torch bring with them; each one is locked to a version."""
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, env=environment, check=True)
    listed = set((PROJECT / "workflow" / "gpu_check" / "packages.txt").read_text().split())
    brought = {
        "torch",
        "torchvision",
        "oe-flow-asd",
        "setuptools",
        "sympy",
        "mpmath",
        "filelock",
        "pillow",
        "cloudpickle",
    }
    brought |= {"huggingface_hub", "anyio", "h11", "httpcore2", "httpx2", "idna", "truststore", "charset-normalizer"}
    brought |= {"defusedxml"}
    assert not set(done.stdout.split()) - listed - brought
    locked = {line.split("==")[0].lower() for line in (PROJECT / "requirements.lock").read_text().splitlines()}
    assert {name.lower().replace("_", "-") for name in listed} <= {name.replace("_", "-") for name in locked}


@pytest.mark.long
def test_the_whole_rehearsal_by_its_script(tmp_path):
    out = tmp_path / "check.json"
    arguments = ["--device", "cpu", "--quick", "--out", str(out)]
    script = ["bash", str(PROJECT / "workflow" / "gpu_check.sh"), *arguments]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(script, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(out.read_text())
    assert said["holds"] and not said["skipped"] and list(said["sections"]) == list(command.SECTIONS)
    assert any(row["name"].startswith("paper training, OE-Flow") for row in said["sections"]["OE-Flow"])
