"""Runs on a cluster: the graph on a SLURM of one node (`make test-slurm`), planned for Kubernetes."""

import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import fakes
import pytest
import slurm_cluster
import yaml
from makers import batch

from lib.paths import PROFILES, Run

pytestmark = pytest.mark.slurm
SOON = {"slurm-init-seconds-before-status-checks": 2, "latency-wait": 5}  # of seconds that a real cluster needs
TINY = "base: smoke\nsystems: [OE]\nbeyond: []\n"


@pytest.fixture(scope="module")
def cluster():
    if missing := slurm_cluster.missing():
        pytest.exit(f"no {', '.join(missing)} here: apt-get install -y slurm-wlm munge", returncode=2)
    folder = Path(tempfile.mkdtemp(prefix="asd-slurm-"))
    try:
        with slurm_cluster.Cluster(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def profile(tmp_path):
    """The profile of the repository as a user edits it: a copy that asks the controller more often."""

    def written(**changes):
        settings = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text()) | SOON
        settings["default-resources"] |= changes
        (tmp_path / "my cluster").mkdir(exist_ok=True)
        (tmp_path / "my cluster" / "config.yaml").write_text(yaml.safe_dump(settings))
        return tmp_path / "my cluster"

    return written


@pytest.fixture
def started(cluster, tmp_path):
    """Starts a run of made-up notebooks on the cluster; what still goes on is ended."""
    processes, preset = [], tmp_path / "tiny.yaml"
    preset.write_text(TINY)

    def call(profile, *arguments, **wish):
        command = fakes.command(
            tmp_path, "--preset", preset, "--run", tmp_path / "run", "--profile", profile, *arguments
        )
        process = subprocess.Popen(
            [*slurm_cluster.ENDS_WITH_THIS, *command], env=fakes.environment(**wish) | cluster.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield call
    for process in processes:
        process.kill()
        process.wait()
    cluster.wait_for(lambda: not cluster.queue(), 90)


def finished(folder):
    """How often each notebook has said that it is done."""
    events = map(json.loads, (Run(folder).state / "events.jsonl").read_text().splitlines())
    return Counter((event["notebook"], *event["trained"]) for event in events if event["state"] == "done")


def submissions(folder):
    """The folder of the log of each submission: the rule or the group with its rules."""
    return re.findall(
        r"has been submitted with SLURM jobid \d+ \(log: .*?/slurm_logs/([^/]+)/", Run(folder).log.read_text()
    )


def test_the_smoke_graph_survives_what_happens_on_a_cluster(cluster, profile, tmp_path):
    """A training is killed, the node is drained, the controller restarted: each step ends once, no byte differs."""
    here, there = tmp_path / "here" / "smoke", tmp_path / "there" / "smoke"
    arguments = ("--preset", "smoke", "--machines", "fan")
    status, printed = batch(*arguments, "--run", here)
    assert status == 0, printed
    with open(tmp_path / "printed.txt", "w+") as said:
        command = [sys.executable, "-m", "lib.batch", *arguments, "--run", str(there), "--profile", str(profile())]
        command, environment = [*slurm_cluster.ENDS_WITH_THIS, *command], fakes.environment() | cluster.environment
        run = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            _disturb(cluster, there)
            status = run.wait(3600)
        finally:
            run.kill()
            run.wait()
        said.seek(0)
        printed = said.read()
    assert status == 0, printed
    assert finished(there) == finished(here) and set(finished(there).values()) == {1}
    tables = {path.name: path.read_bytes() for path in (here / "tables").iterdir()}
    assert tables == {path.name: path.read_bytes() for path in (there / "tables").iterdir()} and len(tables) > 20
    counted = Counter(submissions(there))
    trainings = sum(name.startswith(("02", "03", "04", "09")) for name, *_ in finished(there))
    rules = {name: counted.pop(name) for name in list(counted) if name.startswith("rule_")}
    assert sum(rules.values()) > trainings  # one was killed
    assert counted == {
        "group_first_01_data_audit_08_spectrum_reference": 1,
        "group_fitting_05_inlier_fitting": 1,
        "group_last_06_ensemble_and_tables_report": 1,
    }


def _disturb(cluster, folder):
    def begun(name=""):
        events = Run(folder).state / "events.jsonl"
        lines = events.read_text().splitlines() if events.exists() else []
        return sum(name in line and '"started"' in line for line in lines)

    cluster.wait_for(lambda: begun("_training"), 600)
    killed = next(number for number, comment in cluster.queue("RUNNING") if "_training" in comment)
    assert re.search(r"TresPerNode=gres:gpu:1\b", cluster.call("scontrol", "show", "job", killed))
    cluster.call("scancel", killed)
    cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=drain", "reason=test")
    cluster.wait_for(lambda: cluster.queue("PENDING") and not cluster.queue("RUNNING,COMPLETING"), 1200)
    assert cluster.call("sinfo", "-h", "-o", "%T") == "drained"
    before = begun()
    cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=resume")
    cluster.wait_for(lambda: begun() >= before + 2, 300)  # one a GPU
    cluster.stop_controller()
    time.sleep(45)  # long enough for Snakemake to ask in vain
    cluster.start_controller()


def test_kubernetes_is_given_the_same_graph(tmp_path):
    """Planned with its plugins; the run's folder is looked at through the storage plugin, and trainings get a GPU."""
    planned = {}
    for profile in ("default", "kubernetes"):
        arguments = ("--machines", "fan", "--run", tmp_path / profile, "--profile", profile, "--dry-run")
        status, printed = batch("--preset", "smoke", *arguments)
        assert status == 0, printed
        planned[profile] = printed.partition("would run ")[2]
    assert planned["kubernetes"] == planned["default"] and planned["default"].startswith("16 notebooks\n")
    log = (Run(tmp_path / "kubernetes").state / "dry-run.log").read_text()
    assert f"output: {tmp_path / 'kubernetes' / 'fan' / 'audit.csv'} (send to storage)" in log
    rules = re.findall(r"^rule (\S+):\n(.*?)(?=^\[|\Z)", log, re.MULTILINE | re.DOTALL)
    with_gpu = {name[:2] for name, said in rules if "gpu_manufacturer=nvidia, gpu=1" in said}
    assert with_gpu == {"02", "03", "04", "09"}


def test_a_failure_takes_nothing_along_that_shared_its_submission(started, profile, tmp_path):
    """Gearbox's audit and fitting are submitted with fan's: those of fan are made, the tables, too."""
    process = started(profile(), "--machines", "fan gearbox", fail="gearbox")
    printed = process.communicate(timeout=1200)[0]
    assert process.returncode == 1, printed
    failed = (tmp_path / "run" / "failed.txt").read_text().splitlines()
    assert {line.split(":")[0] for line in failed} == {
        "01_data_audit gearbox", "02_autoencoder_baseline gearbox Baseline all seed0", "03_oe_training gearbox OE all seed0",
    }  # fmt: skip
    assert "again, each by itself" in printed and "make them even" in printed
    held = json.loads((tmp_path / "run" / "tables" / "evaluation.csv").read_text())["held"]
    assert {path.split("/")[0] for path in held} == {"fan"} and len(held) == 2
    assert (tmp_path / "run" / "fan" / "audit.csv").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_the_queue_and_goes_on(number, cluster, started, profile, tmp_path):
    """Also what has not begun: more trainings than GPUs, on a node that begins no more."""
    arguments = ("--machines", "fan gearbox", "--seeds", "0 1", "--cores", "8")
    process = started(profile(), *arguments, kernel="03_oe_training")
    events = Run(tmp_path / "run").state / "events.jsonl"
    cluster.wait_for(lambda: events.exists() and "03_oe" in events.read_text() and cluster.queue("PENDING"), 300)
    cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=drain", "reason=test")
    try:
        process.send_signal(number)
        printed = process.communicate(timeout=60)[0]
        cluster.wait_for(lambda: not cluster.queue())
    finally:
        cluster.call("scontrol", "update", f"nodename={cluster.node}", "state=resume")
    if number == signal.SIGINT:
        assert process.returncode == 130 and printed.splitlines()[-1].startswith("stopped by Ctrl-C")
    process = started(profile(), *arguments)
    printed = process.communicate(timeout=1200)[0]
    assert process.returncode == 0, printed


def test_what_the_cluster_refuses_is_said_in_a_line(started, profile, tmp_path):
    process = started(profile(slurm_partition="nowhere"), "--machines", "fan")
    printed = process.communicate(timeout=600)[0]
    assert process.returncode == 2 and "Traceback" not in printed
    assert printed.splitlines()[-1].startswith(
        "Snakemake stopped: invalid partition specified: nowhere; all that it said"
    )
