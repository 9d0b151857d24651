"""A fork of the warm process is what a process of its own would be: files, folder, environment, signals, end."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lib import paths, warm

FEW = (sys.executable, "-c", "from lib import warm; warm.LIBRARIES = ('colorsys', 'not.there'); warm.main()")
TELLS = """
import json, os, sys
here = {"pid": os.getpid(), "parent": os.getppid(), "folder": os.getcwd(), "arguments": sys.argv, "name": __name__}
here |= {"lib": sorted(name for name in sys.modules if name.split(".")[0] == "lib"), "warm": "colorsys" in sys.modules}
print(json.dumps(here | {"wish": os.environ.get("WISH"), "session": os.getsid(0)}), flush=True)
print(sys.stdin.read(), file=sys.stderr)
sys.exit(int(os.environ.get("STATUS", 0)))
"""
WAITS = """
import os, pathlib, signal, sys, time
def heard(number, _):
    print(number, flush=True)
signal.signal(signal.SIGHUP, heard)
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Starts `python -m lib.warm MODULE …`, the modules `tells` and `waits` in a folder of this test."""
    (tmp_path / "tells.py").write_text(TELLS)
    (tmp_path / "waits.py").write_text(WAITS)
    monkeypatch.setenv("PYTHONPATH", f"{paths.PROJECT}{os.pathsep}{tmp_path}")
    monkeypatch.syspath_prepend(str(paths.PROJECT))

    def started(module, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "-m", "lib.warm", module, *arguments], cwd=tmp_path, env=os.environ | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return started


def server_of(pid):
    return next(child for child in psutil.Process(pid).children() if "--serve=" in " ".join(child.cmdline()))


def gone(pid, seconds=10):
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "it lives on"
        time.sleep(0.05)
    return True


def test_a_module_runs_as_by_itself_but_with_the_imports_done(call, tmp_path):
    with warm.process(FEW) as environment:
        server = server_of(os.getpid())
        told = []
        for name in ("one", "two"):
            process = call("tells", name, "-f", WISH=name, STATUS="3", **environment)
            out, errors = process.communicate(f"heard {name}", timeout=60)
            here = json.loads(out)
            assert process.returncode == 3 and errors.strip() == f"heard {name}"
            assert here["warm"] and here["folder"] == str(tmp_path) and here["wish"] == name
            assert here["name"] == "__main__" and here["arguments"][1:] == [name, "-f"]
            assert here["parent"] == server.pid and here["session"] == here["pid"] != process.pid
            assert here["lib"] == ["lib", "lib.homes", "lib.warm"]  # the code of notebooks is read when it is run
            told.append(here["pid"])
        assert len(set(told)) == 2
    assert gone(server.pid)


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_without_a_warm_process_it_runs_here(call, place):
    process = call("tells", "one", STATUS="4", **{warm.SOCKET: place})
    out, _ = process.communicate("", timeout=60)
    assert process.returncode == 4 and json.loads(out)["pid"] == process.pid and not json.loads(out)["warm"]


def test_where_it_cannot_fork_the_module_runs_by_itself(call):
    code = (
        "from lib import warm\nwarm.LIBRARIES = ()\nwarm.os.fork = lambda: (_ for _ in ()).throw(OSError(11, 'full'))\n"
    )
    with warm.process((sys.executable, "-c", code + "warm.main()")) as environment:
        for _ in range(2):
            process = call("tells", **environment)
            assert json.loads(process.communicate("", timeout=60)[0])["pid"] == process.pid


def test_it_ends_as_its_fork_ends(call):
    with warm.process(FEW) as environment:
        process = call("waits", **environment)
        os.kill(int(process.stdout.readline()), signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        process = call("no_such_module", **environment)
        assert process.wait(30) == 1 and "No module named no_such_module" in process.stderr.read()


def test_signals_go_on_to_the_fork_and_a_lost_process_ends_it(call):
    with warm.process(FEW) as environment:
        process = call("waits", **environment)
        fork = int(process.stdout.readline())
        process.send_signal(signal.SIGHUP)
        assert int(process.stdout.readline()) == signal.SIGHUP
        process.terminate()
        assert process.wait(30) == -signal.SIGTERM and gone(fork)
        process = call("waits", "stubborn", **environment)
        fork = int(process.stdout.readline())
        process.kill()
        assert gone(fork)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_forks_end_with_the_warm_process(call, number):
    with warm.process(FEW) as environment:
        process = call("waits", **environment)
        fork, server = int(process.stdout.readline()), server_of(os.getpid())
        server.send_signal(number)
        assert gone(fork) and process.wait(30) == 1
        assert "the process that it was forked from has ended" in process.stderr.read()
        late = call("tells", **environment)  # and what comes then runs by itself
        assert json.loads(late.communicate("", timeout=60)[0])["pid"] == late.pid


def test_the_warm_process_ends_with_what_started_it(tmp_path, call):
    code = f"from lib import warm\nimport os, time\nwith warm.process({FEW!r}):\n    print(1, flush=True)\n    time.sleep(60)"
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    run.stdout.readline()
    server = server_of(run.pid)
    run.kill()  # before it listens, too
    assert gone(server.pid)
    run.wait()


@pytest.mark.long
def test_all_libraries_are_imported_and_start_no_thread():
    code = (
        "from lib import warm\nwarm.warm_up()\nimport sys\nprint([n for n in warm.LIBRARIES if n not in sys.modules])\n"
    )
    code += "print(open('/proc/self/status').read().partition('Threads:')[2].split()[0])"
    environment = os.environ | warm.ENVIRONMENT | {"PYTHONPATH": str(paths.PROJECT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "1"]
