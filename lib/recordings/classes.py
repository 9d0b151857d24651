"""What one extractor for all machines hears and tells apart (beyond the paper): parts and classes of every clip."""

from collections.abc import Sequence

import pandas as pd

from lib.recordings.clips import ClipBank
from lib.recordings.dcase import attribute_table, validation_mask
from lib.settings import Settings


def class_names(training: pd.DataFrame, fewest: int = 3, tells: Sequence[str] = ("attributes", "domain")) -> pd.Series:
    """What is to be told apart: machine, attribute values and domain of each training clip.

    A group of fewer than `fewest` clips joins the class of its machine and domain.

    Args:
        training: training rows of the bank's index, of all machines.
        tells: what counts beside the machine.

    >>> rows = [("fan", "source", '{"v": "1"}')] * 3 + [("fan", "source", '{"v": "2"}')]
    >>> class_names(pd.DataFrame(rows, columns=["machine", "domain", "attributes"])).tolist()
    ['fan source v=1', 'fan source v=1', 'fan source v=1', 'fan source']
    """
    own = training["machine"] + (" " + training["domain"] if "domain" in tells else "")
    if "attributes" not in tells:
        return own
    table = attribute_table(training)
    values = [" ".join(f"{k}={v}" for k, v in sorted(row.items()) if v) for row in table.to_dict("records")]
    joint = (own + " " + pd.Series(values, index=training.index, dtype=str)).str.rstrip()
    return joint.where(joint.map(joint.value_counts()) >= fewest, own)


def of_all_machines(bank: ClipBank, settings: Settings) -> pd.DataFrame:
    """Usable clips of all machines with `part` (train, validation, test), `class` and `category` (its number).

    Of a machine with test clips as many are held out as by every system, where they are enough to calibrate by; a class
    is of clips that the extractor is trained on, its number −1 for others.
    """
    rows, inliers = bank.clips[bank.clips["usable"]], settings.inliers
    part = rows["split"].copy()
    targets = rows.loc[rows["split"] == "test", "machine"].unique()
    for machine in targets if inliers.fit_on == "train" else ():
        held = validation_mask(bank.dataset.of(machine, "train"), settings.data.validation_fraction)
        held = held.index[held].intersection(rows.index)
        if len(held) >= inliers.calibration_minimum:
            part[held] = "validation"
    heard = rows[part == "train"]
    if not settings.shared.hears_targets:
        heard = heard[~heard["machine"].isin(targets)]
    names = class_names(heard, settings.shared.class_clips, settings.shared.tells)
    number = {name: i for i, name in enumerate(sorted(names.unique()))}
    category = names.map(number).reindex(rows.index, fill_value=-1).astype(int)
    return rows.assign(part=part, category=category, **{"class": names})
