"""The rows, best first, and how many the test clips do not tell from the best."""

import numpy as np
import pandas as pd
import pytest

from lib.report.rows import CHANCE, SCORES, Ranking


@pytest.fixture(scope="module")
def evaluation(scored_run):
    return scored_run[1]


@pytest.mark.parametrize("machine", ["overall", "fan"])
def test_rows_are_best_first_with_what_the_tables_say(evaluation, machine):
    ranking = Ranking.of(evaluation, machine)
    own = (
        evaluation.query("protocol == 'all' and machine == @machine")
        .set_index(["rule", "score", "system"])["value"]
        .sort_index()
    )
    assert ranking.rows["value"].tolist() == sorted(own["paper", "hmean"], reverse=True) and len(ranking.rows) > 3
    for row in ranking.rows.itertuples():
        assert row.official == own["official", "hmean", row.system]
        assert all(getattr(row, score) == own["paper", score, row.system] for score in SCORES)
    assert ranking.best["value"] == own["paper", "hmean"].max() and ranking.recommended["system"] == "Spectrum"


def test_rows_that_reach_the_best_are_counted_and_the_axis_holds_all(evaluation):
    ranking = Ranking.of(evaluation)
    assert ranking.level == (ranking.rows["high"] >= ranking.rows["value"].max()).sum() - 1
    low, high = ranking.axis
    assert low <= min(ranking.rows["low"].min(), CHANCE) and high >= ranking.rows["high"].max()
    assert ranking.place(low) == 0 and ranking.place(high) == 100 and len(ranking.ticks) == 3


@pytest.mark.parametrize("change", [lambda e: e[:0], lambda e: e.assign(value=np.nan)])
def test_without_labels_there_is_no_best(evaluation, change):
    ranking = Ranking.of(change(evaluation))
    assert ranking.best is None and ranking.recommended is None and ranking.level == 0
    assert ranking.rows.empty and ranking.axis == (0, 100)


def test_without_intervals_and_without_a_domain_rows_still_stand(evaluation):
    bare = evaluation[evaluation["score"] != "auc_target"].assign(low=np.nan, high=np.nan)
    ranking = Ranking.of(bare)
    assert len(ranking.rows) > 3 and ranking.level == 0 and pd.isna(ranking.best["auc_target"])
    assert all(0 <= ranking.place(value) <= 100 for value in ranking.rows["value"])
