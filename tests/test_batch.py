"""What a person meets at the command line of a run: refusals, the plan, failures, and its end by a signal."""

import json
import os
import re
import signal
import subprocess
import time

import fakes
import psutil
import pytest
from makers import batch, write_noise

from lib import graph
from lib.batch import main
from lib.paths import Run
from lib.settings import load_settings

PRESET = "base: smoke\nsystems: [OE]\nbeyond: []\nfrontend: {segment_seconds: 0.5}\n"
BASELINE = "Baseline/all/seed0/scores.parquet"


@pytest.fixture
def faked(tmp_path, monkeypatch, capsys):
    """Calls `lib.batch` with made-up notebooks (`fakes.execute` says what they wish); (exit status, what it printed)."""

    def call(*arguments, **wish):
        monkeypatch.setattr(graph, "PYTHON", str(fakes.interpreter(tmp_path)))
        monkeypatch.setenv("FAKE", json.dumps(wish))
        capsys.readouterr()
        status = main(["--cores", "2", *map(str, arguments)])
        return status, "".join(capsys.readouterr())

    return call


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(PRESET)
    return path


@pytest.fixture
def two(root):
    """`root` whose pump has a test clip, so that it is a target, too."""
    write_noise(root / "eval_data" / "raw" / "pump" / "test" / "section_00_0000.wav")
    return root


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)
    return found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "fast"], "unknown preset 'fast'; known: demo"),
        (["--preset", "smoke", "--data", "/nowhere"], "/nowhere: no such folder"),
        (["--preset", "smoke", "--run", "/dev/null/run"], "choose another run folder (RUN)"),
        (["--preset", "smoke", "--seeds", ""], "no seeds: give whole numbers"),
        (["--preset", "smoke", "--seeds", "one"], "seeds must be whole numbers with spaces between, found 'one'"),
        (["--preset", "smoke", "--cores", "none"], "'none' is no whole number above 0"),
    ],
)
def test_wrong_arguments_of_a_batch(arguments, message, tmp_path):
    run_folder = [] if "--run" in arguments else ["--run", tmp_path / "run"]
    status, printed = batch(*arguments, *run_folder)
    assert status == 2 and message in printed and "Traceback" not in printed


@pytest.mark.long
def test_a_run_with_failures_keeps_what_finished_out_of_old_scores(two, preset, tmp_path, faked):
    """Pump fails in a second call: its scores of the first must not reach the tables, and the status says so."""
    folder, arguments = tmp_path / "run", ("--data", two, "--preset", preset, "--run", tmp_path / "run")
    status, printed = faked(*arguments)
    assert status == 0 and "failed" not in printed, printed
    tables = folder / "tables" / "evaluation.csv"
    assert {path.split("/")[0] for path in json.loads(tables.read_text())["held"]} == {"fan", "pump"}
    preset.write_text(PRESET + "training: {epochs: 1}\nautoencoder: {epochs: 1}\n")
    status, printed = faked(*arguments, fail="pump")
    assert status == 1 and "making the tables from what finished" in printed
    assert {path.split("/")[0] for path in json.loads(tables.read_text())["held"]} == {"fan"}
    failed = sorted((folder / "failed.txt").read_text().splitlines())
    assert len(failed) == 2 and "03_oe_training pump OE all seed0: the recordings are odd; make them even" in failed[1]
    assert printed.count("make them even") == 2 and "CalledProcessError" not in printed and "Traceback" not in printed
    assert "CalledProcessError" in (folder / "run.log").read_text()
    status, printed = faked(*arguments)
    assert status == 0 and not (folder / "failed.txt").exists()
    assert "goes on    5 notebooks finished earlier, 4 to run" in printed
    assert len(json.loads(tables.read_text())["held"]) == 4


