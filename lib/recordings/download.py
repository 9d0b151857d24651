"""The real data by one call: the DCASE 2023 Task 2 recordings from Zenodo, as a data root.

What came is kept: a second call goes on where the first stopped, and asks for nothing that is there. Each archive is
checked by the md5 that its record lists (`zenodo`), fetched (`fetching`), unpacked (`unpacking`) and deleted.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pooch

from lib import paths
from lib.recordings import zenodo
from lib.recordings.fetching import Patience, bytes_of, fetch_file, fetch_text
from lib.recordings.unpacking import check_room, unpack
from lib.recordings.zenodo import Archive, Listed

UNPACKED = 1.5  # size of unpacked recordings to that of their zip, at most; only to ask for room beforehand
AT_ONCE = Patience(tries=1, timeout=5.0)  # with a server that may well be out of reach


def download(
    root: str | Path,
    machines: Iterable[str] = (),
    sets: Iterable[str] = (),
    *,
    server: str = zenodo.SERVER,
    zips: str | Path | None = None,
    patience: Patience | None = None,
) -> dict[str, str]:
    """Make `root` hold the recordings of these machines; what goes well is kept whatever happens to the rest.

    Args:
        root: data root; other recordings in it are left alone.
        machines: names; none: all. sets: of `zenodo.SETS`; none: all.
        server: where the records are. zips: folder of archives at hand, which are taken instead; without `machines`
            those that are in it. patience: with the server.

    Returns:
        {name of an archive: why it is missing}, each printed as it happened.

    Raises:
        ValueError: an unknown machine or set, a root that is none or in use, no archives in `zips`.
        OSError: the root cannot be written to, or its disk is too small.
    """
    wanted = zenodo.archives(machines, sets)
    place = paths.Downloads(_checked(Path(root).expanduser().resolve()))
    zips = _folder(zips, wanted) if zips else None
    if zips and not machines:
        wanted = [archive for archive in wanted if (zips / archive.name).is_file()]
    missing = {}
    with _locked(place):
        pending = [archive for archive in wanted if not _is_unpacked(place, archive)]
        if not pending:
            print(f"nothing to download: what {len(wanted)} archives hold is there")
        elif zips:
            listed, _ = _listed(place, server, pending, AT_ONCE, kept=True)
            _each(pending, place, missing, lambda each: _take(place, each, zips, server, listed.get(each)))
        else:
            patience = patience or Patience()
            listed, unlisted = _listed(place, server, pending, patience)
            missing |= unlisted
            _say_what_comes(place, listed)
            _each(listed, place, missing, lambda each: _fetch(place, each, server, listed[each], patience))
    return missing


def _checked(root):
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root}: a file; name a folder for the recordings (DATA)")
    if (root / "synthetic.json").exists():
        raise ValueError(f"{root}: holds the demo data; choose another folder (DATA)")
    return root


def _folder(zips, wanted):
    zips = Path(zips).expanduser().resolve()
    if not zips.is_dir():
        raise ValueError(f"{zips}: no such folder; name the one that holds the zips (ZIPS)")
    if not any((zips / archive.name).is_file() for archive in wanted):
        raise ValueError(f"{zips}: none of the archives is there; they are called {wanted[0].name} and so on (ZIPS)")
    return zips


@contextmanager
def _locked(place) -> Iterator[None]:
    """Hold the root; what a killed call of pooch left goes."""
    try:
        place.state.mkdir(parents=True, exist_ok=True)
        lock = open(place.state / "lock", "a")  # noqa: SIM115
    except OSError as error:
        raise OSError(f"cannot write {place.state}: {error.strerror}; choose another folder (DATA)") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{place.root}: another download works there; wait for it") from None
        except OSError as error:
            raise OSError(f"cannot lock {place.state}: {error.strerror}; choose a folder on another disk") from None
        for left in place.state.glob("tmp*"):
            left.unlink()
        yield


def _is_unpacked(place, archive):
    """Whether the archive was unpacked, and its files are still there."""
    try:
        files = json.loads(place.unpacked(archive.name).read_text(encoding="utf-8"))["files"]
        folder = place.machine(archive.subset, archive.machine)
        return all((folder / name).stat().st_size or not size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _listed(place, server, pending, patience, kept=False) -> tuple[dict[Archive, Listed], dict[str, str]]:
    """What the server lists of archives, and by name why it does not; `kept`: what it once said will do."""
    listed, missing = {}, {}
    for record in dict.fromkeys(archive.record for archive in pending):
        own = [archive for archive in pending if archive.record == record]
        url = zenodo.listing_url(server, record)
        try:
            files = _listing(place.listing(record), url, patience, kept)
        except (ValueError, OSError) as error:
            why = _why(error, place)
            if not kept:
                print(why, flush=True)
            missing |= {archive.name: why for archive in own}
            continue
        listed |= {archive: files[archive.name] for archive in own if archive.name in files}
        for archive in own:
            if archive not in listed and not kept:
                _miss(missing, archive, f"not listed in {url}; look at it in a browser")
    return listed, missing


def _listing(path, url, patience, kept):
    if kept and path.exists():
        return zenodo.read_listing(path.read_text(encoding="utf-8"), str(path))
    text = fetch_text(url, patience)
    files = zenodo.read_listing(text, url)
    paths.write_text(path, text)
    return files


def _say_what_comes(place, listed):
    """What will be downloaded, of which licence; OSError where there is no room for it."""
    if not listed:
        return
    sizes = {archive: 0 if place.archive(archive.name).exists() else file.size for archive, file in listed.items()}
    rest = {archive: max(size - _size(place.part(archive.name)), 0) for archive, size in sizes.items()}
    size = bytes_of(sum(rest.values()))
    unpacked = UNPACKED * sum(file.size for file in listed.values())
    check_room(place.root, int(max(rest.values()) + unpacked), f"download {size}, one zip at a time, and unpack it")
    print(f"{len(listed)} archives, {size} to download into {paths.shown(place.root)}")
    print(f"the recordings' licence: {zenodo.LICENCE}", flush=True)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _each(archives, place, missing, work: Callable[[Archive], str]):
    """Work on archives in turn, with a line for each; what fails stops no other."""
    for number, archive in enumerate(archives, 1):
        begin = time.monotonic()
        try:
            said = work(archive)
        except (ValueError, OSError) as error:
            _miss(missing, archive, _why(error, place))
        else:
            print(f"[{number}/{len(archives)}] {archive.name}: {said}, {time.monotonic() - begin:.0f} s", flush=True)


def _why(error, place):
    """An error's words; of a failed write the file, the cause and the mend."""
    if isinstance(error, OSError) and error.strerror:
        named = error.filename if isinstance(error.filename, str) else place.state
        error = paths.write_failure(Path(named), error) or error
    return str(error).replace(paths.ANOTHER, "choose another folder (DATA)")


