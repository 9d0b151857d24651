"""The one door that runs a notebook with checked parameters: python -m lib.run NOTEBOOK EXECUTED key=value …

papermill only warns about an unknown parameter; here it stops, with the known ones. The executed copy and the log are
kept, also when a cell fails.
"""

import argparse
import logging
import os
import sys
import time
from pathlib import Path

sys.modules.setdefault("rfc3987_syntax", None)  # jsonschema's checker of web addresses takes a second to import

import papermill  # noqa: E402
import yaml  # noqa: E402
from papermill.exceptions import PapermillExecutionError  # noqa: E402

from lib import paths  # noqa: E402
from lib.settings import load_settings  # noqa: E402
from lib.systems import find_system  # noqa: E402


def check_parameters(notebook, parameters):
    """Refuse what the notebook's `parameters` cell does not declare, and a value of the wrong kind.

    Raises:
        ValueError: names the parameter and the allowed ones, or the preset, setting or system that is unknown.
    """
    declared = papermill.inspect_notebook(str(notebook))
    if unknown := sorted(set(parameters) - set(declared)):
        raise ValueError(f"{notebook.name}: unknown parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    for name, value in parameters.items():
        kind = type(yaml.safe_load(declared[name]["default"]))
        if type(value) is not kind:
            raise ValueError(f"{notebook.name}: {name}={value!r} must be of type {kind.__name__}")
    if "preset" in parameters:
        load_settings(parameters["preset"])
    if "system" in parameters:
        find_system(parameters["system"])


def choose_machines(asked, targets, root):
    """The machines of a batch run: those asked for, else all targets.

    Raises:
        ValueError: a machine that cannot be a target, or none that can.
    """
    if unknown := sorted(set(asked) - set(targets)):
        raise ValueError(
            f"unknown machine {', '.join(unknown)}; with training and test clips {root} has "
            f"{', '.join(targets) or 'none'}"
        )
    if not targets:
        raise ValueError(
            f"{root}: no machine has both train and test clips; put recordings into <machine>/train and test"
        )
    return list(dict.fromkeys(asked)) or targets


def run_notebook(notebook, executed, parameters):
    """Execute `notebook` (a path or a name in notebooks/) into `executed`; figures and tracebacks stay in the copy.

    Raises:
        ValueError: no such notebook, or as `check_parameters`. PapermillExecutionError: a cell failed.
    """
    path = next((p for p in (Path(notebook), paths.NOTEBOOKS / f"{notebook}.ipynb") if p.is_file()), None)
    if path is None:
        known = ", ".join(sorted(p.stem for p in paths.NOTEBOOKS.glob("*.ipynb")))
        raise ValueError(f"unknown notebook {notebook!r}; known: {known}")
    check_parameters(path, parameters)
    os.environ["TQDM_DISABLE"] = "1"  # epoch lines are logged; bars are for JupyterLab
    executed = Path(executed)
    try:
        executed.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(executed.with_suffix(".log"), mode="w")
    except OSError as error:
        raise ValueError(
            f"cannot write {executed.parent}: {error.strerror}; choose another run folder (RUN)"
        ) from error
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    papermill.execute_notebook(
        str(path),
        str(executed),
        parameters,
        kernel_name="python3",
        progress_bar=False,
        shutdown_kernel="immediate",  # nothing is left to do in it, and a graceful end takes a second
        log_output=True,
        extra_arguments=["--IPKernelApp.log_level=50"],  # a kernel warns of its own loopback ports at every start
    )


def _parse(pairs):
    """`key=value` texts → dict; an integer is an int, everything else text (a machine may be called 1e3 or no)."""
    parameters = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found:
            raise ValueError(f"{pair!r}: expected key=value")
        parameters[key] = int(value) if key == "seed" and value.lstrip("-").isdigit() else value
    return parameters


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lib.run", description=__doc__.splitlines()[0])
    parser.add_argument("notebook")
    parser.add_argument("executed")
    parser.add_argument("parameters", nargs="*", metavar="key=value")
    given = parser.parse_args(arguments)
    name, begin = " ".join([Path(given.notebook).stem, *_shown(given.parameters)]), time.perf_counter()
    try:
        run_notebook(given.notebook, given.executed, _parse(given.parameters))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except PapermillExecutionError as error:
        print(f"{name}: {error.ename}: {error.evalue}\n  executed copy: {given.executed}", file=sys.stderr)
        return 1
    print(f"{name}: done in {time.perf_counter() - begin:.0f} s", flush=True)
    return 0


def _shown(pairs):
    """What tells one job of a batch from another."""
    return [pair for pair in pairs if pair.split("=")[0] in ("machine", "system", "parameter", "seed")]


if __name__ == "__main__":
    sys.exit(main())
