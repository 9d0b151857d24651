"""The first and the last lines of a run: what it is made of and what is left out, and where its results lie."""

import re
from collections.abc import Iterator
from pathlib import Path

from lib import paths
from lib.clock import START_UP, Clock
from lib.console import Console, shown
from lib.graph import Graph
from lib.locks import GONE
from lib.progress import duration
from lib.recordings import audit
from lib.recordings.plan import told
from lib.results import clock_table

REASONS = (  # why a cluster carries out nothing: refused, not begun, not found there
    re.compile(r"sbatch: error: (?!Batch job submission failed)(.+)"),
    re.compile(r"sbatch: error: Batch job submission failed: (.+)"),
    re.compile(rf"^.*{GONE}.*$", re.MULTILINE),
    re.compile(r"^slurmstepd: error: .+$", re.MULTILINE),
    re.compile(r"^.+: (?:not found|No such file or directory|Permission denied)$", re.MULTILINE),
)


def first_lines(graph: Graph) -> Iterator[str]:
    """What is known before the first notebook starts; writes `problems.csv`."""
    bank, plan, run = graph.bank, graph.plan, graph.run
    paths.write_csv(run.problems, bank.problems)
    yield f"data       {shown(bank.dataset.root)}"
    problems = audit.summary(bank)
    for machine, clips in bank.clips.groupby("machine", sort=False):
        counts = ", ".join(f"{_counted(clips[clips['split'] == split])} {split}" for split in ("train", "test"))
        said = problems.pop(machine) or "no problems"
        role = "" if machine in plan.machines else "; heard by the others only" if plan.machines else ""
        yield f"  {machine}: {counts} clips used, {said}{role}"
    for place, said in problems.items():  # folders of which no clip is left
        yield f"  {place or 'the data root'}: {said}"
    if len(bank.problems):
        yield f"problems   {shown(run.problems)} names each file, what is wrong, the mend"
    for line in told(plan.left_out):
        yield f"left out   {line}"
    for machine, note in plan.notes:
        yield f"note       {machine}: {note}"
    trainings = len(plan.trainings) + len(plan.baselines) + len({made.seed for made in plan.shared})
    yield from _at_once(graph, trainings)
    yield f"log        {shown(run.log)}"


def _at_once(graph, trainings):
    """How many trainings go on at a time, and cores that stay idle."""
    threads = graph.settings.threads
    if not graph.profile.local:
        yield f"trainings  {trainings}, {threads} threads each, submitted as {shown(graph.profile.file)} says"
        return
    at_once = min(max(1, graph.cores // threads), trainings, sum(graph.places) or trainings)
    yield f"trainings  {trainings}, {at_once} at a time on {graph.cores} cores, {threads} threads each"
    if graph.places:
        yield f"           {len(graph.places)} graphics cards with room for {', '.join(map(str, graph.places))} of them"
    if trainings and (idle := graph.cores - trainings * threads) > 0:
        more = graph.cores // trainings
        yield f"           {idle} cores stay idle; `threads: {more}` in the preset uses them (and changes last digits)"


def write_failures(run: paths.Run, console: Console) -> None:
    """Write the list of what failed."""
    paths.write_text(run.failures, "".join(f"{line}\n" for line in console.failed.values()))


def last_lines(graph: Graph, console: Console, seconds: float) -> Iterator[str]:
    """What a person looks at next; writes the list of what failed."""
    run = graph.run
    if console.failed:
        write_failures(run, console)
        yield f"{len(console.failed)} notebooks failed after {duration(seconds)}; {shown(run.failures)} lists them"
    else:
        yield f"finished after {duration(seconds)}"
    for name, folder in (("tables", run.tables), ("figures", run.figures), ("notebooks", run.root / "notebooks")):
        if folder.exists():
            yield f"{name:10} {shown(folder)}{' (executed)' if name == 'notebooks' else ''}"
    if graph.settings.report and (page := run.report / "index.html").exists():
        yield f"report     {shown(page)}"
    if console.failed and not graph.profile.local and (said := cluster_says(run.log)):
        yield f"cluster    {said}"
    for line in told(graph.plan.left_out):
        yield f"left out   {line}"
    if run.refusals.exists():
        refused = run.refusals.read_text(encoding="utf-8").strip().splitlines()
        yield f"refused    {len(refused)} submission files, first {refused[0]}; {shown(run.refusals)}"
    yield f"log        {shown(run.log)}"


def clock_lines(graph: Graph, own: Clock) -> Iterator[str]:
    """Where the seconds of the run went; `own` is the clock of this process, restarted when the call began."""
    kinds = {kind: seconds for kind, seconds in own.spent().items() if kind != START_UP}  # in which it waits for steps
    call = clock_table.Call(graph.token, graph.cores, own.elapsed(), kinds)
    return clock_table.printed(clock_table.ClockTable.of(graph.run), call)


def why_it_stopped(log: Path) -> str:
    """What Snakemake's log says where no notebook had its say: the cluster's words, else the last ones."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return cluster_says(log) or (lines[-1] if lines else "it said nothing")


def cluster_says(log: Path) -> str:
    """Why a cluster did not carry out a job, in its own words; empty where it did, or said nothing."""
    text = log.read_text(encoding="utf-8", errors="replace")
    said = [found[-1].strip().removesuffix("'.") for reason in REASONS if (found := reason.findall(text))]
    return said[0] if said else ""


def _counted(clips):
    used = int(clips["usable"].sum())
    return str(used) if used == len(clips) else f"{used} of {len(clips)}"
