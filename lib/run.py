"""The one door that runs a notebook with checked parameters: python -m lib.run NOTEBOOK EXECUTED key=value …

papermill only warns about an unknown parameter; here it stops, with the known ones. The executed copy and the log are
kept, also when a cell fails.
"""

import argparse
import ast
import logging
import math
import os
import re
import signal
import sys
import time
from pathlib import Path

sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema's checker of web addresses takes a second to import

import papermill  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402

from lib import homes, kernels, paths  # noqa: E402
from lib.settings import load_settings, seed_numbers  # noqa: E402
from lib.systems import find_system  # noqa: E402

NUMBERS = {int: r"[+-]?[0-9]+", float: r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"}
WORDS = {"true": True, "false": False}


def check_parameters(notebook: Path, given: dict) -> dict:
    """The parameters as the notebook's `parameters` cell declares them: text becomes a number where one is declared.

    Raises:
        ValueError: names the parameter and the allowed ones, or the preset, setting or system that is unknown.
    """
    declared = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(given) - set(declared)):
        raise ValueError(f"{notebook.name}: unknown parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    kinds = {name: type(ast.literal_eval(declared[name]["default"])) for name in given}
    parameters = {name: _as_kind(notebook, name, value, kinds[name]) for name, value in given.items()}
    if parameters.get("seed", 0) < 0:
        raise ValueError(f"{notebook.name}: seed={parameters['seed']} must not be negative")
    if (machine := parameters.get("machine", "fan")) != Path(machine).name or machine in ("", ".."):
        raise ValueError(f"{notebook.name}: machine={machine!r} must be the name of a folder under the data root")
    if "seeds" in parameters:
        seed_numbers(parameters["seeds"])
    if "preset" in parameters:
        load_settings(parameters["preset"])
    if "system" in parameters:
        find_system(parameters["system"])
    return parameters


def _as_kind(notebook, name, value, kind):
    if isinstance(value, str) and kind is bool and value.lower() in WORDS:
        return WORDS[value.lower()]
    if isinstance(value, str) and kind in NUMBERS and re.fullmatch(NUMBERS[kind], value):
        value = kind(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        allowed = {bool: " (true or false)"}.get(kind, "")
        raise ValueError(f"{notebook.name}: {name}={value!r} must be of type {kind.__name__}{allowed}")
    return value


def run_notebook(notebook: str | Path, executed: str | Path, parameters: dict) -> None:
    """Execute `notebook` (a path or a name in notebooks/) into `executed`; figures and tracebacks stay in the copy.

    Raises:
        ValueError: no such notebook, or as `check_parameters`. PapermillExecutionError: a cell failed.
        KernelDied: its process did. OSError: the copy or its log can be written no further.
    """
    executed = _absolute(executed)
    path = next((p for p in (Path(notebook), paths.NOTEBOOKS / f"{notebook}.ipynb") if p.is_file()), None)
    if path is None:
        known = ", ".join(sorted(p.stem for p in paths.NOTEBOOKS.glob("*.ipynb")))
        raise ValueError(f"unknown notebook {notebook!r}; known: {known}")
    parameters = check_parameters(path, parameters)
    log = executed.with_suffix(".log")
    try:
        executed.parent.mkdir(parents=True, exist_ok=True)
        handler = _Log(log, mode="w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ValueError(str(paths.write_failure(log, error) or error)) from error
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    kernels.execute(path.absolute(), executed, parameters)


def _absolute(path):
    """The whole path; the process leaves a working folder that is gone, which papermill and the kernel stumble over."""
    try:
        os.getcwd()
    except OSError as error:
        if not Path(path).is_absolute():
            raise ValueError(f"{path}: the working folder is gone; go into one that is there") from error
        os.chdir(paths.PROJECT)
    return Path(path).absolute()


class _Log(logging.FileHandler):
    """A log whose disk is full stops the run; logging would print a traceback for every line."""

    def handleError(self, record):
        error = sys.exc_info()[1]
        raise paths.write_failure(Path(self.baseFilename), error) or error


def _parse(pairs):
    """`key=value` texts → dict of texts."""
    parameters = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found:
            raise ValueError(f"{pair!r}: expected key=value")
        if key in parameters:
            raise ValueError(f"{key} is given twice: {parameters[key]!r} and {value!r}")
        parameters[key] = value
    return parameters


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 2 for what can be known before the first cell, 1 for what fails then."""
    parser = argparse.ArgumentParser(prog="python -m lib.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebook")
    parser.add_argument("executed")
    parser.add_argument("parameters", nargs="*", metavar="key=value")
    given = parser.parse_args(arguments)
    name, begin = " ".join([Path(given.notebook).stem, *_shown(given.parameters)]), time.perf_counter()
    try:
        homes.settle()
        run_notebook(given.notebook, given.executed, _parse(given.parameters))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except (PapermillExecutionError, kernels.KernelDied) as error:
        print(f"{name}: {_cause(error)}\n  executed copy: {given.executed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130
    print(f"{name}: done in {time.perf_counter() - begin:.0f} s", flush=True)
    return 0


def _cause(error):
    """What went wrong; a write that failed in a cell gets its mend where the cell's code has not said it."""
    if not isinstance(error, PapermillExecutionError):
        return error
    number = re.match(r"\[Errno (\d+)\]", error.evalue)
    mend = paths.MENDS.get(int(number[1])) if number else None
    kind = "" if error.ename in ("ValueError", "OSError") and error.evalue else f"{error.ename}: "
    return f"{kind}{error.evalue}" + (f"; {mend}" if mend else "")


def _shown(pairs):
    """What tells one job of a batch from another."""
    return [pair for pair in pairs if pair.split("=")[0] in ("machine", "system", "parameter", "seed")]


def _stop(*_):
    raise KeyboardInterrupt


if __name__ == "__main__":
    for name in ("SIGTERM", "SIGHUP"):  # ends the kernel and takes its folder away, as Ctrl-C does
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _stop)
    sys.exit(main())
