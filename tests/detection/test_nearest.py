"""Detectors by the nearest clips against loops; which clips are references; that the paper's protocols leave them out."""

import numpy as np
import pytest
from scored import embeddings

from lib.detection import ensembles
from lib.detection.detectors import (
    families_of,
    fit_detectors,
    load_detectors,
    save_detectors,
    score_clips,
    score_machine,
)
from lib.detection.nearest import EXTENDED, VARIANTS, Cosine, Nearest, multiply_targets
from lib.network.embeddings import concatenate
from lib.settings import Inliers
from lib.systems import EXTRACTORS

SOURCE, TARGET = (
    embeddings("train", "source", "normal", 7),
    embeddings("train", "target", "normal", 4, seed=1, shift=1.0),
)
REFERENCES, QUERIES = concatenate([SOURCE, TARGET]), embeddings("test", "source", "normal", 5, seed=2)


def unit(v):
    return v / np.linalg.norm(v)


def clips_of(table):
    return [unit(table.vectors[table.clip == i].astype(float).mean(axis=0)) for i in range(len(table.clips))]


def segments_of(table):
    return [unit(v.astype(float)) for v in table.vectors]


def found(name):
    return Nearest().fit(REFERENCES).score(QUERIES)[name]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_cosine_of_clips_is_a_plain_loop(k):
    expected = [1 - np.mean(sorted((q @ r for r in clips_of(REFERENCES)), reverse=True)[:k]) for q in clips_of(QUERIES)]
    assert found(f"cosine-{k}") == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_cosine_of_segments_is_a_plain_loop(k):
    each = [
        1 - np.mean(sorted((q @ r for r in segments_of(REFERENCES)), reverse=True)[:k]) for q in segments_of(QUERIES)
    ]
    assert found(f"segments-{k}") == pytest.approx([np.mean(each[3 * i : 3 * i + 3]) for i in range(5)])


@pytest.mark.parametrize("k", [1, 4])
def test_density_of_both_domains_and_apart_is_a_plain_loop(k):
    def score(query, references):
        rho = [
            np.mean(sorted(1 - r @ o for j, o in enumerate(references) if j != i)[:k]) for i, r in enumerate(references)
        ]
        return min((1 - query @ r) / p for r, p in zip(references, rho, strict=True))

    both = [score(q, clips_of(REFERENCES)) for q in clips_of(QUERIES)]
    apart = [min(score(q, clips_of(SOURCE)), score(q, clips_of(TARGET))) for q in clips_of(QUERIES)]
    assert found(f"density-{k}") == pytest.approx(both)
    assert found(f"density-{k}-apart") == pytest.approx(apart)


def test_every_variant_gives_each_clip_a_finite_score_of_its_own():
    scores = Nearest().fit(REFERENCES).score(QUERIES)
    assert list(scores) == list(VARIANTS) and all(np.isfinite(s).all() and s.shape == (5,) for s in scores.values())
    kinds = {tuple(np.round(s, 9)) for s in scores.values()}
    assert len(kinds) >= len(VARIANTS) - 4  # where α is 0 the density does not matter


def test_middles_lie_between_near_targets_and_nowhere_else():
    vectors = np.array([unit(v) for v in np.random.default_rng(0).normal(size=(6, 3))])
    domain, clip = np.array(["source", *["target"] * 4, "source"]), np.arange(6)
    more, clips, domains = multiply_targets(vectors, clip, domain, near=1)
    assert len(more) == 6 + 4 and (more[:6] == vectors).all() and set(domains[6:]) == {"target"}
    for middle, i in zip(more[6:], clips[6:], strict=True):
        near = max((j for j in range(1, 5) if j != i), key=lambda j: vectors[i] @ vectors[j])
        assert middle == pytest.approx(unit(vectors[i] + vectors[near]))
    assert len(multiply_targets(vectors, clip, np.array(["source"] * 6))[0]) == 6
    assert len(multiply_targets(vectors, np.zeros(6), domain)[0]) == 6  # all of one clip: nothing lies between


@pytest.mark.parametrize("count", [1, 2])
def test_few_references_leave_out_what_they_do_not_reach(count):
    scores = Nearest().fit(embeddings("train", "source", "normal", count)).score(QUERIES)
    assert ("cosine-2" in scores) == (count == 2) and "cosine-4" not in scores
    assert all(np.isfinite(score).all() for score in scores.values())


