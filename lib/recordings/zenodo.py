"""The DCASE 2023 Task 2 recordings on Zenodo: which archives there are, and what the server lists of them."""

import difflib
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from lib.systems import DEVELOPMENT_MACHINES

SERVER = "https://zenodo.org"
LICENCE = "CC BY-NC-SA 4.0: for non-commercial use"  # in the data set's text
EVALUATION_MACHINES = ("ToyDrone", "ToyNscale", "ToyTank", "Vacuum", "bandsaw", "grinder", "shaker")
SETS = {  # machines; (record, name) of the archives that each has, training clips first
    "dev": (DEVELOPMENT_MACHINES, ((7882613, "dev_{}.zip"),)),
    "eval": (EVALUATION_MACHINES, ((7830345, "eval_data_{}_train.zip"), (7860847, "eval_data_{}_test.zip"))),
}


class Archive(NamedTuple):
    """A zip of one machine's clips; `subset` is a key of `SETS`, `record` the number at Zenodo."""

    name: str
    record: int
    subset: str
    machine: str


class Listed(NamedTuple):
    """What the server says of a file: bytes, and md5 in small letters."""

    size: int
    md5: str


def archives(machines: Iterable[str] = (), sets: Iterable[str] = ()) -> list[Archive]:
    """The archives of these machines in these sets; none named: all.

    >>> [archive.name for archive in archives(["ToyTank", "fan"])]
    ['dev_fan.zip', 'eval_data_ToyTank_train.zip', 'eval_data_ToyTank_test.zip']

    Raises:
        ValueError: an unknown set or machine, or one that no named set has; names the known ones.
    """
    machines, sets = set(machines), set(sets) or set(SETS)
    for name in sorted(sets):
        _check(name, SETS, "set", "SETS")
    for name in sorted(machines):
        _check(name, DEVELOPMENT_MACHINES + EVALUATION_MACHINES, "machine", "MACHINES")
    known = {machine for subset in sets for machine in SETS[subset][0]}
    if absent := sorted(machines - known):
        raise ValueError(f"{absent[0]} is no machine of SETS={' '.join(sorted(sets))}; name both: SETS='dev eval'")
    return [
        Archive(name.format(machine), record, subset, machine)
        for subset, (members, patterns) in SETS.items()
        if subset in sets
        for machine in members
        if machine in machines or not machines
        for record, name in patterns
    ]


def _check(name, known, kind, variable):
    if name in known:
        return
    spelled = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), spelled, 1)
    meant = f"did you mean {spelled[close[0]]}? " if close else ""
    raise ValueError(f"{variable}: unknown {kind} {name!r}; {meant}known: {', '.join(known)}")


def listing_url(server: str, record: int) -> str:
    return f"{server.rstrip('/')}/api/records/{record}"


def file_url(server: str, archive: Archive) -> str:
    """Where a file is fetched: the record's page. The address that the listing links takes no Range."""
    return f"{server.rstrip('/')}/records/{archive.record}/files/{archive.name}?download=1"


def read_listing(text: str, source: str) -> dict[str, Listed]:
    """{name: `Listed`} of the zips in a record, as Zenodo's API answers.

    >>> md5 = "0123456789abcdef" * 2
    >>> read_listing(f'{{"files": [{{"key": "a.zip", "size": 7, "checksum": "md5:{md5}"}}]}}', "here")["a.zip"].size
    7

    Args:
        text: JSON. source: where it is from, for the message.

    Raises:
        ValueError: it is no such listing.
    """
    try:
        files = {file["key"]: file for file in json.loads(text)["files"]}
        listed = {
            name: Listed(int(file["size"]), re.fullmatch(r"(?:md5:)?([0-9a-f]{32})", file["checksum"].lower())[1])
            for name, file in files.items()
            if name.endswith(".zip")
        }
        if any(file.size <= 0 for file in listed.values()):
            raise ValueError("a size that is none")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{source}: no list of files with size and md5 ({type(error).__name__}); look at it in a browser"
        ) from None
    return listed
