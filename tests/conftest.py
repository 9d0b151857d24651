"""Fixtures: a small data root of noise, and the real clips where ASD_DATA names them."""

import fcntl
import gc
import os
import signal
import sys
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before numpy and torch are imported
sys.modules.setdefault("rfc3987_syntax", None)  # as in lib/run.py
for ignored, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(ignored) is signal.SIG_IGN:  # in a shell's background, under nohup: what tests start would, too
        signal.signal(ignored, default)

import pytest  # noqa: E402
from makers import batch, write_noise  # noqa: E402


def pytest_collection_modifyitems(items):
    """Tests of the one run come first: a process of pytest-xdist makes it while the others do what needs none."""
    items.sort(key=lambda item: "smoke" not in getattr(item, "fixturenames", ()))


def pytest_collection_finish():
    """What has been imported and collected stays, and no search for garbage need look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def root(tmp_path):
    """Two machines of 1 s clips: fan (8 source, 3 target, 4 test clips a domain and label × 1) and pump (4 source)."""
    data = tmp_path / "data"
    fan, number = data / "dev_data" / "raw" / "fan", 0
    for domain, count, value in (("source", 8, "W"), ("target", 3, "X")):
        for _ in range(count):
            name = f"section_00_{domain}_train_normal_{number:04d}_m-n_{value}.wav"
            write_noise(fan / "train" / name, seed=number)
            number += 1
    for domain in ("source", "target"):
        for label in ("normal", "anomaly"):
            write_noise(fan / "test" / f"section_00_{domain}_test_{label}_{number:04d}_m-n_Z.wav", seed=number)
            number += 1
    for i in range(4):
        name = f"section_00_source_train_normal_{i:04d}_noAttribute.wav"
        write_noise(data / "eval_data" / "raw" / "pump" / "train" / name, seed=100 + i)
    return data


@pytest.fixture
def run(tmp_path):
    from lib.paths import Run

    return Run(tmp_path / "outputs" / "test")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The one run of the graph that `make test` has: (its folder, what it printed). Tests leave it as it is.

    One machine, gearbox is heard as the other one; two systems that have each loss and detector, an ensemble of them,
    and what goes beyond the paper.
    `make test-all` runs them all. pytest-xdist's processes share the run: the first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke run"
    folder.mkdir(exist_ok=True)
    preset, said = folder / "few.yaml", folder / "printed.txt"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            preset.write_text("base: smoke\nsystems: [OE-DFlow, SerialOE-DFlow]\n")
            status, printed = batch("--preset", preset, "--run", folder / "smoke", "--machines", "fan")
            said.write_text(f"{status}\n{printed}")
    status, _, printed = said.read_text().partition("\n")
    assert status == "0", printed
    return folder / "smoke", printed


@pytest.fixture(scope="session")
def real_root():
    """The real recordings; tests that want them are skipped without ASD_DATA."""
    folder = os.environ.get("ASD_DATA")
    if not folder:
        pytest.skip("ASD_DATA names no folder with real recordings")
    return Path(folder)


@pytest.fixture
def zenodo(monkeypatch):
    """A server with fan of the development set, and ToyTank of both records of the evaluation set."""
    from zenodo_server import Zenodo, clips, zipped

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    dev, train, test = 7882613, 7830345, 7860847
    toy = zipped(clips("ToyTank", train=4, test=0))
    with Zenodo(
        {
            dev: {"dev_fan.zip": zipped(clips("fan")), "readme.zip": zipped({"x": b"x"})},
            train: {"eval_data_ToyTank_train.zip": toy},
            test: {"eval_data_ToyTank_test.zip": zipped(clips("ToyTank", train=0, test=3, labelled=False))},
        }
    ) as server:
        yield server
