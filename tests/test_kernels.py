"""A kernel is the interpreter that runs the notebook, its sockets are private, and its death is told."""

import json
import stat
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
import pytest
from makers import write_notebook

from lib import homes, kernels

WHERE = """
import json, os, stat, sys
from ipykernel.connect import get_connection_file
folder = os.path.dirname(get_connection_file())
print(json.dumps([sys.executable, json.load(open(get_connection_file())), folder, os.stat(folder).st_mode]))
"""
DIES = """
import os, pathlib, sys
starts = pathlib.Path({starts!r})
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if len(starts.read_text()) <= {deaths}:
    sys.exit("zmq.error.ZMQError: Address already in use")
os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *sys.argv[1:]])
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder of this test alone."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def book(tmp_path):
    """Writes a notebook, its parameter `seed`; returns it and where its executed copy goes. Braces are no wildcards."""
    return lambda source: (
        write_notebook(tmp_path / "book {one}.ipynb", "seed = 0", source),
        tmp_path / "out {two}.ipynb",
    )


def printed(executed):
    outputs = [o for cell in nbformat.read(executed, as_version=4).cells for o in cell.get("outputs", [])]
    return "".join(output["text"] for output in outputs if output["output_type"] == "stream")


def dying(monkeypatch, tmp_path, deaths):
    """Kernels that die at their first `deaths` starts; returns the file that counts the starts."""
    code = DIES.format(starts=str(tmp_path / "starts"), deaths=deaths)
    monkeypatch.setattr(kernels, "COMMAND", [sys.executable, "-c", code, "-f", "{connection_file}"])
    return tmp_path / "starts"


def test_this_interpreter_over_private_sockets_whatever_the_home_says(book, temporary, tmp_path, monkeypatch):
    """A kernelspec `python3`, an IPython profile, a start-up file and a backend of the user's: none of them counts."""
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    startup = tmp_path / "ipython" / "profile_default" / "startup" / "00.py"
    for path in (spec, startup):
        path.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "P", "language": "python"})
    )
    startup.write_text("import builtins; builtins.started = True")
    for name, value in {
        "JUPYTER_PATH": tmp_path / "jupyter",
        "JUPYTER_DATA_DIR": tmp_path / "jupyter",
        "IPYTHONDIR": tmp_path / "ipython",
        "PYTHONSTARTUP": startup,
        "MPLBACKEND": "TkAgg",
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "elsewhere",
    }.items():
        monkeypatch.setenv(name, str(value))
    notebook, executed = book(
        WHERE + "import builtins, matplotlib; print(matplotlib.get_backend(), hasattr(builtins, 'started'))"
    )
    kernels.execute(notebook, executed, {"seed": 1})
    lines = printed(executed).splitlines()
    interpreter, connection, folder, mode = json.loads(lines[0])
    assert interpreter == sys.executable and len(lines) == 2 and "inline False" in lines[1].replace("'", "")
    assert connection["transport"] == "ipc" and Path(connection["ip"]).parent == Path(folder)
    assert Path(folder).parent == temporary and mode & 0o777 == 0o700
    assert not list(temporary.iterdir())


def test_a_kernel_that_dies_at_its_start_is_started_again_also_over_tcp(book, temporary, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(homes, "takes_sockets", lambda folder: False)
    starts = dying(monkeypatch, tmp_path, deaths=1)
    notebook, executed = book(WHERE)
    kernels.execute(notebook, executed, {"seed": 1})
    assert json.loads(printed(executed))[1]["transport"] == "tcp" and starts.read_text() == "xx"
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "Address already in use; started again" in told


@pytest.mark.long
def test_and_at_most_twice(book, temporary, tmp_path, monkeypatch, capsys):
    starts = dying(monkeypatch, tmp_path, deaths=9)
    with pytest.raises(kernels.KernelDied) as died:
        kernels.execute(*book(WHERE), {"seed": 1})
    assert starts.read_text() == "xxx" and capsys.readouterr().err.count("started again") == 2
    assert sys.executable in str(died.value) and "exit status 1: zmq.error.ZMQError" in str(died.value)
    assert not list(temporary.iterdir())


def test_a_kernel_that_is_killed_says_so(book, temporary):
    notebook, executed = book("import os, signal\nprint('before', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(kernels.KernelDied, match=f"{sys.executable} was ended by SIGKILL: most often memory ran out"):
        kernels.execute(notebook, executed, {"seed": 1})
    assert executed.exists() and not list(temporary.iterdir())


def test_where_sockets_have_no_place_it_is_tcp(tmp_path, monkeypatch):
    with homes.private_folder() as (folder, transport):
        assert transport == "ipc" and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    deep = tmp_path / ("deep" * 30)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with homes.private_folder() as (folder, transport):
        assert transport == "tcp"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="name one that can be written by TMPDIR"), homes.private_folder():
        pass


def _one(notebook, folder, number):
    kernels.execute(notebook, folder / f"{number}.ipynb", {"seed": number})


@pytest.mark.long
def test_three_hundred_kernels_eight_at_a_time(book, tmp_path):
    notebook, _ = book("print(seed)")
    begin = time.perf_counter()
    with ProcessPoolExecutor(8) as pool:
        list(pool.map(_one, [notebook] * 300, [tmp_path] * 300, range(300)))
    print(f"300 kernels in {time.perf_counter() - begin:.0f} s")
    assert [printed(tmp_path / f"{i}.ipynb") for i in range(300)] == [f"{i}\n" for i in range(300)]
