import copy
import itertools

import librosa
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib.detection import scoring
from lib.network.autoencoder import (
    MODES,
    Baseline,
    Frames,
    Optimization,
    build_network,
    log_mel_frames,
    reconstructions,
    train,
)
from lib.network.device import seed_everything
from lib.recordings.clips import ClipBank
from lib.settings import Autoencoder, Settings

SMALL = Autoencoder(mels=8, hidden=16, bottleneck=4, epochs=30, batch=32, learning_rate=1e-2)
RATE = 16000


def bank_of(*sounds):
    """Samples and rows as a bank has them, of int16 sounds."""
    lengths = [len(sound) for sound in sounds]
    rows = pd.DataFrame({"start": np.cumsum([0, *lengths[:-1]]), "length": lengths})
    return torch.from_numpy(np.concatenate(sounds)), rows.assign(stem=[f"clip{i}" for i in range(len(sounds))])


def noise(seconds, seed=0, level=3000):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.int16)


def frames_of(*sounds, autoencoder=SMALL):
    return log_mel_frames(*bank_of(*sounds), autoencoder, RATE)


def fitted(frames, domains, seed=0, autoencoder=SMALL):
    seed_everything(seed)
    network = build_network(autoencoder)
    history = train(network, frames, autoencoder, seed)
    return Baseline.fit(network, frames, domains), history


def state(network):
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


@pytest.fixture(scope="module")
def trained():
    """Ten source and four target clips of different lengths."""
    sounds = [noise(0.7 + 0.1 * (i % 3), i, 3000 if i < 10 else 300) for i in range(14)]
    frames = frames_of(*sounds)
    domains = ["source"] * 10 + ["target"] * 4
    return frames, domains, *fitted(frames, domains)


def test_frames_are_librosas():
    """The organisers' front end, at lengths that fill the last hop and that do not."""
    sounds = [noise(1.0, 1), noise(0.7777, 2), np.zeros(4000, np.int16)]
    frames = frames_of(*sounds, autoencoder=Autoencoder())
    for sound, values in zip(sounds, frames.values.split(frames.counts), strict=True):
        mel = librosa.feature.melspectrogram(
            y=sound / np.float32(32768), sr=RATE, n_fft=1024, hop_length=512, n_mels=128, power=2.0
        )
        expected = 10 * np.log10(np.maximum(mel, np.finfo(float).eps)).T
        assert values.shape == expected.shape and np.abs(values.numpy() - expected).max() < 1e-3


def test_a_vector_is_five_consecutive_frames_of_one_clip():
    frames = frames_of(noise(0.5, 1), noise(0.3, 2), autoencoder=Autoencoder())
    values, vectors = frames.values.numpy(), frames.vectors().numpy()
    first = [0, frames.counts[0]]
    for start, count, clip in zip(first, frames.counts, frames.of_clips(), strict=True):
        assert vectors[clip].shape == (count - 4, 640)
        for i, vector in enumerate(vectors[clip]):
            assert np.array_equal(vector, np.concatenate([values[start + i + j] for j in range(5)]))


def test_the_network_is_the_published_one():
    widths = [(m.in_features, m.out_features) for m in build_network(Autoencoder()) if isinstance(m, nn.Linear)]
    assert widths == list(itertools.pairwise([640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]))
    norms = [m for m in build_network(Autoencoder()) if isinstance(m, nn.BatchNorm1d)]
    assert len(norms) == 9 and {(m.momentum, m.eps) for m in norms} == {(0.01, 1e-3)}