@pytest.mark.long
def test_the_report_tells_what_failed_and_its_own_failure_spoils_nothing(root, preset, tmp_path, faked):
    """An audit fails, which the tables do not need; then the report itself; then nothing; then none is wanted."""
    folder, arguments = tmp_path / "run", ("--data", root, "--preset", preset, "--run", tmp_path / "run")
    page, tables = folder / "report" / "index.html", folder / "tables" / "evaluation.csv"
    status, printed = faked(*arguments, fail="01_data_audit")
    assert status == 1 and tables.exists() and "report     " in printed
    assert "01_data_audit fan: the recordings are odd" in page.read_text()
    made = tables.stat().st_mtime_ns
    status, printed = faked(*arguments, fail="report")
    assert status == 1 and "failed: report: the recordings are odd" in printed
    assert (folder / "fan" / BASELINE).exists()
    assert (folder / "failed.txt").read_text().startswith("report: ") and tables.stat().st_mtime_ns == made
    status, printed = faked(*arguments)
    assert status == 0 and page.read_text() == "" and "\nreport: 0 s\n" in printed and tables.stat().st_mtime_ns == made
    preset.write_text(PRESET + "report: false\n")
    before = page.stat().st_mtime_ns
    status, printed = faked(*arguments, fail="report")
    assert status == 0 and page.stat().st_mtime_ns == before and "\nreport" not in printed


