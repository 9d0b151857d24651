"""Runs the whole graph with Snakemake: python -m lib.batch --preset demo (what `make demo` and `make run` call).

When some machines fail the tables are made from the others, and the exit status says so.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

from lib import paths
from lib.recordings.dcase import Dataset
from lib.run import choose_machines
from lib.settings import load_settings, seed_numbers


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.batch", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="demo", help="name in workflow/presets, or path of a YAML file")
    parser.add_argument("--data", default="", help="data root; none: demo data")
    parser.add_argument("--machines", default="", help="names; none: all with training and test clips")
    parser.add_argument("--seeds", default="0", help="such as '0 1 2 3'")
    parser.add_argument("--run", default="", help="name under outputs, or a path; none: the preset's name")
    parser.add_argument("--cores", default=str(os.cpu_count()), help="jobs at a time; none: all cores")
    given = parser.parse_args(arguments)
    try:
        settings = load_settings(given.preset)
        seed_numbers(given.seeds)
        targets = Dataset(given.data).targets() if given.data else settings.demo.machines
        choose_machines(given.machines.split(), targets, given.data or "the demo data")
        run_dir = _run_folder(given.run or Path(given.preset).stem)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    preset = str(Path(given.preset).resolve()) if Path(given.preset).is_file() else given.preset
    data = str(Path(given.data).expanduser().resolve()) if given.data else ""
    config = [
        f"preset={preset}",
        f"data={data}",
        f"machines={given.machines}",
        f"seeds={given.seeds}",
        f"run_dir={run_dir}",
    ]
    status = _snakemake(given.cores, config)
    if status and paths.Run(run_dir).scores():
        print("some jobs failed (see above); making the tables from what finished", file=sys.stderr)
        _snakemake(given.cores, [*config, "partial=1"], str(run_dir / "tables" / "evaluation.csv"))
    if (refusals := paths.Run(run_dir).refusals).exists():
        print(
            f"submission files refused ({refusals}):\n{refusals.read_text(encoding='utf-8')}", end="", file=sys.stderr
        )
    if not status:
        print(f"tables: {run_dir}/tables   figures: {run_dir}/figures   executed notebooks: {run_dir}/notebooks")
    return status


def _run_folder(name):
    """The run's folder, made; ValueError when it cannot be."""
    folder = Path(name) if Path(name).is_absolute() else paths.OUTPUTS / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"cannot make {folder}: {error.strerror}; choose another run folder (RUN)") from None
    return folder


def _snakemake(cores, config, *targets):
    workflow = paths.PROJECT / "workflow"
    common = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(workflow / "Snakefile"),
        "--directory",
        str(paths.PROJECT),
    ]
    if any((paths.PROJECT / ".snakemake" / "locks").glob("*")):
        subprocess.run([*common, "--unlock", "--config", *config], check=False, stderr=subprocess.DEVNULL)
    profile = ["--profile", str(workflow / "profiles" / "default"), "--cores", cores]
    if gpus := torch.cuda.device_count():  # one training at a time on each; without a GPU the cores are the limit
        profile += ["--resources", f"gpu={gpus}"]
    return subprocess.run(
        [*common, *profile, "--config", *config, "--", *targets], check=False, env=os.environ | {"TQDM_DISABLE": "1"}
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
