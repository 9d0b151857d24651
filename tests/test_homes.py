"""Libraries get places to write where the user's own cannot be written, and only there."""

import getpass
import os
import pathlib
import pwd
import subprocess
import sys
import tempfile

import pytest
from makers import at_most

from lib import homes
from lib.paths import PROJECT

NOWHERE = "/proc/nowhere"  # not even root can write there


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_usual_home_stays_as_it_is(tmp_path, temporary):
    environment = {"HOME": str(tmp_path), "MPLCONFIGDIR": str(tmp_path / "matplotlib"), "USER": "me"}
    assert homes.settle(environment) == {} and len(environment) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["t"] and not list(temporary.iterdir())


def test_a_home_that_cannot_be_written(temporary):
    environment = {"HOME": NOWHERE, "NUMBA_CACHE_DIR": NOWHERE, "TMPDIR": NOWHERE}
    made = homes.settle(environment)
    assert environment == {"HOME": NOWHERE} | made and environment["TMPDIR"] == str(temporary)
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "JUPYTER_RUNTIME_DIR"):
        assert homes.can_write(made[name]) and os.stat(made[name]).st_mode & 0o777 == 0o700
        assert os.path.commonpath([made[name], temporary]) == str(temporary)
    assert homes.settle({"HOME": NOWHERE}).items() <= made.items()  # the next process finds what this one left


def test_a_module_is_run_with_places_to_write(temporary):
    command = [sys.executable, "-m", "lib.homes", "site", "--user-base"]
    environment = {"PYTHONPATH": str(PROJECT), "HOME": NOWHERE, "TMPDIR": str(temporary), "PYTHONUSERBASE": "/user"}
    assert subprocess.run(command, env=environment, capture_output=True, text=True).stdout == "/user\n"
    assert (temporary / f"asd-{os.getuid()}" / "jupyter_runtime_dir").is_dir()


def test_a_disk_that_is_full(tmp_path):
    assert homes.can_write(tmp_path)
    with at_most(0):
        assert not homes.can_write(tmp_path)


def test_a_folder_behind_a_closed_door(monkeypatch):
    """Path.exists raises where the folder above may not be entered."""

    def closed(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "stat", closed)
    assert not homes.can_write(NOWHERE)


def test_only_what_cannot_be_written_moves(tmp_path, temporary):
    assert set(homes.settle({"HOME": str(tmp_path), "MPLCONFIGDIR": NOWHERE})) == {"MPLCONFIGDIR"}


def test_a_user_that_the_system_does_not_know(temporary, monkeypatch):
    """A container started with --user 12345: no entry in passwd, no HOME, no name."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    homes.settle()
    assert getpass.getuser() == f"user{os.getuid()}" and homes.can_write(os.path.expanduser("~"))
    assert os.path.isabs(os.environ["HOME"])


def test_a_folder_that_somebody_else_has_put_there_is_not_used(temporary):
    trap = temporary / f"asd-{os.getuid()}"
    trap.symlink_to(temporary.parent, target_is_directory=True)
    made = homes.settle({"HOME": NOWHERE, "USER": "me"})
    assert all(not path.startswith(str(trap) + os.sep) for path in made.values())
    assert {path.name for path in temporary.parent.iterdir()} == {"t"}
    trap.unlink()
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)  # everybody may put files there
    made = homes.settle({"HOME": NOWHERE, "USER": "me"})
    assert all(not path.startswith(str(trap) + os.sep) for path in made.values())