@pytest.mark.long
def test_a_notebook_whose_process_is_killed_is_named(root, preset, tmp_path, faked):
    arguments = ("--data", root, "--preset", preset, "--run", tmp_path / "run")
    status, printed = faked(*arguments, kill="05_inlier_fitting")
    assert status == 1 and "05_inlier_fitting fan OE all seed0: its process was killed" in printed


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_run_that_is_ended_leaves_nothing_behind_and_goes_on(number, root, preset, tmp_path, faked):
    """Also its kernels end, which are sessions of their own; what finished is not done again."""
    folder = tmp_path / "run"
    arguments = ("--data", root, "--preset", preset, "--run", folder)
    started = subprocess.Popen(
        fakes.command(tmp_path, *arguments),
        env=fakes.environment(kernel="03_oe_training"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    done = folder / "fan" / "Baseline" / "all" / "seed0" / "scores.parquet"
    events = Run(folder).state / "events.jsonl"
    wait_for(lambda: done.exists() and "03_oe" in events.read_text())
    kernel = int(wait_for(lambda: list(folder.glob("kernel-*")))[0].name.removeprefix("kernel-"))
    refused = batch(*arguments)
    assert refused[0] == 2 and len(refused[1].splitlines()) == 1
    assert f"process {started.pid} has worked there since" in refused[1] and str(folder) in refused[1]
    before = done.stat().st_mtime_ns
    started.send_signal(number)
    printed = started.communicate(timeout=30)[0]
    wait_for(lambda: not psutil.pid_exists(kernel), 15)
    if number != signal.SIGKILL:
        assert started.returncode == 128 + number
        assert printed.splitlines()[-1].startswith("stopped by ") and "Traceback" not in printed
    status, printed = faked(*arguments)
    assert status == 0 and "03_oe_training fan" in printed, printed
    assert done.stat().st_mtime_ns == before


@pytest.mark.long
def test_two_runs_at_the_same_time_do_not_block_each_other(root, preset, tmp_path, faked):
    arguments = ("--data", root, "--preset", preset, "--run")
    other = subprocess.Popen(fakes.command(tmp_path, *arguments, tmp_path / "other"), env=fakes.environment(seconds=1))
    status, _ = faked(*arguments, tmp_path / "run")
    assert status == 0 and other.poll() is None, "that it still works is what is tested"
    assert other.wait(100) == 0


NAMES = ["01", "1e3", "101_2", "no", "null", "~", "{pump}", "{", "a}b", "my fan 2", "it's", 'say "x"', "*", "[x]", "größe",
         "50%", "$HOME", "-fan", "a:b", "# 3", "a,b=c", "!x", "`id`", ";", "&", "(x)"]  # fmt: skip


def make_machines(root, names):
    for name in names:
        for i in range(2):
            write_noise(root / name / "train" / f"section_00_source_train_normal_{i:04d}.wav", seed=i)
        write_noise(root / name / "test" / "section_00_0000.wav", seed=3)
    return root


def test_a_file_of_a_presets_name_is_not_the_preset(root, tmp_path, monkeypatch):
    """What `make run … > smoke` leaves; a path is the same from everywhere."""
    (tmp_path / "smoke").write_text("base: paper\n")
    (tmp_path / "own.yaml").write_text("base: smoke\n")
    monkeypatch.chdir(tmp_path)
    for given, expected in (("smoke", "smoke"), ("own.yaml", str(tmp_path / "own.yaml"))):
        asked = graph.Graph.of(Run(tmp_path / "r"), load_settings(given), given, str(root), "fan", [0], 2, "")
        assert asked.configuration()["preset"] == expected


@pytest.mark.long
def test_a_warm_start_trains_what_it_begins_at_first(root, tmp_path):
    settings = load_settings("smoke")
    settings = settings.model_copy(update={"systems": ("OE-Flow",), "baselines": False, "beyond": ()})
    warm = settings.model_copy(update={"joint": settings.joint.model_copy(update={"warm_start": True})})
    for given, trained in ((settings, []), (warm, ["OE"])):
        asked = graph.Graph.of(Run(tmp_path / f"r{len(trained)}"), given, "smoke", str(root), "fan", [0], 2, "")
        found = [line for line in asked.to_run() if line.startswith("03_oe_training")]
        assert [line.split("system=")[1].split(",")[0] for line in found] == trained


@pytest.mark.long
def test_any_name_of_a_machine_and_a_folder_is_planned(tmp_path, preset):
    root, folder = make_machines(tmp_path / "data {root} #3", NAMES), tmp_path / "-out {put} 50% 'x'"
    settings = load_settings(str(preset)).model_copy(update={"baselines": False})
    asked = graph.Graph.of(Run(folder), settings, "smoke", str(root), " ".join(NAMES), [0], 2, "")
    audits = [line for line in asked.to_run() if line.startswith("01")]
    assert (
        audits == sorted(f"01_data_audit machine={name}" for name in NAMES)
        and len(asked.to_run()) == 3 * len(NAMES) + 1
    )


@pytest.mark.long
def test_odd_names_reach_the_notebooks_as_they_are(tmp_path, faked):
    names = ["{pump}", "-a 'b' \"c\" $HOME 50% * # no: null"]
    root, folder = make_machines(tmp_path / "data {root} #3", names), tmp_path / "-out {put} 50% 'x'"
    preset = tmp_path / "a {preset} #.yaml"
    preset.write_text(PRESET + "baselines: false\nthreads: 3\n")
    status, printed = faked("--data", root, "--preset", preset, "--run", folder, "--machines", " ".join(names[::-1]))
    assert status == 0, printed
    tables = json.loads((folder / "tables" / "evaluation.csv").read_text())
    assert tables["threads"] == "3"  # whatever --cores says
    made = {path.parent.name for path in folder.glob("*/audit.csv") if not path.parent.is_symlink()}
    assert made == set(names) and {path.parts[-5] for path in Run(folder).scores()} >= made
    status, printed = faked("--data", root, "--preset", preset, "--run", folder, "--dry-run")
    assert status == 0 and "would run 0 notebooks" in printed


def test_one_machine_alone_gives_the_baseline_and_says_why_the_rest_is_left_out(root, preset, tmp_path, faked):
    (root / "eval_data").rename(tmp_path / "away")
    arguments = ("--data", root, "--preset", preset, "--run", tmp_path / "run", "--cores", 8)
    status, printed = faked(*arguments, "--clock")
    assert status == 0, printed
    assert re.search(r"^clock      4 steps, [\d.]+ s on 8 cores: [\d.]+ s computed, ", printed, re.MULTILINE)
    assert re.search(r"^02_autoencoder_baseline +1 ", printed, re.MULTILINE) and "\noutside the steps " in printed
    assert printed.count("fan without OE: it is the only machine with training clips") == 2  # at the start, at the end
    held = json.loads((tmp_path / "run" / "tables" / "evaluation.csv").read_text())["held"]
    assert held == ["fan/Baseline/all/seed0/scores.parquet"]
    assert "7 cores stay idle; `threads: 8` in the preset uses them" in printed


@pytest.mark.long
def test_a_terminal_gets_a_bar_and_a_file_plain_lines(root, preset, tmp_path, faked):
    import pty

    arguments = ("--data", root, "--preset", preset, "--run", tmp_path / "run")
    leader, follower = pty.openpty()
    started = subprocess.Popen(
        fakes.command(tmp_path, *arguments), stdout=follower, stderr=follower, env=fakes.environment()
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(leader)
    assert started.wait(60) == 0
    text = shown.decode()
    assert (
        re.search(r"3 of 5 notebooks \|.+\| 00:\d\d gone, .+ left", text) and "[5/5] 06_ensemble_and_tables: " in text
    )
    status, printed = faked(*arguments)
    assert status == 0 and not set(printed) & set("\r\x1b") and "|" not in printed
    assert "goes on    5 notebooks finished earlier, 0 to run" in printed
    assert "Building DAG" not in text + printed and "Building DAG" in (tmp_path / "run" / "run.log").read_text()
