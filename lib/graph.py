"""The graph of a run: what Snakemake is told of it, and Snakemake's process, whose own words go to the run's log."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from lib import cards, dependencies, locks, paths, warm
from lib.console import Console
from lib.demo.data import make_demo_data
from lib.detection.score_files import NOTEBOOKS
from lib.job import EVENTS, REPORT, read_events
from lib.presets import preset_path
from lib.profiles import LOCAL, Profile
from lib.recordings.clips import ClipBank
from lib.recordings.plan import Plan, split_names
from lib.settings import Settings
from lib.systems import ALL, SPECTRUM, SYSTEMS

WORKFLOW = paths.PROJECT / "workflow"
REPORT_FILES = dependencies.LIBRARY / "report"
TABLES = "06_ensemble_and_tables"
PYTHON = sys.executable  # that executes the notebooks
STEPS = (  # notebooks that are rules of the Snakefile; the others, 00 and 07, are for a person
    "01_data_audit", "02_autoencoder_baseline", "03_oe_training", "04_joint_flow_training", "05_inlier_fitting",
    "06_ensemble_and_tables", "08_spectrum_reference", "09_shared_extractor", "10_frozen_encoder",
)  # fmt: skip
TICK = 0.2  # s between two looks at what the jobs said
# A dry run looks for locks by a pattern, in which braces of the folder would be wildcards; the run has its own lock.
DRY_RUN = "from snakemake.persistence import file; file.FilePersistence._read_locks = lambda _: ()\n"
DRY_RUN += "from snakemake.cli import main; main()"
PLAIN = re.compile(r"[\w.+-]+")
_COUNT = re.compile(r"^(\d\d_\w+)\s+(\d+)$", re.MULTILINE)  # of Snakemake's table of jobs to run
_JOB = re.compile(r"^(?:local)?rule (\d\d_\w+):\n((?:    .*\n)*)", re.MULTILINE)


@dataclass(frozen=True)
class Graph:
    """A run as Snakemake is given it.

    Attributes:
        run, plan, bank, settings: what is done, where, with what.
        preset, data_root: as the notebooks are given them; an empty root is the preset's demo data.
        cores: jobs at a time. token: of the run's lock. profile: who carries out the jobs.
        places: trainings that share each graphics card of this computer; none without a card.
    """

    run: paths.Run
    plan: Plan
    bank: ClipBank
    settings: Settings
    preset: str
    data_root: str
    cores: int
    token: str
    profile: Profile = LOCAL
    places: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        run: paths.Run,
        settings: Settings,
        preset: str,
        data: str,
        machines: str,
        seeds: list[int],
        cores: int,
        token: str,
        profile: Profile = LOCAL,
        card_jobs: int = 0,
    ) -> "Graph":
        """The graph that a command line asks for; demo data is made and the clips are decoded where that is due.

        Args:
            data: data root, "" for the preset's demo data. machines: names with blanks between, "" for all.
            card_jobs: trainings that share a graphics card; 0: as many as its memory holds, at most `cards.MOST`.

        Raises:
            ValueError, OSError: an unusable root, an unknown machine, or nothing to do.
        """
        root = paths.data_folder(data, preset)
        if not data:
            make_demo_data(root, settings.demo)
        bank = ClipBank.open(run, root, settings.data)
        asked = split_names(machines, bank.dataset.clips["machine"].unique())
        file = preset_path(preset)  # the jobs start elsewhere
        preset = preset if file == paths.PRESETS / f"{preset}.yaml" else str(file)
        plan, data_root = Plan.of(bank, settings, asked, seeds), str(root) if data else ""
        places = _places(settings, len(bank.samples), card_jobs) if profile.local else ()
        return cls(run, plan, bank, settings, preset, data_root, cores, token, profile, places)

    def drop_scores_of(self, failed: Iterable[tuple[str, ...]]) -> bool:
        """Take away what earlier calls scored with trainings that have failed now.

        Args:
            failed: (notebook, machine, system, parameter, seed…) of `Console.failed`.

        Returns:
            Whether scores of other trainings are there that the tables can be made of.
        """
        trained = {made for entry in failed for made in self._made_by(*entry)}
        for path, made in self.plan.score_files(self.run).items():
            if (*made[:-1], f"seed{made.seed}") in trained:
                path.unlink(missing_ok=True)
        return bool(trained) and any(path.exists() for path in self.plan.score_files(self.run))

    def go_on(self, console: Console) -> None:
        """After notebooks have failed: the tables of what finished, and the report, which says what did not."""
        failed = {notebook for notebook, *_ in console.failed}
        remade = self.drop_scores_of(console.failed)
        if remade:
            console.say("making the tables from what finished")
        tables, scored = self.run.tables / "evaluation.csv", any(p.exists() for p in self.plan.score_files(self.run))
        if remade or (failed - {REPORT} and TABLES not in failed and tables.exists() and scored):
            self.start(console, REPORT if self.settings.report else TABLES, finished=True)

    def _made_by(self, notebook, machine, *which):
        """(machine, system, parameter, seed…) of the scores that a notebook of the run is behind."""
        if notebook == NOTEBOOKS[SPECTRUM][0]:
            return [(machine, SPECTRUM, ALL, "seed0")]
        if which and not machine:  # trained for all machines
            return [(made.machine, *which) for made in self.plan.shared if made.system == which[0]]
        return [(machine, *which)] if which else []

    def configuration(self, finished: bool = False) -> dict:
        """What `workflow/Snakefile` reads, JSON-able.

        Args:
            finished: whether tables and report are of the files that are there, else of all in the plan.
        """
        aliases = {machine: self._alias(machine) for machine in self.plan.audits}
        scores = [path for path in self.plan.score_files(self.run) if path.exists() or not finished]
        return {
            "python": PYTHON,
            "preset": self.preset,
            "data_root": self.data_root,
            "run_dir": str(self.run.root),
            "threads": self.settings.threads,
            "shared_threads": self.settings.shared.threads,
            "begins_at": {name: self.settings.begins_at(SYSTEMS[name]) for name in self.settings.systems},
            "machines": "/".join(self.plan.audits),
            "seeds": " ".join(map(str, self.plan.seeds)),
            "names": {alias: machine for machine, alias in aliases.items()},
            "audits": [a for m, a in aliases.items() if not finished or (self.run.machine(m) / "audit.csv").exists()],
            "scores": [str(self._in_aliases(path, aliases)) for path in scores],
            "data": {alias: self.bank.fingerprint_of(machine) for machine, alias in aliases.items()},
            "own_data": {alias: self.bank.fingerprint_of(machine, alone=True) for machine, alias in aliases.items()},
            "all_data": self.bank.fingerprint,
            "problems": {alias: self._problems(machine) for machine, alias in aliases.items()},
            "made": {notebook: self._made(notebook) for notebook in STEPS},
            "report": self._report() if self.settings.report else "",
            "stored": self.profile.stored,
        }

    def start(self, console: Console, *targets: str, finished: bool = False, alone: bool = False) -> int:
        """Run Snakemake until it ends, with its jobs on the console; returns its exit status.

        Args:
            console: what a person sees. targets: rules; none is the whole run.
            finished: as `configuration`. alone: whether no job shares a submission with others.
        """
        (self.run.state / EVENTS).write_text("")
        command = self._command(finished, *targets, alone=alone)
        warms = self.profile.local and sys.executable == PYTHON  # else notebooks would leave what a cluster gave them
        warmth = warm.process() if warms else contextlib.nullcontext({})
        with warmth as environment, open(self.run.log, "ab") as log:
            begin = log.tell()
            with locks.interrupts_are_heard():
                process = psutil.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self._environment() | environment,
                    start_new_session=True,
                )
            try:
                self._follow(process, console, begin, 0 if finished else self.plan.notebooks)
            finally:
                if not self.profile.local:
                    locks.interrupt(process)
                locks.end_group(process)
        console.end()
        return process.returncode

    def to_run(self) -> list[str]:
        """The notebooks that a run would execute now, each with its machine and system."""
        executable, _, _, *arguments = self._command(False)
        command = [executable, "-c", DRY_RUN, *arguments, "--dry-run"]
        log = self.run.state / "dry-run.log"
        with open(log, "wb") as file:
            done = subprocess.run(command, stdout=file, stderr=file, env=self._environment(), check=False)
        printed, found = log.read_text(encoding="utf-8", errors="replace"), []
        if done.returncode:
            raise ValueError(f"Snakemake stopped: {printed.strip().splitlines()[-1]}; all that it said is in {log}")
        for name, lines in _JOB.findall(printed):
            wildcards = re.search(r"^    wildcards: (.*)$", lines, re.MULTILINE)
            found.append(f"{name} {wildcards[1] if wildcards else ''}".strip())
        for machine in self.plan.audits:
            if (alias := self._alias(machine)) != machine:
                found = [line.replace(f"machine={alias}", f"machine={machine}") for line in found]
        return sorted(found)

    def _follow(self, process, console, begin, planned):
        counted = False
        with open(self.run.state / EVENTS, encoding="utf-8") as events, open(self.run.log, "rb") as log:
            while True:
                try:
                    process.wait(TICK)
                    ended = True
                except psutil.TimeoutExpired:
                    ended = False
                if not counted:
                    log.seek(begin)
                    text = log.read().decode(errors="replace")
                    if counted := bool(re.search(r"^total\s", text, re.MULTILINE)):
                        counts = {name: int(count) for name, count in _COUNT.findall(text)}
                        console.begin(counts, earlier=planned - sum(counts.values()))
                for event in read_events(events):
                    console.hear(event)
                console.tick()
                if ended:
                    if not counted and process.returncode == 0:
                        console.begin({}, earlier=planned)
                    return

    def _command(self, finished, *targets, alone=False):
        path = self.run.state / "config.json"
        paths.write_text(path, json.dumps(self.configuration(finished), indent=1))
        program = "lib.slurm" if self.profile.executor == "slurm" else "snakemake"
        command = [sys.executable, "-m", program, "--snakefile", str(self._snakefile())]
        command += ["--directory", str(self.run.root), "--configfile", str(path)]
        own = str(self.profile.file) if self.profile != LOCAL else "none"
        command += ["--profile", own, "--workflow-profile", str(LOCAL.file)]
        command += ["--cores" if self.profile.local else "--jobs", str(self.cores)]
        if self.places:  # without a card the cores are the limit
            command += ["--resources", f"gpu={sum(self.places)}"]
        if self.profile.stored:
            command += ["--default-storage-prefix", str(self.run.root)]
        if alone:
            command += ["--groups", "none=none", "--retries", "0"]  # in place of the profile's; there is no such rule
        return [*command, "--", *targets] if targets else command

    def _snakefile(self):
        """Below the run's folder where its jobs get a copy of it, as they do with a storage plugin."""
        file = WORKFLOW / "Snakefile"
        return shutil.copy(file, self.run.state) if self.profile.stored else file

    def _environment(self):
        path = os.pathsep.join(filter(None, [str(paths.PROJECT), os.environ.get("PYTHONPATH")]))
        own = {"TQDM_DISABLE": "1", "PYTHONPATH": path, locks.TOKEN: self.token}
        return os.environ | own | cards.environment(self.run.state, self.places)

    def _made(self, notebook):
        kinds = {"plain": False, "flow": True}
        return {
            kind: json.dumps(dependencies.provenance(notebook, self.settings, flow)) for kind, flow in kinds.items()
        }

    def _report(self):
        """Digest of what the report follows from beside its inputs: its own files, and what failed before it."""
        files = sorted(path for path in REPORT_FILES.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        content = [path.read_bytes() for path in (*files, self.run.failures) if path.exists()]
        return hashlib.sha256(b"\0".join(content)).hexdigest()[:16]

    def _problems(self, machine):
        """Digest of what the index and the decoder have to say of a machine's files, which its audit repeats."""
        own = self.bank.problems[self.bank.problems["machine"] == machine]
        return hashlib.sha256(own.to_csv(index=False).encode()).hexdigest()[:16]

    def _alias(self, machine):
        """The machine's folder as Snakemake may read it: braces would be wildcards, so a link stands for them.

        A job that is submitted is named by its wildcards, which commas, colons, quotes and the like would break.
        """
        if not set(machine) & set("{}") if self.profile.local else PLAIN.fullmatch(machine):
            return machine
        alias = f".{hashlib.sha256(machine.encode()).hexdigest()[:12]}"
        folder = self.run.machine(machine)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".keep").touch()  # Snakemake removes folders that stay empty, and cannot remove a link
        link = self.run.root / alias
        if not link.is_symlink():
            link.symlink_to(machine, target_is_directory=True)
        return alias

    def _in_aliases(self, path, aliases):
        machine, *rest = path.relative_to(self.run.root).parts
        return Path(aliases[machine], *rest)


def _places(settings, samples, asked):
    if not (free := cards.free_memory()):
        return ()
    from lib.network.footprint import training_gigabytes  # with torch, whose import takes seconds

    return tuple(cards.places(free, training_gigabytes(settings, samples), asked))
