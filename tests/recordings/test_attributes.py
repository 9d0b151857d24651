import json

import numpy as np
import pandas as pd
import pytest

from lib.recordings import attributes
from lib.recordings.attributes import Labels
from lib.settings import Flow, Settings
from lib.systems import SYSTEMS


def clips(*given, section="00"):
    return pd.DataFrame({"attributes": [json.dumps(each) for each in given], "section": section})


CAR = clips(
    {"car": "B1", "spd": "28V", "mic": "1"},
    {"car": "B1", "spd": "31V", "mic": "1"},
    {"car": "A2", "spd": "40V", "mic": "1"},
    {"car": "A2", "spd": "40V", "mic": "1"},
    {"mic": "1"},
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["28V", "31V", "", "28V"], {"28V": 28.0, "31V": 31.0}),
        (["0.11", "-2", "+3.5%"], {"0.11": 0.11, "-2": -2.0, "+3.5%": 3.5}),
        (["02", "00"], {"00": 0.0, "02": 2.0}),
        (["B1", "A2", "10"], {"10": 0.0, "A2": 1.0, "B1": 2.0}),  # one value that is no number: all are ranks
        (["1.2.3", "4"], {"1.2.3": 0.0, "4": 1.0}),
        (["", ""], {}),
    ],
)
def test_physical_values(values, expected):
    assert attributes.physical_values(values) == expected


def test_k_is_five_over_the_smallest_gap():
    assert attributes.positions(CAR, "spd", Flow()) == pytest.approx({"28V": 140 / 3, "31V": 155 / 3, "40V": 200 / 3})
    centred = attributes.positions(CAR, "spd", Flow(centre=True))
    assert sum(centred.values()) == pytest.approx(0, abs=1e-9)
    assert attributes.positions(CAR, "car", Flow()) == {"A2": 0, "B1": 5}


def test_parameters_with_one_value_are_left_out():
    assert attributes.parameters(CAR) == ["car", "spd"]
    assert attributes.parameters(clips({"spd": "2"}, {"spd": "02"})) == []  # one speed, written in two ways
    with pytest.raises(ValueError, match=r"'mic' has fewer than two values.*car, spd"):
        attributes.positions(CAR, "mic", Flow())


def test_labels_of_each_system():
    settings = Settings()
    joint = Labels.of(CAR, SYSTEMS["SerialOE-Flow"], "all", settings)
    assert joint.classes == ("car=A2 mic=1 spd=40V", "car=B1 mic=1 spd=28V", "car=B1 mic=1 spd=31V", "mic=1")
    own = Labels.of(CAR, SYSTEMS["SerialOE-DFlow"], "spd", settings)
    assert own.classes == ("28V", "31V", "40V")
    rows = own.add_to(CAR)
    assert rows["category"].tolist() == [0, 1, 2, 2, -1]
    assert rows["position"].iloc[0] == pytest.approx(140 / 3) and np.isnan(rows["position"].iloc[4])
    assert Labels.of(CAR, SYSTEMS["OE-DFlow"], "spd", settings).classes == ()
    plain = Labels.of(CAR, SYSTEMS["OE"], "all", settings)
    assert plain == Labels() and plain.add_to(CAR)["position"].isna().all()


def test_joint_classes_do_not_depend_on_the_order_of_keys_or_clips():
    mixed = clips({"car": "B1", "spd": "28V"}, {"spd": "31V", "car": "A2"}, {"spd": "28V", "car": "B1"})
    labels = Labels.of(mixed, SYSTEMS["Serial-OE"], "all", Settings())
    assert labels.classes == ("car=A2 spd=31V", "car=B1 spd=28V")
    assert Labels.of(mixed[::-1], SYSTEMS["Serial-OE"], "all", Settings()) == labels
    for rows in (mixed, mixed[::-1], mixed[1:]):
        assert labels.add_to(rows)["category"].tolist() == [{0: 1, 1: 0, 2: 1}[i] for i in rows.index]


