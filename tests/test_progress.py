import os

import pytest

from lib import progress
from lib.progress import cores


def test_cores_where_the_system_cannot_tell_which_are_ours(monkeypatch):
    assert cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS, Windows
    assert cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1


@pytest.mark.parametrize(("terminal", "kernel", "told", "shown"), [
    (True, False, "", True), (False, True, "", True), (False, False, "", False), (True, True, "1", False),
])  # fmt: skip
def test_bars_are_for_a_person(monkeypatch, terminal, kernel, told, shown):
    """A terminal and JupyterLab show them; a log file and a batch run do not."""
    monkeypatch.setenv("TQDM_DISABLE", told)
    monkeypatch.setattr(progress.sys, "stderr", type("Stream", (), {"isatty": lambda _: terminal})())
    monkeypatch.setattr(progress.sys, "modules", {"ipykernel": None} if kernel else {})
    given = []
    monkeypatch.setattr(progress, "tqdm", lambda iterable, _, **options: given.append(options["disable"]) or iterable)
    assert list(progress.progress([1, 2], "epochs")) == [1, 2] and given == [not shown]
