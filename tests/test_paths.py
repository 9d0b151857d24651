"""Files are written whole, with the user's modes, and a failed write names the file, the cause and the mend."""

import errno
import os
from pathlib import Path

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from makers import at_most

from lib import paths

NOISE = np.random.default_rng(0).standard_normal(50_000)


def picture(path):
    figure = matplotlib.figure.Figure()
    figure.subplots().imshow(NOISE.reshape(200, -1))
    figure.savefig(path, dpi=300)


WRITERS = {  # what lib writes by `whole_file`
    "a.csv": lambda path: path.write_text(str(NOISE.tolist())),
    "a.npz": lambda path: np.savez(path, noise=NOISE),
    "a.parquet": lambda path: pd.DataFrame({"noise": NOISE}).to_parquet(path),
    "a.png": picture,
    "a.safetensors": lambda path: safetensors.torch.save_file({"noise": torch.from_numpy(NOISE)}, path),
    "a.pt": lambda path: torch.save({"noise": torch.from_numpy(NOISE)}, path),
}


@pytest.fixture(params=WRITERS)
def written(request, tmp_path):
    """(path, function that writes it)."""
    return tmp_path / request.param, WRITERS[request.param]


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    paths.write_text(path, "old")
    for stop in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(stop), paths.whole_file(path) as temporary:
            temporary.write_text("half")
            raise stop
        assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["table.csv"]


@pytest.mark.parametrize(("mask", "mode"), [(0o027, 0o640), (0o002, 0o664)])
def test_modes_are_the_umask_of_the_user_whoever_writes(written, mask, mode):
    path, write = written
    usual = os.umask(mask)
    try:
        with paths.whole_file(path, sync=False) as temporary:
            write(temporary)
    finally:
        os.umask(usual)
    assert path.stat().st_mode & 0o777 == mode


def test_a_write_that_fails_leaves_nothing_and_names_file_cause_and_mend(written):
    path, write = written
    with pytest.raises(OSError, match="cannot write") as failed, at_most(100_000), paths.whole_file(path) as temporary:
        write(temporary)
    message = str(failed.value)
    assert "\n" not in message and str(path) in message and not list(path.parent.iterdir())
    assert (
        "free space" if path.suffix == ".pt" else "raise the limit of file sizes"
    ) in message  # torch hides the cause


@pytest.mark.parametrize(
    ("number", "mend"),
    [
        (errno.ENOSPC, "No space left on device; free space there or choose another run folder (RUN)"),
        (errno.EDQUOT, "your quota is used up: delete files of yours there"),
        (errno.EROFS, "Read-only file system; the disk can only be read: choose another run folder (RUN)"),
        (errno.EACCES, "Permission denied; get the right to write there"),
        (errno.ENOTDIR, "Not a directory; choose another run folder (RUN)"),
    ],
)
def test_each_cause_has_its_mend(tmp_path, number, mend):
    with pytest.raises(OSError) as failed, paths.whole_file(tmp_path / "a.csv"):
        raise OSError(number, os.strerror(number))
    assert mend in str(failed.value) and failed.value.errno == number


def test_other_errors_pass(tmp_path):
    for error in (KeyError("x"), RuntimeError("shapes differ"), FileNotFoundError(2, "No such file", "/elsewhere/b")):
        with pytest.raises(type(error)) as raised, paths.whole_file(tmp_path / "a.csv"):
            raise error
        assert raised.value is error


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x.csv", tmp_path / "file" / "deeper" / "x.csv", Path("/proc/nowhere/x.csv")):
        with pytest.raises(OSError, match=f"cannot write {path}: .*another run folder"):
            paths.write_text(path, "text")


def test_long_names(tmp_path):
    path = tmp_path / ("ä" * 120 + ".csv")  # 244 of the 255 bytes that a name may have
    paths.write_text(path, "text")
    assert path.read_text() == "text"
