"""Fits a machine of one's own: python -m lib.fit FOLDER --machine NAME (`make fit`), from healthy recordings alone.

First Spectrum, by which the machine can be scored after seconds; then what is trained, with other machines' sound,
stands beside it: the systems that were asked for, then Shared, which takes longest. After each stage one page says what
the clips that nobody has heard say of every row.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from lib import batch, homes, paths
from lib.demo.data import make_demo_data
from lib.listening import trainings
from lib.recordings import own
from lib.recordings.audit import measure_clips, measured_problems
from lib.recordings.clips import ClipBank
from lib.settings import Settings, load_settings
from lib.systems import SHARED, SYSTEMS

FIRST = "systems: []\nbaselines: false\nbeyond: [Spectrum]\nreport: false\n"
SECOND = "systems: [{systems}]\nbaselines: false\nbeyond: [Spectrum]\nreport: false\n"
THIRD = "systems: [{systems}]\nbaselines: false\nbeyond: [Spectrum, Shared]\n"
STAGES = {"first": FIRST, "second": SECOND, "third": THIRD}  # by the names of their presets
SPOILT = 0.5  # share of the clips that, with one problem, spoil a training


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: as `batch.main`."""
    given = _arguments(arguments)
    homes.settle()
    begin = time.monotonic()
    try:
        run = paths.Run(paths.OUTPUTS / (given.run or given.machine))
        settings = load_settings(given.preset)
        if given.channel is not None:
            settings = Settings.model_validate(
                settings.model_dump() | {"data": {**settings.data.model_dump(), "channel": given.channel}}
            )
        root = run.root / "data"
        folder, others = Path(given.folder).expanduser().resolve(), None
        if given.systems and given.others and not (others := Path(given.others).expanduser().resolve()).is_dir():
            raise ValueError(f"{others}: no such folder; name a folder of other machines' sound (OTHERS)")
        counts = own.lay_out(folder, given.machine, root, problems := [])
        print(f"{given.machine}: {counts['train']} clips to learn from, {counts['test']} held out")
        for _, file, problem, mend in problems:
            print(f"  {file}: {problem} ({mend})")
        _audit(run, root, given.machine, settings)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    model = run.machine(given.machine)
    score = f"make score MODEL={paths.shown(model)} CLIPS=<folder>"
    linked = False
    for stage in _stages(run, given):
        if stage != "first" and not linked:
            try:
                _link_others(root, given.machine, others)
                linked = True
            except (ValueError, OSError) as error:
                print(error, file=sys.stderr)
                return 2
        if status := _stage(run, given, stage):
            return status
        if stage == "first":
            print(f"after {time.monotonic() - begin:.0f} s it can be scored: {score}", flush=True)
        from lib.results import fit_page  # its figures take seconds

        print(f"page       {paths.shown(fit_page.write(model))}", flush=True)
    print(f"score      {score}")
    return 0


def _arguments(arguments):
    parser = argparse.ArgumentParser(prog="python -m lib.fit", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", help="healthy recordings, .wav or .flac, at any depth")
    parser.add_argument("--machine", required=True, help="its name")
    parser.add_argument("--others", default="", help="data root or folder of other machines' sound; none: the demo's")
    parser.add_argument("--preset", default="quick", help="name in workflow/presets, or path of a YAML file")
    parser.add_argument(
        "--systems", type=_systems, default="OE OE-Flow", help="trained beside Spectrum and Shared; '' trains none"
    )
    parser.add_argument("--channel", type=int, help="of recordings with several, counted from 0")
    parser.add_argument("--run", default="", help="name under outputs; none: the machine's")
    parser.add_argument("--cores", default="", help="jobs at a time; none: all cores")
    return parser.parse_args(arguments)


def _systems(text):
    names = text.replace(",", " ").split()
    if unknown := [name for name in names if name not in SYSTEMS]:
        raise argparse.ArgumentTypeError(f"unknown system {unknown[0]!r}; known: {', '.join(SYSTEMS)}")
    return names


def _audit(run, root, machine, settings):
    """Say what is wrong with the clips; ValueError where it would spoil what is learnt from them."""
    bank = ClipBank.open(run, root, settings.data)
    clips, usable = bank.dataset.of(machine), bank.of(machine)
    if len(usable) < SPOILT * len(clips) or len(usable) < own.LEAST:
        unused = set(clips["path"]) - set(usable["path"])
        first = bank.problems[bank.problems["file"].isin(unused)].drop_duplicates("file", keep="last").iloc[0]
        raise ValueError(
            f"{machine}: {len(usable)} of {len(clips)} recordings can be used; first {first.file}: {first.problem} "
            f"({first.mend})"
        )
    found = measured_problems(machine, usable.join(measure_clips(bank, usable)))
    kinds = {}
    for _, file, problem, mend in found:
        kinds.setdefault(problem.partition(" (")[0], []).append((file, mend))
    for problem, files in kinds.items():
        said = f"{len(files)} of {len(usable)} clips: {problem}, first {files[0][0]} ({files[0][1]})"
        if len(files) > SPOILT * len(usable):
            raise ValueError(f"{machine}: {said}; what is learnt from them would be of the fault")
        print(f"  {said}")


def _link_others(root, machine, others):
    if others is None:
        others = paths.data_folder("", "demo")
        make_demo_data(others, load_settings("demo").demo)
        print("no other machines' sound was named (OTHERS): the demo's synthetic machines stand in")
    print(f"told from {own.names(own.link_others(root, machine, others))}")


def _stages(run, given):
    """Those that are to be run. Of a machine whose last one was finished earlier that one alone: the tables of another
    would leave out what is trained."""
    if not given.systems:
        return ["first"]
    counted = trainings.counted(run, given.machine)
    return ["third"] if {SHARED, *given.systems} <= counted else list(STAGES)


def _stage(run, given, name):
    preset = run.root / f"{name}.yaml"
    base = given.preset if not Path(given.preset).suffix else Path(given.preset).expanduser().resolve()
    text = f"base: {json.dumps(str(base))}\n" + STAGES[name].format(systems=", ".join(given.systems))
    text += "" if given.channel is None else f"data: {{channel: {given.channel}}}\n"
    paths.write_text(preset, text)
    command = ["--preset", str(preset), "--data", str(run.root / "data"), "--machines", given.machine]
    return batch.main([*command, "--run", str(run.root), *(["--cores", given.cores] if given.cores else [])])


if __name__ == "__main__":
    sys.exit(main())