def test_the_written_gradient_is_autograds():
    """Gradients, running statistics, loss and update, over two steps from the same state."""
    seed_everything(0)
    network = build_network(SMALL)
    reference = copy.deepcopy(network)
    optimization, adam = Optimization(network, 1e-3), torch.optim.Adam(reference.parameters(), 1e-3)
    for step in range(2):
        inputs = 10 * torch.randn(32, 40, generator=torch.Generator().manual_seed(step)) - 30
        loss = nn.functional.mse_loss(reference(inputs), inputs)
        adam.zero_grad()
        loss.backward()
        adam.step()
        assert float(optimization.step(inputs)) / inputs.numel() == pytest.approx(loss.item(), rel=1e-5)
        ours, theirs = dict(network.named_parameters()), dict(reference.named_parameters())
        for name, parameter in theirs.items():
            scale = parameter.grad.abs().max()
            if scale > 1e-4:
                assert torch.allclose(ours[name].grad, parameter.grad, atol=1e-4 * scale)
                moved = parameter.grad.abs() > 1e-2 * scale
                assert torch.allclose(ours[name][moved], parameter[moved], atol=1e-5)
            else:  # a bias before BatchNorm: autograd's is rounding, which Adam would follow
                assert name.endswith("bias") and not ours[name].grad.any()
        for mine, other in zip(network.buffers(), reference.buffers(), strict=True):
            assert mine.dtype == torch.int64 or torch.allclose(mine, other, rtol=1e-4, atol=1e-5)
        network.load_state_dict(reference.state_dict())


def test_scores_are_the_ones_of_the_text(trained):
    """Section 8, written as loops: one clip, one vector and one frame at a time."""
    frames, domains, baseline, _ = trained
    values, bands = frames.values, frames.values.shape[1]
    residuals, start = [], 0
    for count in frames.counts:
        own = []
        for i in range(start, start + count - 4):
            vector = torch.cat([values[i + j] for j in range(5)])
            residual = (vector - baseline.network(vector[None])[0]).detach().double().numpy()
            own += [residual[j * bands : (j + 1) * bands] for j in range(5)]
        residuals.append(np.array(own))
        start += count
    scores = baseline.scores(frames)
    covariances = [
        np.cov(np.concatenate([r for r, d in zip(residuals, domains, strict=True) if d == domain]).T)
        for domain in ("source", "target")
    ]
    for own, error, distance in zip(residuals, *scores.values(), strict=True):
        mean = own.mean(axis=0)
        assert error == pytest.approx((own**2).mean(), rel=1e-5)
        assert distance == pytest.approx(min(mean @ np.linalg.inv(c) @ mean for c in covariances), rel=1e-3)


def test_the_published_average_over_the_cross_matrix_is_the_distance_of_the_mean(trained):
    frames, _, baseline, _ = trained
    inputs, outputs = next(reconstructions(baseline.network, frames))
    residuals = (inputs - outputs).flatten(0, 1).double()  # (frames, bands)
    crossed = [float((residuals @ inverse @ residuals.t()).mean()) for inverse in baseline.inverses.values()]
    assert baseline.scores(frames)["Mahalanobis"][0] == pytest.approx(min(crossed), rel=1e-9)


def test_training_learns_and_its_seed_decides(trained):
    frames, domains, baseline, history = trained
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0] and len(history) == SMALL.epochs
    assert np.isfinite(history["validation_loss"]).all()
    again, other = fitted(frames, domains)[0], fitted(frames, domains, seed=1)[0]
    assert torch.equal(state(again.network), state(baseline.network))
    assert not torch.allclose(state(other.network), state(baseline.network))


def test_held_out_vectors_are_watched_alone():
    """Without held-out vectors there is nothing to watch, and more to learn from."""
    frames = frames_of(noise(1.0), noise(1.0, 1))
    _, history = fitted(frames, ["source"] * 2, autoencoder=SMALL.model_copy(update={"validation_fraction": 0.0}))
    assert history["validation_loss"].isna().all() and history["loss"].notna().all()


def test_a_last_batch_of_one_vector_is_left_out():
    """29 + 4 vectors, none held out, in batches of 32: BatchNorm would have no variance of the last."""
    frames = frames_of(noise(1.05), noise(0.25))
    assert sum(frames.counts) - 8 == 33
    _, history = fitted(frames, ["source"] * 2, autoencoder=SMALL.model_copy(update={"validation_fraction": 0.0}))
    assert np.isfinite(history["loss"]).all()


def test_too_little_sound_is_refused():
    frames = frames_of(noise(0.13))
    with pytest.raises(ValueError, match="1 vectors to train on, at least 2 needed"):
        train(build_network(SMALL), frames, SMALL, 0)


