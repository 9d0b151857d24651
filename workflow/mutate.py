"""Small faults, made one at a time, and whether the tests see them: python workflow/mutate.py lib/network/losses.py

mutmut leaves out decorated functions, properties, class bodies and constants, where much of this project stands; this
mutates every expression and statement that no person reads as a sentence. Each fault is tried in a copy of the project
by a process that is forked from one with torch loaded, the module's own tests first, then those of its room.
"""

import argparse
import ast
import contextlib
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

PROJECT = Path(__file__).resolve().parents[1]
COPIED = ("lib", "tests", "notebooks", "workflow", "docs", "pyproject.toml", "Makefile", "README.md")
HEAVY = (  # imported once, before the fork; of lib only what mends torchvision
    "lib.network.torchvision_pair", "librosa", "scipy.signal", "sklearn.mixture", "sklearn.covariance", "pandas",
    "soundfile", "nflows.transforms", "matplotlib.pyplot", "seaborn", "pydantic", "pytest", "pyarrow.parquet",
    "safetensors.torch",
)  # fmt: skip
SWAPPED_OPERATORS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub, ast.Sub: ast.Add,
    ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
PAIRS = ("mean sum", "min max", "amin amax", "minimum maximum", "floor ceil", "zeros ones", "any all", "train eval")
SWAPPED_NAMES = {a: b for pair in PAIRS for a, b in (pair.split(), pair.split()[::-1])}
SPOKEN = {"print", "ValueError", "OSError"}  # what stands in these calls a person reads


def faults(source):
    """Every fault of a module: (first byte, last byte, text in its place, line number), in order."""
    tree, lines = ast.parse(source), source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    found = []
    for node in _mutable(tree):
        for text in _variants(node):
            first = starts[node.lineno - 1] + node.col_offset
            last = starts[node.end_lineno - 1] + node.end_col_offset
            found.append((first, last, text, node.lineno))
    return sorted(set(found))


def _mutable(node):
    """Nodes that may be mutated: no docstring, annotation, decorator, import, f-string or spoken text."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "keywords" if isinstance(node, ast.ClassDef) else ""):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Import | ast.ImportFrom | ast.JoinedStr):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            spoken = isinstance(child, ast.Call) and getattr(child.func, "id", "") in SPOKEN
            if hasattr(child, "lineno") and not isinstance(child, ast.arg | ast.keyword | ast.alias):
                yield child
            if not spoken:
                yield from _mutable(child)


def _variants(node):
    """Source texts that may stand in a node's place."""
    if isinstance(node, ast.Compare | ast.BoolOp | ast.BinOp | ast.AugAssign):
        yield from _operator(node)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.Invert):
        yield f"({ast.unparse(node.operand)})"
    elif isinstance(node, ast.Constant):
        yield from _constant(node.value)
    elif isinstance(node, ast.IfExp):
        yield f"({ast.unparse(ast.IfExp(node.test, node.orelse, node.body))})"
    elif isinstance(node, ast.Call):
        yield from _call(node)
    elif isinstance(node, ast.Attribute) and node.attr in SWAPPED_NAMES and isinstance(node.ctx, ast.Load):
        yield f"{ast.unparse(node.value)}.{SWAPPED_NAMES[node.attr]}"
    elif isinstance(node, ast.Name) and node.id in SWAPPED_NAMES and isinstance(node.ctx, ast.Load):
        yield SWAPPED_NAMES[node.id]
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "return None"
    elif isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant):
        yield ast.unparse(ast.Assign(node.targets, ast.Constant(None), lineno=0))
    elif isinstance(node, ast.Expr) and getattr(getattr(node.value, "func", None), "id", "") != "print":
        yield "pass"
    elif isinstance(node, ast.Continue | ast.Break):
        yield "break" if isinstance(node, ast.Continue) else "continue"


def _operator(node):
    changed = ast.parse(ast.unparse(node)).body[0]
    changed = changed.value if isinstance(changed, ast.Expr) else changed
    if isinstance(node, ast.Compare):
        changed.ops = [SWAPPED_OPERATORS[type(op)]() for op in node.ops]
    elif type(node.op) in SWAPPED_OPERATORS:
        changed.op = SWAPPED_OPERATORS[type(node.op)]()
    else:
        return
    yield ast.unparse(changed) if isinstance(node, ast.AugAssign) else f"({ast.unparse(changed)})"


def _constant(value):
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        yield repr(value * 2 if value else 1.0)
    elif isinstance(value, str):
        yield repr(f"XX{value}")


