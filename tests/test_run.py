"""One notebook with checked parameters: what is refused, what a failure says, what it leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from makers import at_most, write_notebook

from lib import paths, run

PARAMETERS = 'machine = "fan"\nseed = 0\nrate = 0.5\nflag = True'


@pytest.fixture
def book(tmp_path):
    return lambda *sources: write_notebook(tmp_path / "book.ipynb", PARAMETERS, *sources)


def test_text_becomes_what_the_notebook_declares(book):
    given = {"machine": "1e3", "seed": "7", "rate": "1e-4", "flag": "False"}
    checked = run.check_parameters(book(), given)
    assert checked == {"machine": "1e3", "seed": 7, "rate": 1e-4, "flag": False}
    assert [type(value) for value in checked.values()] == [str, int, float, bool]
    assert run.check_parameters(book(), {"rate": 2, "flag": True}) == {"rate": 2.0, "flag": True}


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({"seed": "1.5"}, "seed='1.5' must be of type int"),
        ({"seed": "1_0"}, "seed='1_0' must be of type int"),
        ({"seed": True}, "seed=True must be of type int"),
        ({"seed": "-1"}, "seed=-1 must not be negative"),
        ({"rate": "nan"}, "rate='nan' must be of type float"),
        ({"rate": "0,5"}, "rate='0,5' must be of type float"),
        ({"flag": "maybe"}, r"flag='maybe' must be of type bool \(true or false\)"),
        ({"flag": 1}, "flag=1 must be of type bool"),
        ({"machine": 3}, "machine=3 must be of type str"),
        ({"machine": ""}, "machine='' must be the name of a folder under the data root"),
        ({"machine": "../fan"}, "machine='../fan' must be the name of a folder"),
    ],
)
def test_wrong_values_are_named(book, pairs, message):
    with pytest.raises(ValueError, match=message):
        run.check_parameters(book(), pairs)


def test_a_parameter_given_twice(book, tmp_path, capsys):
    assert run.main([str(book()), str(tmp_path / "o.ipynb"), "seed=0", "seed=1"]) == 2
    assert capsys.readouterr().err == "seed is given twice: '0' and '1'\n"


def test_a_cell_that_cannot_write_gets_cause_and_mend(book, tmp_path, capsys):
    """The copy and its log are kept, with the modes of the umask."""
    executed = tmp_path / "deep" / "out.ipynb"
    source = "import os, errno\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), 'scores.csv')"
    usual = os.umask(0o027)
    try:
        assert run.main([str(book(source)), str(executed), "seed=3"]) == 1
    finally:
        os.umask(usual)
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "book seed=3: [Errno 28] No space left on device: 'scores.csv'; free space there or choose another run folder (RUN)"
    )
    assert second == f"  executed copy: {executed}"
    assert [p.stat().st_mode & 0o777 for p in (executed, executed.with_suffix(".log"))] == [0o640, 0o640]


def test_an_executed_copy_that_cannot_be_written_is_one_line(book, tmp_path, capsys):
    picture = "from IPython.display import display\ndisplay({'image/png': 'A' * 200_000}, raw=True)"
    executed = tmp_path / "out.ipynb"
    with at_most(100_000):
        assert run.main([str(book("print('first')", picture)), str(executed)]) == 1
    said = capsys.readouterr().err
    assert said == f"book: cannot write {executed}: File too large; raise the limit of file sizes (ulimit -f)\n"
    kept = nbformat.read(executed, as_version=4)  # as it was before that cell
    assert kept.cells[1].outputs[0]["text"] == "first\n"


def test_a_log_whose_disk_is_full_says_so(tmp_path):
    (tmp_path / "out.log").symlink_to("/dev/full")
    log = run._Log(tmp_path / "out.log")
    with pytest.raises(OSError, match=r"cannot write .*out\.log: No space left on device; free space there"):
        log.handle(run.logging.makeLogRecord({"msg": "a line"}))


def test_a_working_folder_that_is_gone(book, tmp_path, monkeypatch, capsys):
    notebook, gone = book("print(seed)"), tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert run.main([str(notebook), "out.ipynb"]) == 2
    assert capsys.readouterr().err == "out.ipynb: the working folder is gone; go into one that is there\n"
    assert run.main([str(notebook), str(tmp_path / "out.ipynb")]) == 0 and (tmp_path / "out.ipynb").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_ends_the_kernel_and_takes_its_folder_away(book, tmp_path, number):
    (tmp_path / "t").mkdir()
    notebook, began = (
        book("import os\nopen('began', 'w').write(str(os.getpid()))\nimport time\ntime.sleep(60)"),
        tmp_path / "began",
    )
    command = [sys.executable, "-m", "lib.run", str(notebook), str(tmp_path / "out.ipynb")]
    environment = os.environ | {"PYTHONPATH": str(paths.PROJECT), "TMPDIR": str(tmp_path / "t")}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if began.exists() and began.read_text():
                break
            time.sleep(0.1)
        process.send_signal(number)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and said == "book: interrupted\n"
    assert not list((tmp_path / "t").iterdir())
    assert not Path(f"/proc/{began.read_text()}").exists()


def test_plain_papermill_from_any_folder(tmp_path):
    environment = os.environ | {"TQDM_DISABLE": "1"}
    environment.pop("PYTHONPATH", None)
    command = [
        str(Path(sys.executable).parent / "papermill"),
        str(paths.NOTEBOOKS / "01_data_audit.ipynb"),
        "out.ipynb",
    ]
    parameters = ["-p", "machine", "fan", "-p", "preset", "smoke", "-p", "run_dir", str(tmp_path / "run")]
    done = subprocess.run([*command, *parameters], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out.ipynb").exists() and (tmp_path / "run" / "fan" / "audit.csv").exists()


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (
            {"epochs": 3},
            "unknown parameter epochs; it has machine, system, parameter, seed, preset, data_root, run_dir",
        ),
        ({"seed": "one"}, "seed='one' must be of type int"),
        ({"preset": "fast"}, "unknown preset 'fast'"),
        ({"system": "XYZ"}, "unknown system 'XYZ'; known: OE"),
    ],
)
def test_wrong_parameters_of_a_notebook(pairs, message):
    with pytest.raises(ValueError, match=message):
        run.check_parameters(paths.NOTEBOOKS / "03_oe_training.ipynb", pairs)


def test_command_line_errors_are_one_line(tmp_path, capsys):
    assert run.main(["04_nothing", str(tmp_path / "out.ipynb")]) == 2
    assert "unknown notebook '04_nothing'; known: 00_tour, 01_data_audit" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run.main(["01_data_audit", str(tmp_path / "file" / "out.ipynb"), "machine=fan"]) == 2
    assert "choose another run folder" in capsys.readouterr().err
    assert run.main(["01_data_audit", str(tmp_path / "o.ipynb"), "machine"]) == 2
    assert "expected key=value" in capsys.readouterr().err
