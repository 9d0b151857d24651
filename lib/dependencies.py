"""What the result of a notebook depends on: the code that it imports and the settings that this code reads.

Read from the sources, so that no list is kept by hand. The graph reruns a notebook when its `provenance` has changed,
every file of scores carries the one it was made with, and the tables refuse a file that carries another.
"""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path

from lib.paths import NOTEBOOKS, PROJECT
from lib.settings import Joint, Settings

LIBRARY = PROJECT / "lib"
UNREAD = {"demo", "team"}  # settings that change no result: the data's fingerprint holds what the demo data is
FLOW_GROUPS = {"flow", "joint"}  # of settings that only a system with a flow reads
METHODS = {  # what a property or method of `Settings` reads for its caller
    "segment_samples": {"frontend.segment_seconds", "data.sample_rate"},
    "training_of": {f"joint.{field}" for field in Joint.model_fields},
    "rows": {"systems", "baselines"},
}


def sources(notebook: str) -> list[Path]:
    """The notebook and every file of `lib` that it imports, directly or not, with the data that lies beside them.

    Args:
        notebook: its name in notebooks/, without suffix.
    """
    path = NOTEBOOKS / f"{notebook}.ipynb"
    found, waiting = set(), _imported(_tree(path))
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        waiting |= _linked(file)
    return [path, *sorted(found)]


def code(notebook: str) -> str:
    """Digest of `sources`: of the notebook its code cells alone, so that outputs and metadata do not matter."""
    path, *files = sources(notebook)
    contents = [_cells(path).encode(), *(file.read_bytes() for file in files)]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def settings_read(notebook: str, flow: bool = True) -> list[str]:
    """Names of the settings that the notebook's sources read, as `group.field`.

    A field counts where its name is read from its group or from a variable that may hold the group.

    Args:
        notebook: its name. flow: whether it trains a flow; without one, `FLOW_GROUPS` are not read.
    """
    path, *files = sources(notebook)
    names = [_names(file) for file in (path, *files) if file.suffix != ".csv" and file.name != "settings.py"]
    read, named = (set().union(*found) for found in zip(*names, strict=True))
    found = {name for method, names in METHODS.items() if ("settings", method) in read for name in names}
    for group, field in Settings.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        if fields is None:
            found |= {group} if ("settings", group) in read else set()
        elif group in named:
            others = set(Settings.model_fields) - {group}
            found |= {f"{group}.{f}" for owner, f in read if f in fields and owner not in others}
    left_out = UNREAD if flow else UNREAD | FLOW_GROUPS
    return sorted(name for name in found if name.split(".")[0] not in left_out)


def provenance(notebook: str, settings: Settings, flow: bool = True) -> dict:
    """What the notebook's result follows from beside its data and parameters, JSON-able.

    Args:
        notebook: its name. settings: of the run. flow: as in `settings_read`.
    """
    values = json.loads(settings.model_dump_json())
    read = {}
    for name in settings_read(notebook, flow):
        group, _, field = name.partition(".")
        read[name] = values[group][field] if field else values[group]
    return {"notebook": notebook, "code": code(notebook), "settings": read}


def _cells(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@lru_cache(maxsize=256)
def _linked(path):
    """Files that a module imports or reads; none of a data file."""
    return _imported(_tree(path)) | _beside(path) if path.suffix == ".py" else set()


@lru_cache(maxsize=256)
def _tree(path):
    """Syntax tree of a module or of a notebook's code cells."""
    return ast.parse(_cells(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8"))


@lru_cache(maxsize=256)
def _names(path):
    """(owner, name) of every attribute that the code reads, calls left out, and every name in it."""
    nodes = list(ast.walk(_tree(path)))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    read = {
        (_owner(node.value), node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and (id(node) not in called or node.attr in METHODS)
    }
    words = {ast.Attribute: "attr", ast.Name: "id", ast.arg: "arg"}
    return read, {getattr(node, words[type(node)]) for node in nodes if type(node) in words}


def _imported(tree):
    """Files of lib that the import statements of a syntax tree name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == "lib":
            base = LIBRARY.joinpath(*parts[1:])
            files |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return files


def _beside(path):
    """Data files that a module names in a text and that lie in its folder."""
    texts = {node.value for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant)}
    names = {text for text in texts if isinstance(text, str) and text.endswith(".csv") and "/" not in text}
    return {path.parent / name for name in names if (path.parent / name).is_file()}


def _owner(node):
    """The last name of the expression that an attribute is read from: `frontend` in `self.settings.frontend.hop`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
