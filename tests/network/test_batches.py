import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import beta, chisquare, kstest

from lib.network.batches import BalancedBatches, Batch, mixup_probability
from lib.network.frontend import MelSpectrogram
from lib.settings import Frontend, Training


def rows(count, machine="fan", first=0, start=0):
    return pd.DataFrame(
        {"machine": machine, "start": start + 1000 * np.arange(count), "length": 1000, "mean": 0.0, "deviation": 1.0},
        index=range(first, first + count),
    )


def make(training=None, target=10, pseudo=30, seed=0):
    others = pd.concat([rows(pseudo, "pump", 100, 100_000), rows(3, "valve", 200, 200_000)])
    return BalancedBatches(rows(target), others, training or Training(batch=8, epochs=4), 400, seed)


def test_half_target_half_others_and_every_target_clip_once_an_epoch():
    batches = make()
    assert batches.steps_per_epoch == 3 and batches.steps == 12  # ⌈10 / 4⌉
    drawn = [batches.draw(step) for step in range(5)]
    for batch in drawn:
        assert batch.own.tolist() == [1.0] * 4 + [0.0] * 4
        assert (batch.clip[:4] < 100).all() and (batch.clip[4:] >= 100).all()
    targets = np.concatenate([batch.clip[:4] for batch in drawn])
    assert sorted(targets[:10]) == sorted(targets[10:20]) == list(range(10))  # permutations end to end


def test_pseudo_by_machine_draws_machines_evenly():
    training = Training(batch=64, epochs=1, pseudo_by="machine")
    clips = make(training).draw(0).clip[32:]
    assert 8 <= (clips >= 200).sum() <= 24  # 3 of 33 clips would be about 3


def test_crops_stay_in_their_clip():
    cuts = make().draw(0).cuts
    assert (cuts.offset >= 0).all() and (cuts.offset + 400 <= cuts.length).all() and len(set(cuts.offset.tolist())) > 3


def test_mixup_schedule():
    assert mixup_probability(0, 100) == 0 and mixup_probability(50, 100) == mixup_probability(99, 100) == 1
    assert mixup_probability(25, 100) == pytest.approx(0.5)


def test_mixed_targets_and_waves_are_the_same_mixture():
    batches = make(Training(batch=32, epochs=4))
    assert not batches.draw(0).mixed
    batch = batches.draw(batches.steps - 1)
    assert batch.mixed and len(set(batch.lam)) == 32
    expected = [
        lam * t + (1 - lam) * batch.own[p] for lam, t, p in zip(batch.lam, batch.own, batch.partner, strict=True)
    ]
    assert np.allclose(batch.target, expected) and 0 < ((batch.target > 0) & (batch.target < 1)).mean() < 1
    samples = torch.randint(-3000, 3000, (203_000,), dtype=torch.int16, generator=torch.Generator().manual_seed(0))
    mel = MelSpectrogram(Frontend(window=128, hop=64, mels=8), 16000)
    whole, few = batch.spectrograms(samples, mel, 400), batch.spectrograms(samples, mel, 400, [5, 9])
    assert torch.allclose(whole[[5, 9]], few)
    own = samples[batch.cuts.start[5] + batch.cuts.offset[5] :][:400] / 32768
    partner = int(batch.partner[5])
    other = samples[batch.cuts.start[partner] + batch.cuts.offset[partner] :][:400] / 32768
    assert torch.allclose(mel((batch.lam[5] * own + (1 - batch.lam[5]) * other).float()[None]), few[:1], atol=1e-6)


def test_labels_follow_their_clips():
    """Category and kv are those of the drawn clips; others have neither, and a mixture takes its dominant parent's kv."""
    target = rows(10).assign(category=np.arange(10) % 3, position=10.0 * np.arange(10))
    batches = BalancedBatches(target, rows(30, "pump", 100, 100_000), Training(batch=32, epochs=4), 400, 0)
    clean, mixed = batches.draw(0), batches.draw(batches.steps - 1)
    for batch in (clean, mixed):
        assert np.array_equal(batch.category[:16], batch.clip[:16] % 3) and (batch.category[16:] == -1).all()
        assert np.array_equal(batch.kv[:16], 10.0 * batch.clip[:16]) and np.isnan(batch.kv[16:]).all()
    assert np.array_equal(clean.position[:16], clean.kv[:16]) and clean.pure.sum() == 16
    own = mixed.lam >= 0.5
    expected = np.where(own, mixed.kv, mixed.kv[mixed.partner])
    assert np.array_equal(mixed.position, expected, equal_nan=True) and 0 < own.sum() < 32
    assert np.array_equal(mixed.pure, (np.arange(32) < 16) & (mixed.partner < 16))
    y = mixed.classes(3)
    assert np.allclose(y.sum(axis=1), mixed.target) and not y[(np.arange(32) >= 16) & (mixed.partner >= 16)].any()


def test_a_clip_without_the_attribute_is_unknown_to_the_second_task():
    target = rows(10).assign(category=[-1] + [0] * 9, position=0.0)
    batches = BalancedBatches(target, rows(30, "pump", 100, 100_000), Training(batch=32, epochs=4), 400, 0)
    clean, mixed = batches.draw(0), batches.draw(batches.steps - 1)
    assert np.array_equal(clean.known, clean.clip != 0) and not clean.known.all()
    assert np.array_equal(mixed.known, (mixed.clip != 0) & (mixed.clip[mixed.partner] != 0))


