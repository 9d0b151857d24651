"""The attributes of a machine's clips as the systems hear them: L_att's K values and z_d's physical parameter v.

Paper: Eqs. 3 and 8, Sec. 3.1 and 4.2. Values, K, v and the smallest gap are taken over all training clips of the
machine, both domains and both sides of the split.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.recordings.dcase import attribute_table
from lib.recordings.values import number_of
from lib.settings import Flow, Settings
from lib.systems import ALL, System


def parameters(training: pd.DataFrame) -> list[str]:
    """Attribute parameters with two or more different values v; the only ones that OE-DFlow can follow.

    Args:
        training: training rows of one machine's index.
    """
    table = attribute_table(training)
    return [name for name in table.columns if len(set(physical_values(table[name]).values())) > 1]


def physical_values(values: Iterable[str]) -> dict[str, float]:
    """v of each attribute value (Sec. 3.1): its number where every value is one, else its rank.

    Args:
        values: texts, "" where a clip has none.

    >>> physical_values(["28V", "31V", "", "28V"])
    {'28V': 28.0, '31V': 31.0}
    >>> physical_values(["B1", "A2", "10"])
    {'10': 0.0, 'A2': 1.0, 'B1': 2.0}
    """
    known = sorted(set(values) - {""})
    numbers = [number_of(value) for value in known]
    if all(numbers):
        return {value: number[0] for value, number in zip(known, numbers, strict=True)}
    return {value: float(rank) for rank, value in enumerate(known)}


def positions(training: pd.DataFrame, parameter: str, flow: Flow) -> dict[str, float]:
    """kv of each value of a parameter, k = gap / smallest distance between two v's (Sec. 4.2).

    Args:
        training: training rows of one machine. parameter: its attribute. flow: `settings.Flow`.

    Returns:
        {text: kv}.

    Raises:
        ValueError: the parameter has fewer than two different values.

    >>> positions(pd.DataFrame({"attributes": ['{"spd": "28V"}', '{"spd": "30V"}']}), "spd", Flow(gap=5))
    {'28V': 70.0, '30V': 75.0}
    """
    v = physical_values(attribute_table(training).get(parameter, pd.Series(dtype=str)))
    ordered = np.unique(list(v.values()))
    if len(ordered) < 2:
        names = ", ".join(parameters(training)) or "none"
        raise ValueError(f"parameter {parameter!r} has fewer than two values in the training clips; usable: {names}")
    k, centre = flow.gap / np.diff(ordered).min(), ordered.mean() if flow.centre else 0.0
    return {text: float(k * (value - centre)) for text, value in v.items()}


@dataclass(frozen=True)
class Labels:
    """What a system is told of its machine's clips beside t.

    Attributes:
        classes: the K values of L_att (or sections of L_section); empty without one.
        positions: {attribute value: kv}; empty without z_d.
        parameter: attribute of `positions`.
        by: what `classes` are of: a parameter, "all" (joint combinations) or "section".
    """

    classes: tuple[str, ...] = ()
    positions: dict | None = None
    parameter: str = ALL
    by: str = ALL

    @classmethod
    def of(cls, training: pd.DataFrame, system: System, parameter: str, settings: Settings) -> "Labels":
        """Labels of a machine for one system.

        Args:
            training: all training rows of the machine. system: `systems.System`.
            parameter: attribute that the system is trained for; "all" for a system that is trained once.
            settings: `settings.Settings`.

        Raises:
            ValueError: the machine's attributes do not allow this system, or the parameter does not fit it.
        """
        named = parameters(training)
        if not named and (system.per_parameter or _second_task(system, settings) == "attribute"):
            raise ValueError(f"{system.name} needs an attribute with two or more values; this machine has none")
        if system.per_parameter == (parameter == ALL):
            wanted = f"one of {', '.join(named)}" if system.per_parameter else "all"
            raise ValueError(f"{system.name}: parameter is {parameter!r}; it must be {wanted}")
        found = positions(training, parameter, settings.flow) if system.per_parameter else None
        if "attribute" not in system.losses:
            return cls((), found, parameter)
        by = parameter if _second_task(system, settings) == "attribute" else "section"
        classes = _classes(training, by)
        if len(classes) < 2:
            print(f"{system.name}: only {len(classes)} {by} to tell apart; trained without the second task")
            classes = ()
        return cls(classes, found, parameter, by)

    def add_to(self, rows: pd.DataFrame) -> pd.DataFrame:
        """`rows` with `category` (position in `classes`, −1 unknown) and `position` (kv, NaN unknown)."""
        number = {text: i for i, text in enumerate(self.classes)}
        category = [number.get(text, -1) for text in _texts(rows, self.by)]
        values = attribute_table(rows).get(self.parameter, pd.Series("", index=rows.index))
        return rows.assign(category=category, position=values.map(self.positions or {}).astype(float))


def trainings(named: Sequence[str], systems: Iterable[System], settings: Settings) -> list[tuple[str, str]]:
    """What is trained for one machine: [(system, parameter)], without the systems that its attributes do not allow.

    Args:
        named: `parameters` of the machine. systems: `systems.System`s. settings: `settings.Settings`.
    """
    found = []
    for system in systems:
        if system.per_parameter:
            found += [(system.name, parameter) for parameter in named]
        elif named or _second_task(system, settings) != "attribute":
            found.append((system.name, ALL))
    return found


def _second_task(system, settings):
    """What the system's second task tells apart: "attribute", "section", or "" without one."""
    return settings.training.second_task if "attribute" in system.losses else ""


def _texts(rows, by):
    """What L_att or L_section tells apart, one text a clip, "" where the clip has none."""
    if by == "section":
        return rows["section"]
    table = attribute_table(rows)
    if by != ALL:
        return table.get(by, pd.Series("", index=rows.index))
    return pd.Series([_joint(row, sorted(row)) for row in table.to_dict("records")], index=rows.index, dtype=str)


def _joint(values, keys):
    """`car=B1 spd=28V` of a clip's {key: value}, without the keys that it lacks."""
    return " ".join(f"{key}={values[key]}" for key in keys if values[key])


def _classes(training, by):
    """What is to be told apart, sorted; joint attributes by their values in the order in which the names list the keys.

    A key's place is the foremost that it takes in any clip, so that neither the order of the clips nor one clip that
    lists its keys in another order changes a class.
    """
    if by != ALL:
        return tuple(sorted(set(_texts(training, by)) - {""}))
    place = {}
    for text in training["attributes"]:
        for position, key in enumerate(json.loads(text)):
            place[key] = min(position, place.get(key, position))
    table = attribute_table(training)
    keys = sorted(table.columns, key=lambda key: (place[key], key))
    ordered = {_joint(row, keys): _joint(row, sorted(row)) for row in table.to_dict("records")}
    return tuple(ordered[text] for text in sorted(ordered) if text)
