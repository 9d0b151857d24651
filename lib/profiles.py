"""Profiles: who carries out the jobs of a run, this computer or a cluster, as a YAML file tells Snakemake."""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from lib import paths

NAMES = ("config.yaml", "profile.yaml", "config.v*+.yaml", "profile.v*+.yaml")  # of the file in a profile's folder
HERE = "local"  # Snakemake's name of this computer
SUBMITS = {"slurm": "sbatch"}  # executor → the program that it calls
UNFIT = set("'\"\\%")  # Snakemake quotes a submitted job's paths as Python does, SLURM reads % in the names of logs
JOBS = 100  # at a time, where a profile of a cluster says nothing


@dataclass(frozen=True)
class Profile:
    """Settings of Snakemake.

    Attributes:
        file: they stand in. executor: Snakemake's plugin that carries out the jobs.
        jobs: submissions at a time on a cluster. grouped: whether short jobs share a submission.
        stored: whether Snakemake looks at the run's folder through a storage plugin, assuming no shared disk.
    """

    file: Path
    executor: str = HERE
    jobs: int = JOBS
    grouped: bool = False
    stored: bool = False

    @property
    def local(self) -> bool:
        return self.executor == HERE

    def check(self, run: str | Path) -> None:
        """Raise a ValueError where what carries out the jobs is not there, or cannot work in the folder of a run."""
        if self.local:
            return
        place = paths.shown(self.file)
        if importlib.util.find_spec(f"snakemake_executor_plugin_{self.executor.replace('-', '_')}") is None:
            plugin = f"snakemake-executor-plugin-{self.executor}"
            raise ValueError(f"{place}: Snakemake has no executor {self.executor}; pip install {plugin}")
        program = SUBMITS.get(self.executor)
        if program and shutil.which(program) is None:
            raise ValueError(f"{place}: no {program} here; call it where jobs are submitted, or leave PROFILE out")
        for path in (paths.PROJECT, run):
            if unfit := set(str(path)) & UNFIT:
                raise ValueError(f"{path}: {' '.join(unfit)} would not reach a cluster as it is; choose another folder")


LOCAL = Profile(paths.PROFILES / "default" / "config.yaml")


def load_profile(name: str) -> Profile:
    """The profile of a name in workflow/profiles, or of a folder or its file by path; empty is this computer.

    Raises:
        ValueError: there is none of that name, no settings in the folder, or no YAML in the file.
    """
    if not name or name == LOCAL.file.parent.name:
        return LOCAL
    file = _file(name)
    with paths.readable(file, "mend it, or choose another PROFILE"):
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ValueError("no `key: value` in it")
        executor, jobs = settings.get("executor", HERE), settings.get("jobs", JOBS)
        if not isinstance(executor, str) or isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
            raise ValueError(f"executor must be a name and jobs a whole number above 0, found {executor!r}, {jobs!r}")
    return Profile(file, executor, jobs, bool(settings.get("groups")), "default-storage-provider" in settings)


def _file(name):
    for place in (paths.PROFILES / name, Path(name).expanduser()):
        if place.is_file():
            return place.resolve()
        if found := [path for pattern in NAMES for path in place.glob(pattern)]:
            return found[0].resolve()
    if place.is_dir():
        raise ValueError(f"profile {name!r}: {place} holds no config.yaml")
    known = ", ".join(sorted(path.name for path in paths.PROFILES.iterdir() if path.is_dir()))
    raise ValueError(f"unknown profile {name!r}; known: {known}, or the path of a folder with a config.yaml")
