"""From clips to embeddings: every segment, float32, the weights of Sec. 3.2, the mixtures of Sec. 3.1."""

from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch
from scipy.stats import beta, kstest
from trainings import changed

from lib.network.embedder import Embedder
from lib.network.embeddings import Embeddings, concatenate
from lib.network.extractor import Outputs
from lib.network.frontend import Cuts, gather, segment_starts, spectrograms
from lib.network.power import HighPass
from lib.network.training import Trainer


def embedder_of(given):
    return Embedder(Trainer(given).model, given)


def test_embeddings_cover_every_segment(machine, tmp_path):
    given = machine()
    data, embedder = given.clips, embedder_of(given)
    table = embedder.clips(data.own, data.own["part"].to_numpy())
    assert table.vectors.shape == (15 * 5, 512) and np.bincount(table.clip).tolist() == [5] * 15
    assert np.allclose(np.bincount(table.clip, table.weight), 1)
    source, target = data.part("train", "source"), data.part("train", "target")
    mixed = embedder.pseudo_target(source, target, np.random.default_rng(0))
    assert len(mixed.clips) == len(source) and (mixed.clips["part"] == "pseudo_target").all()
    assert np.allclose(mixed.weight, 1 / 5)
    whole = concatenate([table, mixed])
    whole.save(tmp_path / "embeddings.npz", {"data": "x"})
    loaded = Embeddings.load(tmp_path / "embeddings.npz")
    assert loaded.provenance == {"data": "x"}
    assert np.array_equal(loaded.vectors, whole.vectors) and loaded.clips.equals(whole.clips)
    part = loaded.part("validation")
    assert len(part.clips) == 2 and part.clip.tolist() == [0] * 5 + [1] * 5


def test_a_segments_vector_is_the_models_in_float32(machine, monkeypatch):
    """Segment 2 of clip 3, by hand: bfloat16 is for training alone."""
    given = machine(settings=changed(training={"precision": "bf16"}, frontend={"mels": 48, "hop": 128}))
    monkeypatch.setattr("lib.network.embedder.BATCH", 7)  # several batches, the last one shorter
    rows, made = given.clips.own, Trainer(given)
    assert made.precision == torch.bfloat16
    found = Embedder(made.model, given).clips(rows, rows["part"].to_numpy()).vectors[3 * 5 + 2]
    row, mean, deviation = rows.iloc[3], rows["mean"].iloc[3], rows["deviation"].iloc[3]
    sound = given.bank.sound(row)[2 * 2000 :][:8000] / 32768
    wave = torch.tensor((sound - mean) / deviation, dtype=torch.float32)[None]
    with torch.no_grad():
        feature_map = made.model.eval().extractor(given.mel(wave))
    assert np.allclose(found, feature_map[0].mean(dim=(1, 2)), atol=1e-4 * np.abs(found).max())


@pytest.fixture
def loud(root, machine):
    """OE-Flow where the first clip of fan has a click above 4 kHz and a loud hum below 3.5 kHz elsewhere."""
    path = sorted((root / "dev_data" / "raw" / "fan" / "train").iterdir())[0]
    time, sound = np.arange(16000) / 16000, np.zeros(16000)
    sound[:4000] = 0.5 * np.sin(2 * np.pi * 1000 * time[:4000])
    sound[9000:9800] = 0.2 * np.sin(2 * np.pi * 6000 * time[:800])
    soundfile.write(path, sound, 16000)
    return machine(system="OE-Flow")


def test_weights_are_the_high_passed_power_of_segments_and_columns(loud):
    own = loud.clips.own.sort_values("stem")
    embedder, rows = embedder_of(loud), own[own["split"] == "train"].iloc[:1]
    table = embedder.clips(rows, "train")
    assert np.allclose(embedder.highpass.sections, HighPass(4000, 3500, 16000).sections)
    starts, columns = [0, 2000, 4000, 6000, 8000], table.maps.shape[2]
    inside = np.array([max(0, min(9800, s + 8000) - max(9000, s)) for s in starts])  # samples of the click
    assert np.allclose(table.weight, inside / inside.sum(), atol=0.02) and table.weight[0] < 0.01
    assert table.columns.shape == (5, columns) and table.columns.sum() == pytest.approx(1)
    edges = np.arange(columns + 1) * 8000 // columns
    heard = [[max(0, min(9800, s + b) - max(9000, s + a)) for a, b in pairwise(edges)] for s in starts]
    shares = np.array(heard) / np.diff(edges)
    assert np.allclose(table.columns, shares / shares.sum(), atol=0.02)


def test_without_a_flow_there_are_no_maps(machine):
    given = machine()
    table = embedder_of(given).clips(given.clips.own, given.clips.own["part"].to_numpy())
    assert table.maps is None and table.columns is None


