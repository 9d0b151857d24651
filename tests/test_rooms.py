"""The layout of `lib`: sound flows through its rooms in one order, and no import runs back."""

import ast
import re

import pytest

import lib
from lib.paths import PROJECT

LIBRARY = PROJECT / "lib"
BOTTOM, TOP = (
    {"paths", "systems", "presets", "settings", "progress", "dependencies", "clock", "step_clock", "cards"},
    {"run", "kernels", "batch"},
)
ROOMS = ("recordings", "demo", "network", "detection", "listening", "results", "report")
MODULES = sorted(path for path in LIBRARY.rglob("*.py") if path.name != "__init__.py")


def floor_of(module):
    """Where a dotted name below `lib` stands: 0 the door's lower step, 1 … the rooms in order, last the upper step."""
    first = module.split(".")[0]
    if first in ROOMS:
        return 1 + ROOMS.index(first)
    return 0 if first in BOTTOM else 1 + len(ROOMS)


def imported(path):
    """Dotted names below `lib` that a file imports, at its top or in a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.startswith("lib.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lib":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            assert node.level == 0, "no relative imports"
    return {name.removeprefix("lib.") for name in names}


def name_of(path):
    return ".".join(path.relative_to(LIBRARY).with_suffix("").parts)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_import_runs_back(path):
    own = floor_of(name_of(path))
    back = {name for name in imported(path) if floor_of(name) > own}
    assert not back, f"{name_of(path)} imports from a later room: {', '.join(sorted(back))}"


def test_every_module_stands_in_a_known_place():
    at_the_door = {path.stem for path in LIBRARY.glob("*.py")} - {"__init__"}
    assert {path.name for path in LIBRARY.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(ROOMS)
    assert at_the_door >= BOTTOM, "the lower step"
    assert all(floor_of(name) == len(ROOMS) + 1 for name in at_the_door - BOTTOM)


def test_no_circle_between_modules():
    graph = {name_of(path): {n for n in map(_module, imported(path)) if n} for path in MODULES}
    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"imports in a circle: {' → '.join([*open_[open_.index(name) :], name])}"
        if name in done:
            return
        open_.append(name)
        for other in graph[name]:
            visit(other)
        done.add(open_.pop())

    for name in graph:
        visit(name)


def _module(name):
    """The module that an imported name is, or is in."""
    for candidate in (name, name.rpartition(".")[0]):
        if candidate and LIBRARY.joinpath(*candidate.split(".")).with_suffix(".py").is_file():
            return candidate
    return None


def test_an_arrow_that_runs_back_would_be_seen(tmp_path):
    """The reader of imports sees each way of writing one, in a function, too."""
    path = tmp_path / "m.py"
    path.write_text(
        "import lib.results.tables\ndef f():\n    from lib.detection import metrics\n    from lib import run\n"
    )
    assert imported(path) == {"results.tables", "detection.metrics", "run"}
    assert floor_of("results.tables") > floor_of("detection.metrics") > floor_of("network.flow") > floor_of("settings")
    assert floor_of("run") > floor_of("results.tables")


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_is_for(room):
    text = ast.get_docstring(ast.parse((LIBRARY / room / "__init__.py").read_text(encoding="utf-8")))
    assert text and "\n" not in text and re.search(rf"(?m)^ +{room} ", lib.__doc__), "one line; and one in lib/__init__"


def test_tests_mirror_the_rooms():
    folders = {path.name for path in (PROJECT / "tests").iterdir() if path.is_dir() and list(path.glob("test_*.py"))}
    assert folders == set(ROOMS)
    for room in ROOMS:
        modules = {path.stem for path in (LIBRARY / room).glob("*.py")}
        strangers = {path.stem.removeprefix("test_") for path in (PROJECT / "tests" / room).glob("test_*.py")} - modules
        assert not strangers, f"tests/{room} tests what lib/{room} has not: {', '.join(sorted(strangers))}"
