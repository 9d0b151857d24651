"""A row's score as one sum; that it is the tables' is tested where every row listens (`test_listener`)."""

import numpy as np
import pandas as pd
from makers import clip_table, long_form

from lib.detection import ensembles
from lib.listening.row_score import CONSTANTS, RowScore


def run_scores(rng):
    """Two systems of three detectors, on scales of their own, weighted and plain."""
    clips, tables = clip_table(test=0, calibration=9), []
    for system, detector, scale in (("OE", "KNN-1", 7.0), ("OE", "GMM-1", 400.0), ("OE-Flow", "flow", 0.01)):
        for aggregator in ("plain", "weighted"):
            raw = scale * (5 + rng.standard_normal(len(clips)))
            table = long_form(clips, raw, system=system, detector=detector, aggregator=aggregator)
            mean, deviation = raw.mean(), raw.std()
            tables.append(table.assign(mean=mean, deviation=deviation, standardized=(raw - mean) / deviation))
    return pd.concat(tables, ignore_index=True)


def test_it_is_the_tables_score_and_nan_where_a_detector_is_missing():
    rng = np.random.default_rng(0)
    scores = run_scores(rng)
    new = scores.drop_duplicates(CONSTANTS).drop(columns="clip").merge(pd.DataFrame({"clip": ["0", "1"]}), how="cross")
    new = new.assign(part="new", score=new["mean"] + new["deviation"] * rng.standard_normal(len(new)))
    new["standardized"] = (new["score"] - new["mean"]) / new["deviation"]
    for weighted in ((), ("fan",)):

        def tables(table, weighted=weighted):
            rows = ensembles.system_rows(ensembles.detector_scores(table, weighted))
            return ensembles.add_submitted(rows, ())

        expected = tables(pd.concat([scores, new], ignore_index=True)).query("system == 'OE' and part == 'new'")
        row = RowScore.of("OE", scores, "calibration", weighted, tables)
        np.testing.assert_allclose(row.score([new], 2), expected["score"], rtol=1e-9)
        assert len(row.terms) == 2
        lacking = new[(new["clip"] == "0") | (new["detector"] != "GMM-1")]
        assert np.isnan(row.score([lacking], 2)).tolist() == [False, True]
