"""The clock of a step: its cells in the kernel, its job around them, and a file that spoils nothing."""

import os
from types import SimpleNamespace

import pytest
from test_clock import Hand

from lib import clock, job, step_clock
from lib.clock import Clock, Seconds
from lib.paths import Run


@pytest.fixture
def hand(monkeypatch):
    hand = Hand()
    monkeypatch.setattr(clock, "CLOCK", Clock(hand))
    return hand


class Shell:
    """An IPython shell's events: a cell is a function, as its source says."""

    def __init__(self):
        self.called = {}
        self.events = SimpleNamespace(register=lambda event, does: self.called.setdefault(event, []).append(does))

    def trigger(self, event, *given):
        for does in self.called.get(event, ()):
            does(*given)

    def run(self, source, does, flush=lambda: None):
        self.trigger("pre_run_cell", SimpleNamespace(raw_cell=source))
        try:
            does()
        except Exception:
            pass
        finally:
            self.trigger("post_execute")
            flush()
            self.trigger("post_run_cell", None)


@pytest.fixture
def kernel(hand, tmp_path, monkeypatch):
    """(shell, file) of a kernel whose step keeps a clock."""
    path, shell = tmp_path / "notebooks" / "x.clock.json", Shell()
    monkeypatch.setenv(step_clock.FILE, str(path))
    step_clock.load_ipython_extension(shell)
    return shell, path


def kinds(path):
    return {kind: tuple(seconds) for kind, seconds in step_clock.read(path)["kinds"].items()}


def test_cells_are_imports_or_what_their_functions_are(kernel, hand):
    shell, path = kernel

    @clock.counts("training")
    def train():
        hand.move(8, 16)

    def story():
        hand.move(1, 1)
        train()

    hand.move(5, 2)
    shell.run("import os\nfrom lib import paths", lambda: hand.move(3, 3))
    assert kinds(path) == {"start-up": (5, 2.5), "imports": (3, 3), "figures": (0, 0)}
    hand.move(1)
    shell.run("import os\ntrain()", story, flush=lambda: hand.move(2, 2))
    assert kinds(path) == {
        "start-up": (6, 2.5), "imports": (3, 3), "training": (8, 16), "figures": (2, 2), "other": (1, 1),
    }  # fmt: skip


def test_a_cell_that_fails_and_one_that_is_no_python_are_counted(kernel, hand):
    shell, path = kernel

    @clock.counts("training")
    def breaks():
        hand.move(2, 2)
        raise ValueError

    shell.run("%matplotlib inline", lambda: hand.move(1, 1))
    shell.run("breaks()", breaks)
    shell.trigger("post_execute")  # of what is executed in silence
    hand.move(4, 4)
    shell.run("", lambda: None)
    assert kinds(path) == {
        "start-up": (4, 4.5), "training": (2, 2), "figures": (0, 0), "other": (1, 1),
    }  # fmt: skip


def test_without_a_run_nothing_is_registered(monkeypatch):
    monkeypatch.delenv(step_clock.FILE, raising=False)
    step_clock.load_ipython_extension(shell := Shell())
    assert shell.called == {}


def test_a_job_adds_what_is_around_the_cells(kernel, hand, tmp_path):
    """The kernel's wall time is the job's, too; its CPU is not."""
    shell, path = kernel
    hand.move(1, 0.5)
    with pytest.raises(ValueError, match="odd"), step_clock.of_step(path, "7"):
        assert os.environ[step_clock.FILE] == str(path) and step_clock.read(path) == {"call": "7", "kinds": {}}
        job_clock, clock.CLOCK = clock.CLOCK, Clock(hand)
        hand.move(2, 1)
        shell.run("x = 1", lambda: hand.move(6, 5))
        clock.CLOCK = job_clock
        assert step_clock.read(path)["call"] == "7", "also when the job is killed now"
        raise ValueError("odd")
    assert step_clock.read(path)["call"] == "7" and step_clock.FILE not in os.environ
    assert kinds(path) == {"start-up": (3, 7 + 2), "figures": (0, 0), "other": (6, 5)}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"kinds": []}', '{"kinds": {"training": 3}}', '{"kinds": {"training": [1]}}', "\udcff",
     '{"kinds": {"training": [1, NaN]}}', '{"kinds": {"training": [-1, 2]}}', '{"kinds": {"other": ["x", 2]}}', "null", 9999 * "[", '{"kinds": {"other": [1, 1' + 400 * "0" + "]}}"],
)  # fmt: skip
def test_a_damaged_file_says_nothing(content, tmp_path):
    path = tmp_path / "x.clock.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert step_clock.read(path) is None and step_clock.read(tmp_path / "missing") is None


def test_a_disk_that_takes_no_clock_stops_nothing(tmp_path, hand):
    """The folder is a file here: neither job nor kernel fails, and nothing is left."""
    (tmp_path / "notebooks").write_text("")
    path = tmp_path / "notebooks" / "x.clock.json"
    with step_clock.of_step(path, "7"):
        step_clock.Cells(path).ended()
    assert step_clock.read(path) is None and [each.name for each in tmp_path.iterdir()] == ["notebooks"]


def test_a_job_keeps_its_clock_beside_the_executed_copy_also_when_it_fails(tmp_path, hand, monkeypatch):
    run, said = Run(tmp_path / "run {1}"), {"fan": (0, ""), "pump": (1, "ValueError: odd")}
    run.state.mkdir(parents=True)

    def execute(notebook, executed, pairs):
        hand.move(3, 2)
        return said[dict(pair.split("=") for pair in pairs)["machine"]]

    monkeypatch.setattr(job, "_execute", execute)
    monkeypatch.setattr(job.signal, "signal", lambda *_: None)
    monkeypatch.setattr(job, "set_threads", lambda *_: None)
    monkeypatch.delenv(job.locks.TOKEN, raising=False)
    for machine in said:
        pairs = ["preset=smoke", f"run_dir={run.root}", f"machine={machine}", "system=OE", "seed=0"]
        assert job.main(["03_oe_training", *pairs]) == said[machine][0]
    assert run.clocks() == [run.clock("03_oe_training", machine, ("OE", "all", "seed0")) for machine in said]
    assert run.step(run.clocks()[0]) == run.step(run.notebook("03_oe_training", "fan", ("OE", "all", "seed0")))
    assert [step_clock.read(path)["kinds"] for path in run.clocks()] == [
        {"start-up": Seconds(3, 2.5)}, {"start-up": Seconds(6, 4.5)}
    ]  # fmt: skip
