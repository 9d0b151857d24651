"""What the shared extractor tells apart."""

import json

import pandas as pd

from lib.recordings.classes import class_names


def test_a_class_is_machine_domain_and_attributes_and_small_groups_join_their_machine():
    rows = [
        *[("fan", "source", {"v": "1", "w": ""})] * 3,
        *[("fan", "source", {"v": "2"})] * 2,  # too few
        *[("fan", "target", {"v": "1"})] * 3,
        *[("pump", "source", {})] * 1,
    ]
    table = pd.DataFrame([(m, d, json.dumps(a)) for m, d, a in rows], columns=["machine", "domain", "attributes"])
    assert class_names(table).tolist() == [
        *["fan source v=1"] * 3,
        *["fan source"] * 2,
        *["fan target v=1"] * 3,
        "pump source",
    ]
    assert class_names(table, 2).tolist()[3] == "fan source v=2"
    assert class_names(table, tells=("attributes",)).tolist() == [
        *["fan v=1"] * 3,
        *["fan"] * 2,
        *["fan v=1"] * 3,
        "pump",
    ]
    assert class_names(table, tells=("domain",)).tolist() == [*["fan source"] * 5, *["fan target"] * 3, "pump source"]
    assert class_names(table, tells=()).tolist() == [*["fan"] * 8, "pump"]
