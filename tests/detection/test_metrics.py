import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from lib.detection.metrics import (
    SCORES,
    _resample,
    decision_scores,
    harmonic_mean,
    interval,
    machine_scores,
    overall,
    partial_auc,
)
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


def two_domains(value):
    """Twenty clips a domain and label, of which `value` says (source, target) AUC by its share of perfect normals."""
    domain, label = np.repeat(["source", "target"], 40), np.tile(np.repeat(["normal", "anomaly"], 20), 2)
    score = (label == "anomaly") * 1.0
    for d, share in zip(("source", "target"), value, strict=True):
        wrong = np.flatnonzero((domain == d) & (label == "normal"))[: round(20 * (1 - share))]
        score[wrong] = 2.0
    return score, domain, label


@pytest.mark.parametrize("domain", ["source", "target", ""])
@pytest.mark.parametrize("rule", ["paper", "official"])
def test_one_domain_has_the_harmonic_mean_of_what_it_has(domain, rule):
    """AUC 3/4 by hand; pAUC as sklearn. Clips whose names say no domain are one, the source's."""
    score, both, label = two_domains((0.75, 0.75))
    here = both == "source"
    found = machine_scores(score[here], np.full(here.sum(), domain), label[here], resamples=20)[rule]
    other = "auc_source" if domain == "target" else "auc_target"
    mine = "auc_target" if domain == "target" else "auc_source"
    pauc = roc_auc_score(label[here] == "anomaly", score[here], max_fpr=0.1)
    assert found[mine][0] == 0.75 and np.isnan(found[other]).all() and found["pauc"][0] == pytest.approx(pauc)
    assert found["hmean"][0] == pytest.approx(2 / (1 / 0.75 + 1 / pauc))
    assert found["hmean"].shape == (21,) and np.isfinite(found["hmean"]).all() and found["hmean"].std() > 0


@pytest.mark.parametrize("sign, expected", [(1, 1.0), (0, 0.5), (-1, 0.0)])
def test_one_domain_at_its_limits(sign, expected):
    label = np.repeat(["normal", "anomaly"], 10)
    found = machine_scores(sign * (label == "anomaly"), np.full(20, ""), label)["paper"]
    assert found["auc_source"][0] == expected and found["hmean"][0] == pytest.approx(expected, abs=1e-14)


def test_a_clip_without_a_domain_counts_only_where_none_has_one():
    score, domain, label = two_domains((0.75, 0.5))
    reference = machine_scores(score, domain, label, resamples=5)
    extra = [np.append(a, b) for a, b in ((score, [9.0, -9.0]), (domain, ["", ""]), (label, ["normal", "anomaly"]))]
    for rule, found in machine_scores(*extra, resamples=5).items():
        assert {name: values[0] for name, values in found.items()} == {n: v[0] for n, v in reference[rule].items()}


def test_a_domain_of_normals_alone_is_missing_by_the_paper_rule_alone():
    score, domain, label = two_domains((0.75, 0.5))
    kept = ~((domain == "target") & (label == "anomaly"))
    found = machine_scores(score[kept], domain[kept], label[kept])
    paper, official = found["paper"], found["official"]
    assert np.isnan(paper["auc_target"][0]) and official["auc_target"][0] == 0.5
    assert paper["hmean"][0] == pytest.approx(hmean([paper["auc_source"][0], paper["pauc"][0]]))
    assert official["hmean"][0] == pytest.approx(hmean([official[name][0] for name in SCORES]))


def test_without_an_auc_there_is_no_machine_score():
    """Source normals and target anomalies: a pAUC, and under the paper rule no AUC to go with it."""
    score, domain, label = two_domains((0.75, 0.5))
    kept = (domain == "source") == (label == "normal")
    found = machine_scores(score[kept], domain[kept], label[kept])
    assert np.isnan(found["paper"]["hmean"]).all() and np.isfinite(found["paper"]["pauc"]).all()
    assert found["official"]["hmean"][0] > 0
    alone = machine_scores(score[kept][:20], domain[kept][:20], label[kept][:20])["paper"]
    assert all(np.isnan(values).all() for values in alone.values())


def test_broken_scores_are_refused(clips):
    score, domain, label = clips
    with pytest.raises(ValueError, match="1 of 200 scores are not finite"):
        machine_scores(np.where(np.arange(200) == 3, np.nan, score), domain, label)