def _call(node):
    """Without one keyword argument; a method without arguments not called at all."""
    if getattr(node.func, "id", "") in SPOKEN:
        return
    for i, given in enumerate(node.keywords):
        if given.arg:
            yield ast.unparse(ast.Call(node.func, node.args, node.keywords[:i] + node.keywords[i + 1 :]))
    if isinstance(node.func, ast.Attribute) and not node.args and not node.keywords:
        yield f"({ast.unparse(node.func.value)})"


def test_files(module, asked):
    """Tests of a module: those asked for, else its mirror, or its package's, and then the others of its room."""
    if asked:
        return asked
    room = Path("tests", *module.parts[1:-1])
    mirrors = [room / f"test_{module.name}", room.with_name(f"test_{room.name}.py")]
    others = sorted(path.relative_to(PROJECT) for path in _inside(room).glob("test_*.py"))
    return [str(path) for path in dict.fromkeys([*mirrors, *others]) if _inside(path).is_file()]


def _inside(path):
    return PROJECT / path


def passes(copy, tests, limit):
    """Whether the tests pass in a copy of the project, in a forked process that has `limit` seconds."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with contextlib.suppress(BaseException):
            os.chdir(copy)
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            sys.path[:0] = [str(copy), str(copy / "tests")]
            os.environ["PYTHONPATH"] = str(copy)
            sys.dont_write_bytecode = True
            import pytest

            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not long", *tests])))
        os._exit(99)
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def _copy(folder):
    for name in COPIED:
        source = PROJECT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


def survivors(module, chosen, source, tests, jobs):
    """The faults among `chosen` that the tests do not see."""
    data = source.encode()
    with tempfile.TemporaryDirectory() as folder:
        copies = Queue()
        for i in range(jobs):
            copies.put(_copy(Path(folder) / str(i)))
        first, begin = copies.get(), time.monotonic()
        if not passes(first, tests, 600):
            sys.exit(f"{' '.join(tests)}: fail without any fault")
        limit = 20 + 4 * (time.monotonic() - begin)
        copies.put(first)

        def survives(fault):
            copy, (start, end, text, _) = copies.get(), fault
            (copy / module).write_bytes(data[:start] + text.encode() + data[end:])
            found = passes(copy, tests, limit)
            (copy / module).write_bytes(data)
            copies.put(copy)
            if found:
                print(_difference(data, fault), flush=True)
            return found

        with ThreadPoolExecutor(jobs) as pool:
            return [fault for fault, alive in zip(chosen, pool.map(survives, chosen), strict=True) if alive]


def _difference(data, fault):
    start, end, text, line = fault
    before = data[:start].decode().rsplit("\n", 1)[-1].lstrip()
    after = data[end:].decode().split("\n", 1)[0]
    return f"{line}: {before}⟦{data[start:end].decode()} → {text}⟧{after}"


def main(arguments=None):
    """Command line; prints the survivors and how many of how many faults were seen."""
    parser = argparse.ArgumentParser(prog="python workflow/mutate.py", description=__doc__.splitlines()[0])
    parser.add_argument("module", type=Path)
    parser.add_argument("tests", nargs="*", help="test files; none: the module's own and those of its room")
    parser.add_argument("--sample", type=int, help="how many faults to try, drawn at random; none: all")
    parser.add_argument("--line", type=int, nargs="*", help="only faults of these lines")
    parser.add_argument("--list", action="store_true", help="print the faults, try none")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    given = parser.parse_args(arguments)
    module = given.module.resolve().relative_to(PROJECT)
    source = _inside(module).read_text(encoding="utf-8")
    found = [fault for fault in faults(source) if not given.line or fault[3] in given.line]
    chosen = sorted(random.Random(0).sample(found, min(given.sample or len(found), len(found))))
    if given.list:
        print(*(_difference(source.encode(), fault) for fault in chosen), sep="\n")
        return
    sys.path.insert(0, str(PROJECT))
    kept = [importlib.import_module(name) for name in HEAVY]  # noqa: F841
    for name in [name for name in sys.modules if name.split(".")[0] == "lib"]:
        del sys.modules[name]
    alive = survivors(module, chosen, source, test_files(module, given.tests), given.jobs)
    killed = len(chosen) - len(alive)
    share = f"{killed} of {len(chosen)} faults seen, {100 * killed / max(len(chosen), 1):.0f} %"
    print(f"{module}: {share} ({len(found)} in all)")


if __name__ == "__main__":
    main()
