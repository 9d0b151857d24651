"""`make` sets up an environment of its own and leaves those of others alone; what it cannot do it says in one line."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from lib.paths import PROJECT

SPEC = importlib.util.spec_from_file_location("set_up", PROJECT / "workflow" / "set_up.py")
set_up = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(set_up)


@pytest.fixture
def clone(tmp_path):
    """A copy of what make reads, in a folder whose name has a blank."""
    folder = tmp_path / "a clone"
    (folder / "workflow").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements-cluster.lock", "pyproject.toml", "workflow/set_up.py"):
        shutil.copy(PROJECT / name, folder / name)
    return folder


def make(clone, *arguments, **environment):
    """(exit status, what make printed but its own last line)."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", *arguments], cwd=clone, env=given | environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, [line for line in (done.stdout + done.stderr).splitlines() if "make: ***" not in line]


def python(folder, version, script="exit 0"):
    """A program that says it is this version of Python, and does `script` when it is asked for anything else."""
    path = folder / f"python{version}"
    path.write_text(
        f'#!/bin/sh\ncase "$2" in *version_info*) exec {sys.executable} -c "import sys; sys.version_info = '
        f'({version.replace(".", ", ")}, 0); $2";; esac\n{script}\n'
    )
    path.chmod(0o755)
    return path


def ready(clone):
    """An environment that is ready, whose programs print what they are asked for."""
    (clone / ".venv" / "bin").mkdir(parents=True)
    program = clone / ".venv" / "bin" / "python"
    program.write_text('#!/bin/sh\necho "$PYTHONPATH | $PYTHONHOME$JUPYTER_PREFER_ENV_PATH | $@"\n')
    program.chmod(0o755)
    (clone / ".venv" / "ready").touch()


@pytest.mark.parametrize(
    ("version", "message"),
    [("3.10", "Python 3.11 to 3.13 is needed, this is 3.10"), ("3.14", "Python 3.11 to 3.13 is needed, this is 3.14")],
)
def test_a_python_too_old_or_too_new(clone, version, message):
    status, printed = make(clone, ".venv/ready", f"PYTHON={python(clone, version)}")
    assert status and len(printed) == 1 and message in printed[0] and not (clone / ".venv").exists()


def test_no_python(clone):
    status, printed = make(clone, ".venv/ready", "PYTHON=python3.99")
    assert status and printed == ["there is no python3.99: install Python 3.11 to 3.13, or make PYTHON=<where one is>"]


@pytest.mark.parametrize("kind", ["a link", "of an editor", "a file", "of conda"])
def test_an_environment_of_others_is_left_alone(clone, tmp_path, kind):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "notes.txt").write_text("precious")
    left = ["notes.txt"]
    if kind == "a link":
        (shared / set_up.MADE).touch()  # by the make of another clone, which goes on using it
        left.append(set_up.MADE)
        (clone / ".venv").symlink_to(shared)
    elif kind == "a file":
        (clone / ".venv").write_text("precious")
    else:
        shutil.copytree(shared, clone / ".venv")
    status, printed = make(clone, ".venv/ready", f"PYTHON={sys.executable}")
    assert status and len(printed) == 1 and printed[0].startswith(".venv is ")
    assert printed[0].endswith("choose another name, make VENV=.venv-asd")
    kept = clone / ".venv" if kind == "a file" else clone / ".venv" / "notes.txt"
    assert kept.read_text() == "precious" and {path.name for path in shared.iterdir()} == set(left)


def test_what_make_has_begun_it_makes_anew(clone, monkeypatch, capsys):
    """A set-up that was cut off is emptied and filled again; a link in it goes, what it leads to stays."""
    monkeypatch.chdir(clone)
    place = clone / ".venv"

    def cut_off(command, check):
        (place / "half").mkdir()
        (place / "to").symlink_to(clone / "workflow")
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(set_up.subprocess, "run", cut_off)
    assert set_up.main(".venv") == 1 and not (place / "ready").exists()
    assert capsys.readouterr().err.startswith(".venv is not ready, make begins anew the next time: Command 'pip'")
    asked = []
    monkeypatch.setattr(set_up.subprocess, "run", lambda command, check: asked.append(command))
    assert set_up.main(".venv") == 0 and {path.name for path in place.iterdir()} == {set_up.MADE, "ready"}
    assert [command[2] for command in asked] == ["venv", "pip", "pip"] and (clone / "workflow" / "set_up.py").exists()
    (place / set_up.MADE).unlink()  # as an older Makefile left it
    assert set_up.refusal(place) == ""


def test_a_python_without_the_means(clone, monkeypatch):
    monkeypatch.setattr(set_up.importlib.util, "find_spec", lambda name: None)
    assert "apt install python3-venv" in set_up.refusal(clone / ".venv")


def test_a_clone_whose_path_has_a_blank_and_the_environment_of_the_user(clone):
    ready(clone)
    status, printed = make(clone, "demo", PYTHONPATH="/of/the/user", PYTHONHOME="/nowhere")
    assert status == 0 and printed[-1] == f"{clone} | 1 | -m lib.batch --preset demo"


def test_data_is_told_what_to_get(clone):
    ready(clone)
    status, printed = make(clone, "data", "DATA=real data", "MACHINES=fan ToyCar", "SETS=dev")
    assert status == 0 and printed[-1].endswith("-m lib.data real data --machines=fan ToyCar --sets=dev --zips=")


def test_a_cluster_gets_what_it_needs_once_and_its_name_is_passed_on(clone):
    ready(clone)
    for times in (1, 0):
        status, printed = make(clone, "run", "DATA=d", "PROFILE=my cluster")
        assert status == 0 and printed[-1].endswith("--run=quick --profile=my cluster")
        installed = [line for line in printed if line.endswith("--requirement requirements-cluster.lock")]
        assert len(installed) == times
    status, printed = make(clone, "run", "DATA=d")
    assert status == 0 and printed[-1].endswith("--run=quick")


def test_lab_takes_options_and_root_has_a_way(clone):
    ready(clone)
    status, printed = make(clone, "lab", "LAB=--port=9999 --ip=0.0.0.0")
    assert status == 0 and printed[-1].endswith("--port=9999 --ip=0.0.0.0")
    as_root = [line for line in printed if line.startswith("you are root")]
    assert bool(as_root) == (os.getuid() == 0) == ("--allow-root --ip=127.0.0.1 --port" in printed[-1])


def test_recipes_ask_for_nothing_that_macos_lacks():
    text = (PROJECT / "Makefile").read_text()
    for missing in ("nproc", "readlink", "realpath", "timeout ", "sed -i", "&:", ".ONESHELL", "$(file"):
        assert missing not in text
