"""Clips are ranked by scores alone, and a threshold makes of them what NumPy counts."""

import numpy as np
import pandas as pd
import pytest

from lib.detection.scoring import decision_threshold
from lib.report.files import RunFiles
from lib.report.ranked_clips import Axis, Ranked, default_row


@pytest.fixture
def files(finished):
    return RunFiles(finished(seeds=(0, 1)))


def scores_of(files, row, part):
    own = files.scores.query("machine == 'fan' and system == @row and part == @part")
    return own.groupby("clip")["score"].mean()


def test_the_strangest_comes_first_by_the_mean_over_the_seeds(files):
    ranked = Ranked.of(files, "fan", "OE")
    expected = scores_of(files, "OE", "test").sort_values(ascending=False)
    assert ranked.clips["clip"].tolist() == expected.index.tolist() and len(expected) == 16
    np.testing.assert_allclose(ranked.clips["score"], expected)
    assert ranked.threshold == decision_threshold(scores_of(files, "OE", "calibration"), 0.9)[0]


def test_the_row_is_spectrum_and_never_one_that_labels_chose(files):
    assert Ranked.of(files, "fan").row == "Spectrum" == Ranked.of(files, "fan", "Shared").row
    assert default_row(["Baseline (MSE)", "OE"]) == "Baseline (MSE)"
    vars(files)["scores"] = files.scores.replace({"system": {"OE": "of a later version"}})
    assert files.rows("fan")[-1] == "of a later version", "a row that this version does not know comes last"


@pytest.mark.parametrize("threshold", [None, -10.0, 0.3, 10.0])
@pytest.mark.parametrize("domain", ["", "target"])
def test_counts(files, threshold, domain):
    ranked = Ranked.of(files, "fan")
    clips = ranked.clips[ranked.clips["domain"].str.contains(domain)]
    called = (clips["score"] > (ranked.threshold if threshold is None else threshold)).to_numpy()
    anomaly = (clips["label"] == "anomaly").to_numpy()
    assert ranked.counts(threshold, domain) == {
        "clips": len(clips), "called": called.sum(), "anomalous": anomaly.sum(), "caught": (called & anomaly).sum(),
        "normal": (~anomaly).sum(), "alarms": (called & ~anomaly).sum(),
    }  # fmt: skip


def test_scores_that_are_no_numbers_are_left_out_and_counted(files):
    table = files.scores.assign(score=files.scores["score"].where(files.scores["clip"] != "target_normal_01", np.inf))
    object.__setattr__(files, "__dict__", vars(files) | {"scores": table})
    ranked = Ranked.of(files, "fan")
    assert ranked.unscored == 1 and len(ranked.clips) == 15 and np.isfinite(ranked.clips["score"]).all()


def test_without_calibration_clips_nothing_is_called(files):
    vars(files)["scores"] = files.scores[files.scores["part"] == "test"]
    ranked = Ranked.of(files, "fan")
    assert ranked.threshold == np.inf and ranked.counts()["called"] == 0 and np.isfinite(ranked.axis.high)


def test_an_axis_holds_every_score_in_order():
    scores = [-3.0, -0.1, 0.0, 2.5, 400.0]
    axis = Axis.of(scores)
    places = [axis.place(score) for score in scores]
    assert places == sorted(places) and places[0] > 0 and places[-1] < 1
    assert {"−2", "0", "1", "100"} <= set(axis.ticks) and np.all(np.diff(list(axis.ticks.values())) > 0.05)
    assert 0 < Axis.of([2.0, 2.0]).place(2.0) < 1 and 0 < Axis.of([]).place(0.0) < 1
    assert pd.Series(axis.ticks).between(0, 1).all()