def test_rows_keep_their_index_and_lack_what_none_of_them_has():
    """The first column of an index that was filtered is not 0; rows of other machines may have no attribute at all."""
    joint, own = (
        Labels.of(CAR, SYSTEMS[name], what, Settings())
        for name, what in (("Serial-OE", "all"), ("SerialOE-DFlow", "spd"))
    )
    later = CAR.set_index(CAR.index + 40)[2:]
    assert joint.add_to(later)["category"].tolist() == [0, 0, 3] and own.add_to(later)["category"].tolist() == [
        2,
        2,
        -1,
    ]
    bare = clips({}, {"mic": "1"}).set_index(pd.Index([7, 9]))
    assert own.add_to(bare)["category"].tolist() == [-1, -1] and own.add_to(bare)["position"].isna().all()


def test_a_clip_that_lists_its_keys_otherwise_moves_no_class():
    bearing = [{"vel": "2", "loc": "A"}, {"vel": "1", "loc": "B"}]
    odd = clips(*bearing, {"mic": "1", "vel": "1", "loc": "C"})
    assert Labels.of(odd, SYSTEMS["Serial-OE"], "all", Settings()).classes[-1] == "loc=A vel=2"


def test_joint_classes_stand_in_the_order_of_the_names_keys():
    """vel before loc, as bearing's names say, although loc comes first in the alphabet."""
    bearing = clips({"vel": "2", "loc": "A"}, {"vel": "1", "loc": "B"}, {"vel": "1", "loc": "C"})
    classes = Labels.of(bearing, SYSTEMS["Serial-OE"], "all", Settings()).classes
    assert classes == ("loc=B vel=1", "loc=C vel=1", "loc=A vel=2")


def test_target_domain_values_are_among_the_classes():
    """Values are taken from all training clips; nothing asks for the domain."""
    assert "40V" in Labels.of(CAR, SYSTEMS["SerialOE-DFlow"], "spd", Settings()).classes


def test_section_as_second_task(capsys):
    settings = Settings.model_validate({"training": {"second_task": "section"}})
    assert Labels.of(CAR, SYSTEMS["Serial-OE"], "all", settings).classes == ()
    assert "only 1 section" in capsys.readouterr().out
    two = CAR.assign(section=["00", "00", "01", "01", "00"])
    labels = Labels.of(two, SYSTEMS["Serial-OE"], "all", settings)
    assert labels.classes == ("00", "01") and labels.add_to(two)["category"].tolist() == [0, 0, 1, 1, 0]


def test_trainings_of_a_machine():
    found = attributes.trainings(attributes.parameters(CAR), SYSTEMS.values(), Settings())
    assert found == [
        ("OE", "all"), ("Serial-OE", "all"), ("OE-Flow", "all"), ("OE-DFlow", "car"), ("OE-DFlow", "spd"),
        ("SerialOE-Flow", "all"), ("SerialOE-DFlow", "car"), ("SerialOE-DFlow", "spd"),
    ]  # fmt: skip
    bare = clips({"mic": "1"}, {})
    assert attributes.trainings(attributes.parameters(bare), SYSTEMS.values(), Settings()) == [
        ("OE", "all"),
        ("OE-Flow", "all"),
    ]


@pytest.mark.parametrize(
    ("system", "parameter", "message"),
    [
        ("OE-DFlow", "all", "one of car, spd"),
        ("OE-Flow", "spd", "it must be all"),
        ("SerialOE-DFlow", "mic", "fewer than two values"),
    ],
)
def test_wrong_parameters_are_named(system, parameter, message):
    with pytest.raises(ValueError, match=message):
        Labels.of(CAR, SYSTEMS[system], parameter, Settings())


def test_a_machine_without_attributes(capsys):
    bare = clips({}, {})
    for system in ("Serial-OE", "SerialOE-Flow", "OE-DFlow"):
        with pytest.raises(ValueError, match="this machine has none"):
            Labels.of(bare, SYSTEMS[system], "all", Settings())
