"""Fixtures: a small data root of noise, and the real clips where ASD_DATA names them."""

import os
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # before numpy and torch are imported

import pytest
from makers import batch, write_noise


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of the one smoke run stay in one of pytest-xdist's processes, so that it is one."""
    for item in items:
        if "smoke" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("smoke"))


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
    """The one run of the whole graph, at smoke scale: its folder and what it printed. Tests leave it as it is.

    Every notebook and system of one machine; gearbox is heard as the other one, since a second target doubles the time.
    """
    folder = tmp_path_factory.mktemp("outputs") / "smoke"
    status, printed = batch("--preset", "smoke", "--run", folder, "--machines", "fan")
    assert status == 0, printed
    return folder, printed


@pytest.fixture(scope="session")
def real_root():
    """The real recordings; tests that want them are skipped without ASD_DATA."""
    folder = os.environ.get("ASD_DATA")
    if not folder:
        pytest.skip("ASD_DATA names no folder with real recordings")
    return Path(folder)