def _miss(missing, archive, why):
    missing[archive.name] = why
    print(f"{archive.name}: {why}", flush=True)


def _fetch(place, archive, server, listed, patience):
    """Download an archive and unpack it."""
    path = place.archive(archive.name)
    url = zenodo.file_url(server, archive)
    fetch_file(url, path, place.part(archive.name), listed.size, listed.md5, patience)
    said = _unpack(place, archive, path, listed.md5, "md5")
    path.unlink()
    return said


def _take(place, archive, zips, server, listed):
    """Unpack an archive that the user has, which stays as it is."""
    path, url = zips / archive.name, zenodo.file_url(server, archive)
    if not path.is_file():
        raise ValueError(f"not in {zips}; get it from {url}, or leave ZIPS out")
    with paths.readable(path, "get the right to read it, or get it anew"):
        md5 = pooch.file_hash(path, "md5")
    if listed and listed != (path.stat().st_size, md5):
        raise ValueError(f"{path} is not the file that is listed ({listed.size} bytes, md5 {listed.md5}); get {url}")
    said = _unpack(place, archive, path, md5, "md5" if listed else "its own checksums")
    return said + ("" if listed else ", checked by its own checksums alone: there is no listing at hand")


def _unpack(place, archive, path, md5, checked):
    folder = place.machine(archive.subset, archive.machine)
    done = unpack(path, archive.machine, folder)
    facts = {"md5": md5, "checked by": checked, "files": done.files}
    paths.write_text(place.unpacked(archive.name), json.dumps(facts, indent=1))
    for name in done.left:
        print(f"{folder / name} stays as it is; {archive.name} has another", flush=True)
    return f"{done.clips} clips in {paths.shown(folder)}"
