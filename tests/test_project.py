"""What a newcomer relies on: one list of dependencies, a lock that holds it, a README whose paths exist."""

import re
import tomllib

import pytest
import torch
import yaml

from lib.paths import PROJECT

AUDIO = (".wav", ".flac")


def test_environment_file_is_pyprojects_list():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())["dependencies"]
    assert environment[-1]["pip"] == project


def locked(file):
    """{name: version} of a lock, by public version each."""
    lines = [line for line in (PROJECT / file).read_text().splitlines() if not line.startswith("#")]
    assert not any("+" in line or "@" in line for line in lines)
    return {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}


def test_locks_hold_every_dependency_by_public_version():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras, lock, cluster = (
        project["optional-dependencies"],
        locked("requirements.lock"),
        locked("requirements-cluster.lock"),
    )
    for wanted, there in ((project["dependencies"] + extras["dev"], lock), (extras["cluster"], cluster)):
        assert {re.split("[><=]", name)[0].lower() for name in wanted} <= set(there)
    assert lock["torch"] == "2.13.0" and not set(lock) & set(cluster)


def test_readme_names_files_that_exist():
    text = (PROJECT / "README.md").read_text()
    named = set(re.findall(r"(?:lib|notebooks|workflow|docs|tests)/[\w./-]+\.\w+", text))
    assert len(named) > 5 and not [path for path in named if not (PROJECT / path).exists()]


def test_the_only_audio_that_is_kept_is_of_synthetic_machines():
    found = [path for path in PROJECT.glob("docs/**/*") if path.suffix in AUDIO]
    report = PROJECT / "docs" / "report"
    assert found and all(report in path.parents for path in found)
    assert "The recordings are synthetic" in (report / "index.html").read_text(encoding="utf-8")
    ignored = (PROJECT / ".gitignore").read_text().splitlines()
    assert {f"*{suffix}" for suffix in AUDIO} <= set(ignored)
    assert [line for line in ignored if line.startswith("!") and line.endswith(AUDIO)] == ["!docs/report/**/*.flac"]


def test_torchvision_imports_with_a_cpu_torch():
    from lib.network.torchvision_pair import SCHEMAS, import_torchvision, timm

    assert import_torchvision() is None  # the second time there is nothing left to mend
    assert timm.create_model("resnet18", num_classes=0) is not None
    for schema in SCHEMAS:
        assert hasattr(torch.ops.torchvision, schema.split("(")[0])


@pytest.mark.parametrize("message", ["operator torchvision::nms does not exist", "something else"])
def test_torchvision_is_mended_only_when_it_is_that(message, monkeypatch):
    import builtins

    from lib.network import torchvision_pair

    real, attempts, declared = builtins.__import__, [], []

    def failing(name, *rest):
        if name == "torchvision":
            attempts.append(name)
            if len(attempts) == 1:
                raise RuntimeError(message)
        return real(name, *rest)

    class Library:
        def __init__(self, *_):
            pass

        def define(self, schema):
            declared.append(schema)

    monkeypatch.setattr(builtins, "__import__", failing)
    monkeypatch.setattr(torch.library, "Library", Library)
    if "nms" in message:
        torchvision_pair.import_torchvision()
        assert declared == list(torchvision_pair.SCHEMAS) and len(attempts) == 2
    else:
        with pytest.raises(RuntimeError, match="something else"):
            torchvision_pair.import_torchvision()