def test_overall_takes_what_each_machine_has():
    """Two domains: 3 values; one domain: 2; none: out. By hand, from the 5 values."""
    two = {name: np.array([v, v]) for name, v in zip((*SCORES, "hmean"), (0.5, 0.8, 0.4, 0.9), strict=True)}
    one = {"auc_source": np.array([0.6, 0.6]), "auc_target": np.full(2, np.nan), "pauc": np.array([0.5, 0.5]), "hmean": np.array([0.55, 0.55])}  # fmt: skip
    none = {name: np.full(2, np.nan) for name in ("auc_source", "auc_target", "hmean")} | {"pauc": np.array([0.1, 0.1])}
    found = overall([two, one, none])
    assert found["auc_source"][0] == pytest.approx(2 / (1 / 0.5 + 1 / 0.6)) and found["auc_target"][0] == 0.8
    assert found["pauc"][0] == pytest.approx(2 / (1 / 0.4 + 1 / 0.5))
    assert found["hmean"] == pytest.approx([5 / (1 / 0.5 + 1 / 0.8 + 1 / 0.4 + 1 / 0.6 + 1 / 0.5)] * 2)
    alone = overall([one, one])
    assert alone["hmean"][0] == pytest.approx(2 / (1 / 0.6 + 1 / 0.5)) and np.isnan(alone["auc_target"]).all()
    assert all(np.isnan(values).all() for values in overall([none]).values())


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
    unnamed = decision_scores(decided[domain == "source"], np.full(100, ""), label[domain == "source"])
    assert unnamed == {"source": decision_scores(decided, domain, label)["source"]}
    assert decision_scores(score > 99, domain, label)["source"] == {"precision": 0, "recall": 0, "f1": 0}


def test_interval_is_the_middle_95_percent_of_the_resamples():
    assert interval(np.append(-999.0, np.arange(1001.0))) == (25, 975)
    assert np.isnan(interval(np.array([1.0, np.nan, 2.0]))).all()


def test_a_resample_has_as_many_clips_of_each_domain_and_label(clips):
    _, domain, label = clips
    groups = [(domain == d) & (label == a) for d in ("source", "target") for a in ("normal", "anomaly")]
    counts = _resample(tuple(group.tobytes() for group in groups), 300, 0).T
    assert counts.shape == (301, 200) and (counts[0] == 1).all()
    for group in groups:
        assert (counts[1:, group].sum(axis=1) == 50).all() and counts[1:, group].max() > 3
    assert np.allclose(counts[1:].mean(axis=0), 1, atol=0.35) and (counts[1] != counts[2]).any()
    other = _resample(tuple(group.tobytes() for group in groups), 300, 1).T
    assert (other != counts).any()


def test_a_clip_in_no_group_is_drawn_once_and_never_again():
    found = _resample((np.array([True, True, False]).tobytes(),), 50, 3).T
    assert (found[:, 2] == 1).all() and (found[1:, :2].sum(axis=1) == 2).all()


def test_every_score_is_resampled_with_its_own_clips(clips):
    """The width of an interval follows the number of clips of its domain, and entry 0 is no resample."""
    score, domain, label = clips
    found = machine_scores(score, domain, label, resamples=300, seed=4)
    again = machine_scores(score, domain, label, resamples=300, seed=4)
    for rule in found:
        for name, values in found[rule].items():
            assert values.shape == (301,) and np.array_equal(values, again[rule][name])
            assert values[1:].std() > 0.01 and abs(values[1:].mean() - values[0]) < 0.02
            assert values[0] == pytest.approx(machine_scores(score, domain, label)[rule][name][0], abs=1e-12)
    assert not np.array_equal(
        found["paper"]["pauc"], machine_scores(score, domain, label, resamples=300, seed=5)["paper"]["pauc"]
    )
    assert np.array_equal(found["paper"]["pauc"], found["official"]["pauc"])


@pytest.mark.parametrize("max_fpr", [0.05, 0.1, 0.5, 1.0])
def test_p_of_the_partial_area_is_used(clips, max_fpr):
    score, domain, label = clips
    found = machine_scores(score, domain, label, max_fpr)["paper"]["pauc"][0]
    assert found == pytest.approx(roc_auc_score(label == "anomaly", score, max_fpr=max_fpr if max_fpr < 1 else None))


def test_machine_scores_default_to_a_tenth_without_resamples(clips):
    found, named = machine_scores(*clips), machine_scores(*clips, max_fpr=0.1, resamples=0, seed=0)
    assert found == named and found["paper"]["pauc"].shape == (1,)
    normal, anomaly = np.array([0.0, 1, 2]), np.array([1.0, 3])
    assert partial_auc(normal, anomaly) == partial_auc(normal, anomaly, 1.0) == pytest.approx(4.5 / 6)


def test_harmonic_mean_is_over_the_first_axis():
    assert harmonic_mean([[0.5, 1.0], [1.0, 1.0]]).tolist() == pytest.approx([2 / 3, 1])
    assert harmonic_mean([0.2, 0.4, 0.8]) == pytest.approx(3 / (5 + 2.5 + 1.25))
    assert np.isnan(harmonic_mean([0.5, np.nan])) and harmonic_mean([0.0, 0.0]) == np.finfo(float).eps


def test_decisions_by_hand():
    """Source: 2 of 3 found anomalous are, of 4; target: none found, and no target clip is anomalous."""
    decided = [True, True, True, False, False, False]
    label = ["anomaly", "anomaly", "normal", "anomaly", "anomaly", "normal"]
    found = decision_scores(decided, ["source"] * 6, label)
    assert found == {"source": {"precision": pytest.approx(2 / 3), "recall": 0.5, "f1": pytest.approx(4 / 7)}}
    both = decision_scores([False, True], ["target", "source"], ["normal", "anomaly"])
    assert both == {"source": {"precision": 1, "recall": 1, "f1": 1}, "target": {"precision": 0, "recall": 0, "f1": 0}}