def test_mixup_off():
    batches = make(Training(batch=8, epochs=4, mixup=False))
    assert not any(batches.draw(step).mixed for step in range(batches.steps))


def test_state_resumes_the_same_stream():
    one, other = make(seed=1), make(seed=2)
    one.draw(0)
    other.restore(one.state())
    for step in (5, 6, 7):
        a, b = one.draw(step), other.draw(step)
        assert (
            np.array_equal(a.clip, b.clip)
            and np.array_equal(a.lam, b.lam)
            and torch.equal(a.cuts.offset, b.cuts.offset)
        )


def many(training, steps=400, at=None, **sizes):
    """`steps` batches, all of them drawn as the step `at` of a training (default: the last)."""
    batches = make(training, **sizes)
    return batches, [batches.draw(batches.steps - 1 if at is None else at) for _ in range(steps)]


def test_lambda_is_beta_of_alpha_one_a_clip():
    """Largest distance to the distribution function over 20000 draws; between Beta(0.2, 0.2) and Beta(1, 1) it is 0.25."""
    for alpha in (0.2, 1.0):
        _, drawn = many(Training(batch=2000, epochs=4, mixup_alpha=alpha), 10)
        lam = np.concatenate([batch.lam for batch in drawn])
        assert len(set(lam)) > 19000 and kstest(lam, beta(alpha, alpha).cdf).statistic < 0.02
    assert Training().mixup_alpha == 0.2


def test_partners_are_a_random_permutation_of_the_whole_batch():
    _, drawn = many(Training(batch=8, epochs=4), 300)
    assert all(sorted(batch.partner) == list(range(8)) for batch in drawn)
    counts = np.zeros((8, 8))
    for batch in drawn:
        counts[np.arange(8), batch.partner] += 1
    assert chisquare(counts.ravel()).pvalue > 0.01  # every clip meets every other one, and itself, alike


@pytest.mark.parametrize(
    ("share", "expected"), [(0, 0), (1 / 8, 0.1464), (1 / 4, 0.5), (3 / 8, 0.8536), (0.5, 1), (1, 1)]
)
def test_the_share_of_mixed_batches_follows_the_schedule(share, expected):
    assert mixup_probability(share * 800, 800) == pytest.approx(expected, abs=1e-4)
    batches, drawn = many(Training(batch=4, epochs=32), 150, at=round(32 * share), target=2)
    assert batches.steps == 32
    assert np.mean([batch.mixed for batch in drawn]) == pytest.approx(expected, abs=0.12)


def test_crops_are_uniform_over_the_clip():
    """Offsets 0 … 600 of clips of 1000 samples, both ends reached; a clip shorter than a crop starts at 0."""
    _, drawn = many(Training(batch=2000, epochs=4), 10)
    offsets = torch.cat([batch.cuts.offset for batch in drawn]).numpy()
    assert offsets.min() == 0 and offsets.max() == 600
    assert chisquare(np.bincount(offsets, minlength=601)).pvalue > 0.01
    short = rows(10).assign(length=300)
    batches = BalancedBatches(short, rows(5, "pump", 100, 100_000), Training(batch=8, epochs=4), 400, 0)
    assert batches.draw(0).cuts.offset[:4].tolist() == [0] * 4


def test_pseudo_anomalous_clips_are_drawn_uniformly_over_clips():
    _, drawn = many(Training(batch=2000, epochs=4), 4)
    counts = np.bincount(np.concatenate([batch.clip[1000:] for batch in drawn]), minlength=203)
    assert chisquare(counts[counts > 0]).pvalue > 0.01 and (counts > 0).sum() == 33


def test_the_papers_batch_is_64_and_64():
    batch = make(Training(), target=100).draw(0)
    assert len(batch.clip) == 128 and batch.own.tolist() == [1.0] * 64 + [0.0] * 64
    assert len(set(batch.clip[:64])) == 64 and make(Training(), target=842).steps == 150 * 14


def test_captions_say_what_is_mixed():
    machines = pd.Series(["fan", "pump"], index=[7, 8])
    kinds = dict(own=np.array([1.0, 0.0]), category=np.array([0, -1]), kv=np.zeros(2), cuts=None)
    mixed = Batch(np.array([7, 8]), partner=np.array([1, 0]), lam=np.array([0.75, 1.0]), **kinds)
    assert mixed.captions([0, 1], machines) == ["0.75 fan + 0.25 pump, t = 0.75", "1.00 pump + 0.00 fan, t = 0.00"]
    clean = Batch(np.array([7, 8]), partner=np.array([1, 0]), lam=np.ones(2), **kinds)
    assert clean.captions([1, 0], machines) == ["pump, t = 0", "fan, t = 1"] and not clean.mixed


def test_a_half_is_its_own_parents():
    batch = Batch(
        np.arange(2), None, np.array([1, 0]), np.array([0.5, 0.5]), np.ones(2), np.zeros(2), np.array([3.0, 4.0])
    )
    assert batch.position.tolist() == [3.0, 4.0]


def test_examples_are_of_both_kinds_or_the_evenest_mixtures():
    batches = make(Training(batch=8, epochs=4))
    assert batches.draw(0).examples().tolist() == [0, 1, 4, 5]
    mixed = batches.draw(batches.steps - 1)
    chosen = mixed.examples(3)
    left = np.setdiff1d(np.arange(8), chosen)
    assert len(chosen) == 3 and abs(mixed.lam[chosen] - 0.5).max() <= abs(mixed.lam[left] - 0.5).min()
