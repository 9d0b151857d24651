"""Who carries out the jobs of a run: a profile by name or path, and what is said where it cannot."""

import asyncio
import os
import re
import subprocess
import sys

import pytest
import yaml

from lib import batch, graph, locks, profiles, slurm, summary
from lib.console import Console
from lib.paths import PROFILES, PROJECT
from lib.profiles import LOCAL, load_profile


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "holds no config.yaml"),
        ("executor: [slurm", "config.yaml: cannot be read (while parsing a flow sequence); mend it, or choose another PROFILE"),
        ("- slurm", "config.yaml: cannot be read (no `key: value` in it)"),
        ("", "config.yaml: cannot be read (no `key: value` in it)"),
        (b"executor: sl\xffurm", "config.yaml: cannot be read ("),
        ("executor: slurm\njobs: many", "jobs a whole number above 0, found 'slurm', 'many'"),
        ("executor: slurm\njobs: 0", "jobs a whole number above 0, found 'slurm', 0"),
    ],
)  # fmt: skip
def test_a_profile_that_cannot_be_read_is_refused(tmp_path, text, message):
    folder = tmp_path / "größe 50% {x}"
    folder.mkdir()
    if text is not None:
        (folder / "config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=re.escape(message)) as refused:
        load_profile(str(folder))
    assert str(folder) in str(refused.value)


def test_a_profile_is_found_by_name_by_folder_and_by_file(tmp_path):
    assert load_profile("") == load_profile("default") == LOCAL and LOCAL.local
    assert load_profile("slurm").file == PROFILES / "slurm" / "config.yaml" and load_profile("slurm").grouped
    with pytest.raises(
        ValueError, match="unknown profile 'slrum'; known: default, kubernetes, slurm, or the path of a folder"
    ):
        load_profile("slrum")
    (tmp_path / "config.v8+.yaml").write_text("executor: lsf\njobs: 3\n")
    mine = load_profile(str(tmp_path))
    assert (mine.executor, mine.jobs, mine.grouped, mine.local) == ("lsf", 3, False, False)
    assert load_profile(str(tmp_path / "config.v8+.yaml")) == mine
    (tmp_path / "config.yaml").write_text("keep-going: true\n")
    assert load_profile(str(tmp_path)).local


@pytest.mark.parametrize("unfit", "'\"\\%")
def test_a_run_folder_whose_path_would_not_reach_the_cluster_is_refused(unfit, monkeypatch):
    monkeypatch.setattr(profiles.importlib.util, "find_spec", lambda name: "")
    monkeypatch.setattr(profiles.shutil, "which", lambda name: name)
    assert load_profile("slurm").check("outputs/{50} $HOME größe") is None and LOCAL.check(f"outputs/50{unfit}") is None
    with pytest.raises(ValueError, match="would not reach a cluster as it is; choose another folder") as refused:
        load_profile("slurm").check(f"outputs/50{unfit}")
    assert str(refused.value).startswith(f"outputs/50{unfit}: {unfit} would")


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (None, "Snakemake has no executor slurm; pip install snakemake-executor-plugin-slurm"),
        ("", "no sbatch here; call it"),
    ],
)
def test_what_a_cluster_lacks_is_said_before_anything_starts(plugin, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(profiles.importlib.util, "find_spec", lambda name: plugin)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert batch.main(["--preset", "smoke", "--run", str(tmp_path / "run"), "--profile", "slurm"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and f"workflow/profiles/slurm/config.yaml: {message}" in said[0]
    assert not (tmp_path / "run").exists()


def test_no_clock_of_a_cluster(tmp_path, capsys):
    arguments = ["--preset", "smoke", "--run", str(tmp_path / "run"), "--profile", "slurm", "--clock", "--dry-run"]
    assert batch.main(arguments) == 2 and capsys.readouterr().err.startswith("--clock counts on one computer")


def test_the_clusters_profiles_name_the_rules_and_the_gpus_of_the_snakefile():
    text = (PROJECT / "workflow" / "Snakefile").read_text()
    rules = {rule.split('"')[1]: "gpu=1" in rule for rule in text.split("    name: ")[1:]}
    assert set(rules) == {*graph.STEPS, graph.REPORT}
    trainings = {name for name, gpu in rules.items() if gpu}
    slurm = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    asked = slurm["set-resources"]
    assert {name for name in asked if asked[name].get("gres") == "gpu:1" and asked[name]["gpu"] == 0} == trainings
    assert set(asked) | set(slurm["groups"]) == set(rules) and not set(slurm["groups"]) & trainings
    assert set(slurm["group-components"]) <= set(slurm["groups"].values())
    kubernetes = yaml.safe_load((PROFILES / "kubernetes" / "config.yaml").read_text())
    assert set(kubernetes["set-resources"]) == trainings


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("message: 'sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: y'.\nend", "invalid partition specified: x"),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not available'.\nend", "Requested node configuration is not available"),
        (f"/run/.snakemake: {locks.GONE}\nError in rule x:\nend", f"/run/.snakemake: {locks.GONE}"),
        ("slurmstepd: error: couldn't chdir to `/run': No such file or directory\nend", "slurmstepd: error: couldn't chdir to `/run': No such file or directory"),
        ("/bin/sh: 2: /home/me/.venv/bin/python: not found\nend", "/bin/sh: 2: /home/me/.venv/bin/python: not found"),
        ("one\ntwo\n\n", "two"),
        ("", "it said nothing"),
    ],
)  # fmt: skip
def test_what_a_cluster_answered_is_found_in_the_log(log, said, tmp_path):
    (tmp_path / "run.log").write_text(log)
    assert summary.why_it_stopped(tmp_path / "run.log") == said


@pytest.mark.parametrize(
    ("answers", "kept"), [([], ["a", "b"]), ([["a"]], ["a"]), ([["a", "b"]], ["a", "b"]), ([[]], [])]
)
def test_jobs_that_slurm_was_asked_for_in_vain_are_kept(answers, kept):
    class Executor:
        _status_query_calls = 0

        async def check_active_jobs(self, jobs):
            for living in answers:
                self._status_query_calls += 1
                for job in living:
                    yield job

    async def left():
        return [job async for job in Executor().check_active_jobs(["a", "b"])]

    slurm.mend(Executor)
    assert asyncio.run(left()) == kept


def test_a_notebook_that_is_submitted_again_has_not_failed():
    console = Console(open(os.devnull, "w"))  # noqa: SIM115
    event = {
        "notebook": "05_inlier_fitting",
        "machine": "fan",
        "trained": [],
        "seconds": 1,
        "message": "x",
        "executed": "",
    }
    for state in ("started", "failed", "started", "done"):
        console.hear(event | {"state": state})
    console.end()
    assert not console.failed


WATCHED = (
    "import os, time; from lib import locks; locks.watch('.snakemake'); os.chdir('/'); time.sleep(1.2); print('lives')"
)


def test_a_process_lives_as_long_as_its_run_wherever_it_goes(tmp_path):
    def watched(token):
        environment = os.environ | {"PYTHONPATH": str(PROJECT), locks.TOKEN: token}
        return subprocess.run(
            [sys.executable, "-c", WATCHED], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    with locks.RunLock(tmp_path / ".snakemake") as lock:
        assert watched(lock.token).stdout == "lives\n"
        late = watched("of an earlier run")
    assert late.returncode == 1 and late.stderr == f"{tmp_path / '.snakemake'}: {locks.GONE}\n"
