"""Measure, print, keep: python -m workflow.bench [stage …] [--no-keep]; see `workflow.bench`."""

import argparse
import datetime
import sys
import time

import threadpoolctl
import torch

import workflow.bench as bench
from lib.network.device import pick_device, prepare
from lib.progress import duration, escape_what_has_no_encoding, progress
from lib.results.page import commit
from lib.settings import Settings
from workflow.bench import history, page
from workflow.bench.table import cells, table


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 2 for an unknown stage or a file that cannot be read or written."""
    known = bench.stages()
    parser = argparse.ArgumentParser(prog="python -m workflow.bench", description=(bench.__doc__ or "").split("\n")[0])
    parser.add_argument("stages", nargs="*", help=f"of {', '.join(known)}; none: those before planning")
    parser.add_argument("--no-keep", action="store_true", help="leave docs/bench and docs/performance.md as they are")
    given = parser.parse_args(arguments)
    escape_what_has_no_encoding()
    if unknown := [name for name in given.stages if name not in known]:
        print(f"unknown stage {unknown[0]!r}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    try:
        return _bench([known[name] for name in given.stages or bench.stages(bench.MODULES)], not given.no_keep)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


def _bench(chosen, keep):
    machine = history.machine_name()
    path = history.FOLDER / f"{machine}.csv"
    rows, begin, entries = history.read(path), time.perf_counter(), []
    threads = Settings().threads  # as every notebook
    print(f"{machine}, torch {torch.__version__}, {pick_device()}, {threads} thread(s) a work", flush=True)
    with threadpoolctl.threadpool_limits(threads):
        prepare(0, threads)
        for stage in progress(chosen, "stages"):
            for entry in stage():
                entries.append(entry)
                print("  " + "  ".join(cell for cell in cells(entry) if cell), flush=True)
    print(f"\n{table(entries, rows, sys.stdout.isatty())}\n\n{duration(time.perf_counter() - begin)}")
    if keep:
        history.append(path, entries, datetime.date.today().isoformat(), commit())
        page.write()
        print(f"kept in {path.relative_to(history.PROJECT)}; docs/performance.md made anew")
    return 0


if __name__ == "__main__":
    sys.exit(main())
