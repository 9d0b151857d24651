"""A trained machine in one folder or zip: only what it needs to listen, with a manifest, and no code in it.

`manifest.json` names every file with its SHA-256, and the machine, row, threshold, versions and settings. What it does
not name, or names otherwise, is refused; weights are safetensors, arrays npz without objects, the rest JSON.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from lib.detection.score_files import COLUMNS
from lib.paths import readable, whole_file, write_text
from lib.systems import ENCODER, EXTRACTORS, ROWS_OF

MANIFEST, SCORES = "manifest.json", "scores.npz"
FORMAT = 1
TRAINED = ("model.safetensors", "model.json", "detectors.npz", "detectors.json", "references.npz")  # of a training
AGAIN = "export it again"
LARGEST, LARGEST_MANIFEST = 1 << 33, 1 << 24  # bytes of a zip's files


def write(
    folder: Path, files: dict[str, Path], arrays: dict[str, np.ndarray], scores: pd.DataFrame, facts: dict
) -> Path:
    """Copy `files` ({name in the export: path}) into a new folder, or into a zip where `folder` ends in .zip.

    Args:
        arrays: {name in the export: array}, written as npz with the key "map".
        scores: with the columns `COLUMNS`. facts: JSON-able, for the manifest.

    Raises:
        ValueError: something is there already.
    """
    if folder.exists():
        raise ValueError(f"{folder}: is there already; delete it or choose another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
        base = Path(temporary) / "export"
        for name, path in files.items():
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, base / name)
        for name, values in arrays.items():
            with whole_file(base / name) as file:
                np.savez(file, map=values)
        with whole_file(base / SCORES) as file:
            np.savez(file, **{name: np.array(scores[name].tolist()) for name in COLUMNS})
        hashes = {name: _digest(base / name) for name in sorted([*files, *arrays, SCORES])}
        write_text(base / MANIFEST, json.dumps(facts | {"format": FORMAT, "files": hashes}, indent=1))
        if folder.suffix == ".zip":
            with whole_file(folder) as file, zipfile.ZipFile(file, "w") as archive:  # weights do not shrink
                for name in (MANIFEST, *hashes):
                    archive.write(base / name, name)
        else:
            base.rename(folder)
    return folder


def is_export(path: Path) -> bool:
    """Whether a folder or file looks like an export."""
    return (path / MANIFEST).is_file() or (path.is_file() and zipfile.is_zipfile(path))


def read(path: Path, scratch: Path) -> tuple[Path, dict, pd.DataFrame]:
    """Check an export and read its manifest and scores.

    Args:
        path: folder or zip. scratch: folder into which what the manifest of a zip names is unpacked.

    Returns:
        Its folder, its manifest, its scores.

    Raises:
        ValueError: a file is missing, is not named in the manifest, was changed, is too large, or would lie outside;
            names it.
    """
    folder = path
    if path.is_file():
        folder = scratch
        with readable(path, AGAIN), zipfile.ZipFile(path) as archive:
            _unpack(path, archive, scratch)
    manifest, files = _manifest(path, folder)
    there = {
        file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_symlink() or not file.is_dir()
    }
    if odd := sorted(there - set(files) - {MANIFEST}):
        raise ValueError(f"{path}: holds {odd[0]}, which its manifest does not name; {AGAIN}")
    for name, digest in files.items():
        file = folder / name
        if not file.is_file() or file.is_symlink() or not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path}: {name} is not there; {AGAIN}")
        if _digest(file) != digest:
            raise ValueError(f"{path}: {name} was changed; {AGAIN}")
    with readable(folder / SCORES, AGAIN), np.load(folder / SCORES) as stored:
        scores = pd.DataFrame({name: stored[name] for name in COLUMNS})
    return folder, manifest, scores.astype(dict.fromkeys(scores.select_dtypes("str").columns, object))


def trained(path: Path, manifest: dict) -> list[list]:
    """[machine, system, parameter, seed] of each training in a manifest; ValueError for one that is no plain name."""
    found = [[manifest["machine"], *each] for each in manifest["trained"]]
    for machine, system, parameter, seed in found:
        for name in (machine, system, parameter):
            if not isinstance(name, str) or name in ("", ".", "..") or set(name) & set("/\\\0"):
                raise ValueError(f"{path}: names {name!r}, which is no machine, system or parameter; {AGAIN}")
        if system == ENCODER or system not in {*EXTRACTORS, *ROWS_OF} or not isinstance(seed, int):
            raise ValueError(f"{path}: holds {system!r}, which no export does; {AGAIN}")
    return found


def _manifest(path, folder):
    """(manifest, its files), each inside and of a kind that an export holds."""
    with readable(folder / MANIFEST, AGAIN):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, form = dict(manifest["files"]), manifest["format"]
    if form != FORMAT:
        raise ValueError(f"{path}: an export of format {form}, this is {FORMAT}; {AGAIN} with this version")
    for name in files:
        _inside(path, name)
        if PurePosixPath(name).suffix not in (".npz", ".json", ".safetensors"):
            raise ValueError(f"{path}: names {name}, which is of no kind that an export holds; {AGAIN}")
    return manifest, files


def _unpack(path, archive, scratch):
    """Unpack the manifest, and then what it names."""
    members = archive.infolist()
    for member in members:
        _inside(path, member.filename)
    if MANIFEST not in archive.namelist() or archive.getinfo(MANIFEST).file_size > LARGEST_MANIFEST:
        raise ValueError(f"{path}: no export, it holds no {MANIFEST}; {AGAIN}")
    archive.extract(MANIFEST, scratch)
    _, files = _manifest(path, scratch)
    if odd := sorted({member.filename for member in members} - set(files) - {MANIFEST}):
        raise ValueError(f"{path}: holds {odd[0]}, which its manifest does not name; {AGAIN}")
    if len(members) > len(files) + 1 or sum(member.file_size for member in members) > LARGEST:
        raise ValueError(f"{path}: holds more than an export does ({len(members)} files); {AGAIN}")
    for name in files:
        if name in archive.namelist():
            archive.extract(name, scratch)


def _inside(path, name):
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or ".." in parts:
        raise ValueError(f"{path}: names {name!r}, outside of it; {AGAIN}")


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