def test_a_short_clip_is_repeated_and_said_so(trained, capsys):
    short = noise(0.05)
    frames = frames_of(noise(0.5), short)
    assert "1 clips too short for a vector of 5 frames are repeated, as clip1" in capsys.readouterr().out
    assert frames.counts[1] == 5
    assert torch.equal(frames_of(np.tile(short, 3)[: 4 * 512]).values, frames.values[-5:])
    assert all(np.isfinite(score).all() for score in trained[2].scores(frames).values())


def test_silence_scores_finite_and_needs_a_ridge(capsys):
    silent = [np.zeros(8000, np.int16)] * 6
    frames = frames_of(*silent)
    baseline, _ = fitted(frames, ["source"] * 6)
    assert "the covariance of the source residuals has no inverse" in capsys.readouterr().out
    assert all(np.isfinite(score).all() for score in baseline.scores(frames).values())
    clips = pd.DataFrame(
        {"stem": list("abcdef"), "domain": "source", "label": "normal", "split": ["train", "test"] * 3}
    )
    with pytest.raises(ValueError, match="are the clips silent"):
        scoring.baseline_scores(baseline.scores(frames), clips, Settings().inliers)


def test_the_smaller_distance_counts_and_may_be_the_only_one(trained):
    frames, domains, baseline, _ = trained
    source = Baseline.fit(baseline.network, frames, ["source"] * len(domains))
    assert list(source.inverses) == ["source"]
    own, inverse = source.scores(frames)["Mahalanobis"], source.inverses["source"]
    for target, share in ((inverse / 4, 0.25), (inverse * 4, 1.0)):
        both = Baseline(baseline.network, {"source": inverse, "target": target})
        assert np.allclose(both.scores(frames)["Mahalanobis"], share * own)


def test_a_change_of_sound_is_seen(trained):
    """A tone that no training clip has raises both scores."""
    tone = (9000 * np.sin(2 * np.pi * 3000 * np.arange(12000) / RATE)).astype(np.int16)
    normal, changed = noise(0.75, 99), noise(0.75, 99) + tone
    for score in trained[2].scores(frames_of(normal, changed)).values():
        assert score[1] > 2 * score[0]


def test_score_table(root, run, tmp_path):
    """From a data root to the rows that the tables read; a model read back says the same."""
    settings = Settings(autoencoder=SMALL)
    bank = ClipBank.open(run, root, settings.data)
    clips, training = bank.of("fan"), bank.training("fan")
    make = lambda rows: log_mel_frames(bank.tensor(), rows, SMALL, RATE)  # noqa: E731
    baseline, history = fitted(make(training), training["domain"])
    table = scoring.baseline_scores(baseline.scores(make(clips)), clips, settings.inliers)
    assert table.groupby(["system", "detector", "part"]).size().to_dict() == {
        (f"Baseline ({mode})", mode, part): n for mode in MODES for part, n in (("calibration", 11), ("test", 4))
    }
    assert {"fit_set", "aggregator", "clip", "domain", "label", "score", "mean", "deviation"} <= set(table.columns)
    held = table[table["part"] == "calibration"].groupby("detector")["standardized"]
    assert np.allclose(held.mean(), 0) and np.allclose(held.std(ddof=0), 1)
    with pytest.raises(ValueError, match="no usable test clips"):
        scoring.baseline_scores(baseline.scores(make(training)), training, settings.inliers)

    baseline.save(tmp_path, history, {"settings": settings.model_dump(mode="json"), "seed": 0})
    loaded, facts = Baseline.load(tmp_path)
    assert facts["seed"] == 0 and "torch" in facts["versions"]
    for mode, score in loaded.scores(make(clips)).items():
        assert np.allclose(score, baseline.scores(make(clips))[mode], rtol=1e-5)
    with pytest.raises(ValueError, match="run notebooks/02_autoencoder_baseline"):
        Baseline.load(tmp_path / "none")


def test_a_clip_may_hold_a_single_vector():
    frames = Frames(torch.arange(10.0).view(5, 2), (5,), 5)
    assert frames.vectors().tolist() == [list(range(10))] and frames.of_clips() == [slice(0, 1)]