def test_a_reference_scores_zero():
    assert Cosine().fit(REFERENCES).score(REFERENCES)["cosine-1"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("family", [Cosine, Nearest])
def test_it_is_kept_on_disk(family):
    fitted = family().fit(REFERENCES)
    again = family.restore(fitted.state())
    one, two = fitted.score(QUERIES), again.score(QUERIES)
    assert list(one) == list(two) and all(one[name] == pytest.approx(two[name]) for name in one)
    assert again.rank == fitted.rank


def table():
    return concatenate([
        REFERENCES, embeddings("pseudo_target", "source", "normal", 6, seed=2), embeddings("test", "source", "anomaly", 4, seed=3),
    ])  # fmt: skip


def test_one_target_clip_has_the_density_of_all():
    """By itself it has no other to be dense with, and would decide every minimum."""
    one = concatenate([SOURCE, embeddings("train", "target", "normal", 1, seed=1, shift=1.0)])
    scores = Nearest().fit(one).score(QUERIES)
    clips, last = clips_of(one), len(SOURCE.clips)
    rho = [
        np.mean(sorted(1 - r @ o for j, o in enumerate(clips[:last]) if j != i)[:4]) for i, r in enumerate(clips[:last])
    ]
    rho.append(np.mean(sorted(1 - clips[last] @ o for o in clips[:last])[:4]))
    expected = [min((1 - q @ r) / p for r, p in zip(clips, rho, strict=True)) for q in clips_of(QUERIES)]
    assert scores["density-4-apart"] == pytest.approx(expected)


def test_few_source_clips_are_no_hindrance_where_references_are_of_both_domains():
    few = concatenate([
        embeddings("train", "source", "normal", 1), embeddings("train", "target", "normal", 5, seed=1),
        embeddings("test", "source", "anomaly", 4, seed=3),
    ])  # fmt: skip
    scored = score_machine(few, ("cosine", "nearest"), Inliers(), 0)
    assert scored.calibration == "5 folds over the training clips"
    assert (scored.scores["part"] == "calibration").sum() == 6 * 2 * scored.scores[
        ["detector", "fit_set"]
    ].drop_duplicates().shape[0]


def test_saved_detectors_are_loaded(tmp_path):
    scored = score_machine(table(), ("cosine", "nearest"), Inliers(), 0)
    save_detectors(tmp_path, scored, {})
    again = load_detectors(tmp_path)
    one, two = (score_clips(fitted, table().part("test")) for fitted in (scored.detectors, again))
    assert one["score"].to_numpy() == pytest.approx(two["score"].to_numpy())


def test_references_are_training_clips_of_both_domains_and_no_aggregator_moves_the_score():
    fitted = fit_detectors(table(), ("cosine", "nearest"), Inliers(), 0)
    assert list(fitted) == [("cosine", "train"), ("nearest", EXTENDED)]
    assert fitted["cosine", "train"].references.clips["stem"].tolist() == REFERENCES.clips["stem"].tolist()
    scores = score_clips(fitted, table().part("test"))
    wide = scores.pivot(index=["clip", "detector", "fit_set"], columns="aggregator", values="score")
    assert (wide["plain"] == wide["weighted"]).all()


def test_the_papers_protocols_leave_them_out():
    small = Inliers(gmm_components=(1,), knn_neighbours=(1,))
    assert families_of(EXTRACTORS["OE"], small) == ("GMM", "KNN", "nearest")
    assert families_of(EXTRACTORS["Shared"], small) == ("cosine", "nearest")
    assert families_of(EXTRACTORS["SerialOE-Flow"], small) == ()
    assert families_of(EXTRACTORS["OE"], Inliers(extended=False)) == ("GMM", "KNN")
    scores = score_machine(table(), ("GMM", "KNN", "nearest"), small, 0).scores
    scores = scores.assign(machine="fan", system="OE", parameter="all", seed=0)
    paper, more = (ensembles.detector_scores(scores, (), extended=e) for e in (False, True))
    assert {name.split("-")[0] for name in paper["detector"].unique()} == {"GMM", "KNN"}
    assert {name for name in more["detector"].unique() if name.endswith(" extended")} == {
        f"{v} extended" for v in VARIANTS
    }
    rows = ensembles.system_rows(paper, extended=more)
    alone = ensembles.system_rows(paper)
    assert set(rows["protocol"]) == {"all", EXTENDED} and set(alone["protocol"]) == {"all"}
    assert rows[rows["protocol"] == "all"]["score"].tolist() == alone["score"].tolist()
    assert rows[rows["protocol"] == EXTENDED]["score"].tolist() != alone["score"].tolist()
