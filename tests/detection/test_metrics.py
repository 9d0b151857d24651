import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from lib.detection.metrics import decision_scores, harmonic_mean, interval, machine_scores, partial_auc
from lib.results.tables import paper_tables


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    domain = np.repeat(["source", "target"], 100)
    label = np.tile(np.repeat(["normal", "anomaly"], 50), 2)
    score = np.round(rng.normal(0, 1, 200) + 0.7 * (label == "anomaly") + 0.5 * (domain == "target"), 1)  # with ties
    return score, domain, label


@pytest.mark.parametrize("max_fpr", [1.0, 0.1, 0.03])
def test_area_is_sklearns_with_ties(clips, max_fpr):
    score, _, label = clips
    anomalous = label == "anomaly"
    expected = roc_auc_score(anomalous, score, max_fpr=None if max_fpr == 1 else max_fpr)
    assert partial_auc(score[~anomalous], score[anomalous], max_fpr) == pytest.approx(expected, abs=1e-12)


def test_area_at_its_limits():
    low, high = np.zeros(50), np.ones(50)
    assert partial_auc(low, high) == 1 and partial_auc(high, low) == 0 and partial_auc(low, low) == 0.5
    assert partial_auc(low, high, 0.1) == 1 and partial_auc(low, low, 0.1) == pytest.approx(0.5)
    assert partial_auc(high, low, 0.1) == pytest.approx(0.5 * (1 - 0.005 / 0.095))  # McClish's scale has no 0
    with pytest.raises(ValueError, match="50 and 0"):
        partial_auc(low, low[:0])


def test_resampling_counts_are_repetitions():
    rng = np.random.default_rng(1)
    normal, anomaly = rng.normal(0, 1, 7), rng.normal(1, 1, 6)
    n, a = rng.multinomial(7, np.full(7, 1 / 7), 1), rng.multinomial(6, np.full(6, 1 / 6), 1)
    expected = partial_auc(np.repeat(normal, n[0]), np.repeat(anomaly, a[0]), 0.3)
    assert partial_auc(normal, anomaly, 0.3, n, a)[0] == pytest.approx(expected)


def test_rules(clips):
    score, domain, label = clips
    found = machine_scores(score, domain, label)
    for d in ("source", "target"):
        own = domain == d
        either = (own & (label == "normal")) | (label == "anomaly")
        name = f"auc_{d}"
        assert found["paper"][name][0] == pytest.approx(roc_auc_score(label[own] == "anomaly", score[own]))
        assert found["official"][name][0] == pytest.approx(roc_auc_score(label[either] == "anomaly", score[either]))
        assert (found["paper"][name][0] * 2500 * 2) % 1 == pytest.approx(0, abs=1e-6)
    pooled = roc_auc_score(label == "anomaly", score, max_fpr=0.1)
    for rule, values in found.items():
        assert values["pauc"][0] == pytest.approx(pooled)
        assert values["hmean"][0] == pytest.approx(
            hmean([values[k][0] for k in ("auc_source", "auc_target", "pauc")])
        ), rule


def test_grid_steps():
    """50 × 50 clips: one more pair in order is worth 0.04 % under the paper's rule, 0.02 % under the official one."""
    score = np.zeros(200)
    domain, label = np.repeat(["source", "target"], 100), np.tile(np.repeat(["normal", "anomaly"], 50), 2)
    score[0] = -1  # a source normal below everything: all of its pairs in order, half a point each before
    found = machine_scores(score, domain, label)
    assert 100 * (found["paper"]["auc_source"][0] - 0.5) / 25 == pytest.approx(0.04)
    assert 100 * (found["official"]["auc_source"][0] - 0.5) / 50 == pytest.approx(0.02)


def test_every_auc_of_the_paper_lies_on_the_grid():
    for number in (2, 3):
        table = paper_tables()[number].drop(columns=["inlier_models", "overall"])
        ours = table[~table.index.str.startswith("Baseline")].to_numpy().ravel()
        assert len(ours) == 63
        assert np.allclose(ours / 0.04, np.round(ours / 0.04), atol=1e-6)


