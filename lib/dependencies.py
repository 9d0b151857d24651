"""What the result of a notebook depends on: the code that it imports and the settings that this code reads.

Read from the sources, so that no list is kept by hand. The graph reruns a notebook when its `provenance` has changed,
every file of scores carries the one it was made with, and the tables refuse a file that carries another.
"""

import ast
import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lib.paths import NOTEBOOKS, PROJECT, readable
from lib.settings import Joint, Settings

LIBRARY = PROJECT / "lib"
APART = {"lib.clock"}  # only measures: no result follows from it
UNREAD = {"demo"}  # settings that change no result: the data's fingerprint holds what the demo data is
FLOW_GROUPS = {"flow", "joint"}  # of settings that only a system with a flow reads
METHODS = {  # what a property or method of `Settings` reads for its caller
    "segment_samples": {"frontend.segment_seconds", "data.sample_rate"},
    "training_of": {f"joint.{field}" for field in Joint.model_fields if field != "warm_start"},
    "begins_at": {"joint.warm_start"},
}


class Source(NamedTuple):
    """What a module or a notebook says, without comments and layout."""

    code: str
    imports: frozenset[str]  # dotted names below `lib`
    data: frozenset[str]  # names of csv files in its texts
    read: frozenset[tuple[str, str]]  # (owner, name) of every attribute that it reads, calls left out
    named: frozenset[str]  # every name in it


def sources(notebook: str) -> list[Path]:
    """The notebook and every file of `lib` that it imports, directly or not, with the data that lies beside them;
    without those that are `APART`.

    Args:
        notebook: its name in notebooks/, without suffix.
    """
    return list(_read(notebook))


def code(notebook: str) -> str:
    """Digest of what `sources` say: neither comments and layout count, nor a notebook's texts, outputs and metadata."""
    return _code(_read(notebook))


def settings_read(notebook: str, flow: bool = True) -> list[str]:
    """Names of the settings that the notebook's sources read, as `group.field`.

    A field counts where its name is read from its group or from a variable that may hold the group.

    Args:
        notebook: its name. flow: whether it trains a flow; without one, `FLOW_GROUPS` are not read.
    """
    return _settings_read(_read(notebook), flow)


def provenance(notebook: str, settings: Settings, flow: bool = True) -> dict:
    """What the notebook's result follows from beside its data and parameters, JSON-able.

    Args:
        notebook: its name. settings: of the run. flow: as in `settings_read`.
    """
    values, found, read = json.loads(settings.model_dump_json()), _read(notebook), {}
    for name in _settings_read(found, flow):
        group, _, field = name.partition(".")
        read[name] = values[group][field] if field else values[group]
    if read.get("encoder"):  # a file, which counts by its content
        read["encoder"] = _digest(Path(read["encoder"]))
    return {"notebook": notebook, "code": _code(found), "settings": read}


def _read(notebook):
    """{path: its `Source`, None for data} of a notebook, which comes first, and of all that it imports."""
    path, found = NOTEBOOKS / f"{notebook}.ipynb", {}
    waiting = {path}
    while waiting:
        file = waiting.pop()
        if file not in found:
            found[file] = source = None if file.suffix == ".csv" else _source(file)
            if source:
                beside = {file.parent / name for name in source.data} if file != path else set()
                waiting |= _files(source.imports) | {data for data in beside if data.is_file()}
    return {file: found[file] for file in sorted(found, key=lambda file: (file != path, file))}


def _code(found):
    contents = [file.read_bytes() if source is None else source.code.encode() for file, source in found.items()]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]


def _settings_read(found, flow):
    known = [source for file, source in found.items() if source and file.name != "settings.py"]
    read = frozenset().union(*(source.read for source in known))
    named = frozenset().union(*(source.named for source in known))
    settings = {name for method, names in METHODS.items() if ("settings", method) in read for name in names}
    for group, field in Settings.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        if fields is None:
            settings |= {group} if ("settings", group) in read else set()
        elif group in named:
            others = set(Settings.model_fields) - {group}
            plain = {("settings", name) for name in Settings.model_fields}  # `settings.threads` is of no group
            settings |= {f"{group}.{f}" for owner, f in read - plain if f in fields and owner not in others}
    left_out = UNREAD if flow else UNREAD | FLOW_GROUPS
    return sorted(name for name in settings if name.split(".")[0] not in left_out)


def _digest(path):
    with readable(path, "name another encoder"), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _source(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    return _parsed(text)


@lru_cache(maxsize=256)
def _parsed(text):
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    read = {(_owner(node.value), node.attr) for node in attributes if id(node) not in called or node.attr in METHODS}
    words = {ast.Attribute: "attr", ast.Name: "id", ast.arg: "arg"}
    named = {getattr(node, words[type(node)]) for node in nodes if type(node) in words}
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    data = {text for text in texts if text.endswith(".csv") and "/" not in text}
    return Source(ast.unparse(tree), _imports(nodes), *map(frozenset, (data, read, named)))


def _imports(nodes):
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in names if name.split(".")[0] == "lib")


def _files(names):
    """Files of lib behind dotted names, which may also name what a module holds."""
    bases = [LIBRARY.joinpath(*name.split(".")[1:]) for name in names - APART]
    files = {file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py")}
    return {file for file in files if file.is_file()}


def _owner(node):
    """The last name of the expression that an attribute is read from: `frontend` in `self.settings.frontend.hop`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