class Passing(torch.nn.Module):
    """A network that gives back what it hears."""

    flow = None

    def forward(self, mel):
        return Outputs(mel.flatten(1), mel[:, 0, 0, 0], None, mel)


def test_pseudo_target_is_a_mixture_of_audio(machine):
    """λ·source + (1 − λ)·target as waveforms, standardised, at the same offset, one λ and partner a clip."""
    given = machine(settings=changed(inliers={"pseudo_target_alpha": 1.0}))
    data, embedder = given.clips, Embedder(Passing(), given)
    source, target = data.part("train", "source"), data.part("train", "target")
    drawn = np.random.default_rng(0)
    lam, partner = drawn.beta(1.0, 1.0, len(source)), drawn.integers(len(target), size=len(source))
    table = embedder.pseudo_target(source, target, np.random.default_rng(0))
    assert table.clips["partner"].tolist() == target["stem"].iloc[partner].tolist() and len(set(partner)) > 1
    for i in (0, 3):
        offset = np.full(5, 2000) * np.arange(5)
        own = gather(given.samples, Cuts.of(source.iloc[[i] * 5], offset), 8000)
        other = gather(given.samples, Cuts.of(target.iloc[[partner[i]] * 5], offset), 8000)
        expected = given.mel((lam[i] * own + (1 - lam[i]) * other).float()).flatten(1)
        assert np.allclose(table.vectors[table.clip == i], expected, atol=1e-4)


def test_pseudo_target_draws_beta_and_every_target_clip_alike(machine, monkeypatch):
    given, seen = machine(), []
    embedder = Embedder(Passing(), given)

    def watched(cuts, partners, lam):
        seen.append((partners.start.numpy(), lam.numpy()))
        return torch.zeros((len(cuts), 4)), None

    monkeypatch.setattr(embedder, "_embed", watched)
    source, target = given.clips.part("train", "source").iloc[[0] * 4000], given.clips.part("train", "target")
    embedder.pseudo_target(source, target, np.random.default_rng(1))
    starts, lam = (values.reshape(4000, 5) for values in seen[0])
    assert (lam == lam[:, :1]).all() and (starts == starts[:, :1]).all()
    assert kstest(lam[:, 0], beta(0.2, 0.2).cdf).statistic < 0.04
    counts = [(starts[:, 0] == start).sum() for start in target["start"]]
    assert sum(counts) == 4000 and len(counts) == 2 and np.allclose(counts, 2000, atol=200)


def test_a_short_partner_is_heard_again_and_again(root, machine):
    path = sorted((root / "dev_data" / "raw" / "fan" / "train").glob("*target*"))[1]
    soundfile.write(path, soundfile.read(path)[0][:3000], 16000)
    given = machine()
    source, target = given.clips.part("train", "source"), given.clips.part("train", "target")
    table = Embedder(Passing(), given).pseudo_target(source, target[target["length"] == 3000], np.random.default_rng(0))
    assert np.isfinite(table.vectors).all() and len(table.vectors) == 5 * len(source)


def test_score_maps_and_latents(machine):
    given = machine(system="OE-Flow")
    made, data = Trainer(given), given.clips
    embedder = Embedder(made.model, given)
    table = embedder.clips(data.own, data.own["part"].to_numpy())
    assert table.maps.shape[0] == 75 and table.columns.shape == (75, table.maps.shape[2])
    assert np.allclose([table.columns[table.clip == i].sum() for i in range(15)], 1)
    latents = embedder.latents(data.own)
    middle = Cuts.of(data.own, np.full(15, (16000 - 8000) // 2))
    with torch.no_grad():
        outputs = made.model.eval()(spectrograms(given.samples, middle, made.mel, 8000))
        score = made.model.flow.score_map(outputs.feature_map).numpy()
    expected = 0.5 * (latents**2).sum(axis=1) + 256 * np.log(2 * np.pi)
    assert latents.shape[:2] == (15, 512) and np.allclose(score, expected, rtol=1e-5)
    assert np.allclose(table.maps[2::5], score, rtol=1e-5)  # the third of five segments is the middle one
    mixed = embedder.pseudo_target(data.part("train", "source"), data.part("train", "target"), np.random.default_rng(0))
    whole = concatenate([table, mixed])
    assert np.isnan(whole.part("pseudo_target").maps).all()
    assert np.array_equal(whole.part("test").maps, table.part("test").maps)


def test_mel_of_is_the_whole_clips(machine):
    given = machine()
    row = given.clips.own.iloc[4]
    found = embedder_of(given).mel_of(row)
    wave = (given.bank.sound(row) / 32768 - row["mean"]) / row["deviation"]
    assert found.shape == (16, 32) and len(segment_starts(16000, 8000, 0.75)) == 5
    assert np.allclose(found, given.mel(torch.tensor(wave, dtype=torch.float32)[None])[0, 0], atol=1e-4)