def test_table_4_follows_from_tables_2_and_3():
    """The implied pAUCs of Submitted 4, and its overall score from all 21 values."""
    tables = {n: t.loc["Submitted 4"] for n, t in paper_tables().items()}
    implied = {
        "bearing": 54.69,
        "fan": 74.00,
        "gearbox": 62.68,
        "slider": 79.62,
        "valve": 80.06,
        "ToyCar": 51.64,
        "ToyTrain": 48.79,
    }
    values = [[tables[2][m], tables[3][m], p] for m, p in implied.items()]
    for machine, three in zip(implied, values, strict=True):
        assert harmonic_mean(three) == pytest.approx(tables[4][machine], abs=0.02)
    assert harmonic_mean(np.ravel(values)) == pytest.approx(tables[4]["overall"], abs=0.02)
    assert harmonic_mean([tables[2][m] for m in implied]) == pytest.approx(tables[2]["overall"], abs=0.02)
    for (source, target, pauc), machine in zip(values, implied, strict=True):
        assert 1 / (3 / tables[4][machine] - 1 / source - 1 / target) == pytest.approx(pauc, abs=0.02)


@pytest.mark.parametrize("number", [2, 3, 4])
def test_every_overall_of_the_paper_is_a_harmonic_mean(number):
    """Table 4's of machine scores, which is that of all their AUCs and pAUCs."""
    table = paper_tables()[number].drop(columns="inlier_models")
    machines = table.drop(columns="overall").to_numpy(float).T
    assert len(table) == 11 and np.allclose(harmonic_mean(machines), table["overall"], atol=0.01)


@pytest.mark.parametrize("sign, auc, pauc", [(1, 1, 1), (0, 0.5, 0.5), (-1, 0, 9 / 19)])
def test_machine_scores_at_their_limits(clips, sign, auc, pauc):
    """Perfect, all tied and reversed, under both rules."""
    _, domain, label = clips
    for found in machine_scores(sign * (label == "anomaly"), domain, label).values():
        values = {name: value[0] for name, value in found.items() if name != "hmean"}
        assert values == pytest.approx({"auc_source": auc, "auc_target": auc, "pauc": pauc})


def test_interval_covers_and_narrows(clips):
    score, domain, label = clips
    few = machine_scores(score, domain, label, resamples=400)["paper"]["auc_source"]
    low, high = interval(few)
    assert low < few[0] < high and 0.05 < high - low < 0.35
    many = machine_scores(*(np.tile(a, 9) for a in clips), resamples=400)["paper"]["auc_source"]
    assert interval(many)[1] - interval(many)[0] == pytest.approx((high - low) / 3, rel=0.25)
    assert np.isnan(interval(few[:1])[0])


def test_missing_labels_and_broken_scores(clips):
    score, domain, label = clips
    found = machine_scores(score[:100], domain[:100], label[:100])["paper"]
    assert np.isnan(found["auc_target"][0]) and np.isnan(found["hmean"][0]) and found["auc_source"][0] > 0
    with pytest.raises(ValueError, match="1 of 200 scores are not finite"):
        machine_scores(np.where(np.arange(200) == 3, np.nan, score), domain, label)


def test_harmonic_mean_is_floored():
    assert 0 < harmonic_mean([0.0, 1.0]) < 1e-14


def test_decisions(clips):
    score, domain, label = clips
    decided = score > 0.5
    for d, found in decision_scores(decided, domain, label).items():
        truth, said = label[domain == d] == "anomaly", decided[domain == d]
        assert found["precision"] == pytest.approx(precision_score(truth, said))
        assert found["recall"] == pytest.approx(recall_score(truth, said))
        assert found["f1"] == pytest.approx(f1_score(truth, said))
    assert decision_scores(score > 99, domain, label)["source"] == {"precision": 0, "recall": 0, "f1": 0}
