"""Scores of Spectrum's views: who is a reference, who calibrates, what is refused."""

import numpy as np
import pandas as pd
import pytest

from lib.detection.density import Whitened
from lib.detection.spectra import References, spectrum_scores
from lib.settings import Inliers
from lib.systems import SPECTRA

NAMES = ("level", "modulation", "both", "power", "flux")


def clips(train=12, test=6):
    rows = [("train", "target" if i % 4 == 0 else "source", "normal") for i in range(train)]
    rows += [("test", "source", "anomaly" if i % 2 else "normal") for i in range(test)]
    table = pd.DataFrame(rows, columns=["split", "domain", "label"])
    return table.assign(stem=[f"clip{i:03d}" for i in range(len(table))]).assign(seconds=10.0, divisor=1.0)


def views(table, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    anomalous = (table["label"] == "anomaly").to_numpy()[:, None]
    return {name: rng.normal(size=(len(table), 4)) + shift * anomalous for name in NAMES}


def test_each_view_is_a_row_and_test_clips_are_scored_by_all_training_clips():
    table = clips()
    made = views(table)
    found = spectrum_scores(made, table, 4, Inliers())
    assert tuple(found["system"].unique()) == SPECTRA and set(found["aggregator"]) == {"plain"}
    for system, name in zip(SPECTRA, NAMES, strict=True):
        own = found[(found["system"] == system) & (found["part"] == "test")]
        expected = Whitened(made[name][:12], 4).score(made[name][12:])
        assert (
            own["score"].to_numpy() == pytest.approx(expected) and own["clip"].tolist() == table["stem"][12:].tolist()
        )


def test_calibration_clips_are_scored_by_others_alone_and_standardise():
    """A training clip far from the rest scores high: it is no reference of itself."""
    table = clips()
    made = views(table)
    for vectors in made.values():
        vectors[3] += 50
    found = spectrum_scores(made, table, 0, Inliers())
    own = found[(found["system"] == SPECTRA[0]) & (found["part"] == "calibration")]
    assert len(own) == 12 and own["score"].idxmax() == own.index[3]
    assert own["standardized"].mean() == pytest.approx(0) and own["standardized"].std(ddof=0) == pytest.approx(1)
    assert own["score"].min() > 0


def test_test_clips_change_no_other_score():
    """Neither whitening nor references nor standardisation has heard a test clip."""
    table = clips()
    made = views(table)
    other = {name: np.vstack([vectors[:13], vectors[13:] * 9]) for name, vectors in made.items()}
    one, two = (spectrum_scores(v, table, 4, Inliers()) for v in (made, other))
    same = ~one["clip"].isin(table["stem"][13:])
    assert one[same].equals(two[same]) and not one[~same].equals(two[~same])


def test_anomalies_far_away_score_higher():
    table = clips(40, 20)
    found = spectrum_scores(views(table, shift=9), table, 4, Inliers())
    test = found[found["part"] == "test"]
    assert (
        test[test["label"] == "anomaly"]["standardized"].min() > test[test["label"] == "normal"]["standardized"].max()
    )


@pytest.mark.parametrize(
    ("train", "test", "message"), [(12, 0, "no usable test clips"), (3, 6, "3 usable training clips")]
)
def test_too_few_clips_are_refused(train, test, message):
    table = clips(train, test)
    with pytest.raises(ValueError, match=message):
        spectrum_scores(views(table), table, 4, Inliers())


def test_a_silent_machine_is_refused():
    table = clips()
    with pytest.raises(ValueError, match="silent"):
        spectrum_scores({name: np.zeros((len(table), 4)) for name in NAMES}, table, 4, Inliers())


def test_references_are_kept_and_score_as_in_the_tables(tmp_path):
    table = clips()
    made = views(table)
    References.of(made | {"loudest": made["level"]}, table, 4).save(tmp_path, {"machine": "fan"})
    found, facts = References.load(tmp_path)
    assert facts == {"machine": "fan"} and found.clips["stem"].tolist() == table["stem"][:12].tolist()
    scores = found.score({name: vectors[12:] for name, vectors in made.items()})
    expected = spectrum_scores(made, table, 4, Inliers())
    for system, name in zip(SPECTRA, NAMES, strict=True):
        own = expected[(expected["system"] == system) & (expected["part"] == "test")]
        assert scores[name].tolist() == own["score"].tolist()
    with pytest.raises(ValueError, match="run notebooks/08_spectrum_reference"):
        References.load(tmp_path / "none")


def test_shares_are_a_plain_loop_and_sum_to_one():
    from sklearn.covariance import ledoit_wolf

    table = clips()
    made = views(table, shift=2.0)
    references = References.of(made, table, 4)
    found = references.shares("power", made["power"][12:])
    inverse = np.linalg.inv(ledoit_wolf(made["power"][:12])[0])
    for vector, shares in zip(made["power"][12:], found, strict=True):
        apart = min((vector - r for r in made["power"][:12]), key=lambda d: d @ inverse @ d)
        assert shares == pytest.approx(apart * (inverse @ apart) / (apart @ inverse @ apart), rel=1e-6, abs=1e-9)
        assert shares.sum() == pytest.approx(1)
