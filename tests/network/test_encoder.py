"""A frozen encoder from a file: both kinds, what they hear, what is refused, and its way into the detectors."""

import json
import math
import warnings

import numpy as np
import onnx
import pytest
import soxr
import torch
from onnx import helper
from scored import run_cells

from lib import dependencies
from lib.detection.detectors import families_of, score_machine
from lib.network.embeddings import Embeddings
from lib.network.encoder import FrozenEncoder
from lib.settings import Inliers, load_settings
from lib.systems import EXTRACTORS

CPU = torch.device("cpu")


class Blocks(torch.nn.Module):
    """Mean, deviation and largest value of blocks of 100 samples: (clips, frames, 3)."""

    def forward(self, sound):
        blocks = sound.unfold(1, 100, 100)
        return torch.stack([blocks.mean(2), blocks.std(2), blocks.amax(2)], dim=2)


class Whole(torch.nn.Module):
    """Mean and deviation of a clip: (clips, 2)."""

    def forward(self, sound):
        return torch.stack([sound.mean(1), sound.std(1)], dim=1)


def torchscript(path, module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def onnx_file(path, operator="Abs", domain="", inputs=("sound",)):
    """|sound| summed over pairs of blocks: (clips, frames, 2), by an operator that may be of another domain."""
    number, size = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node(operator, list(inputs), ["level"], domain=domain),
        helper.make_node("Reshape", ["level", "shape"], ["blocks"]),
        helper.make_node("ReduceMean", ["blocks"], ["found"], axes=[3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(name, size, ["n", "samples"]) for name in inputs],
        [helper.make_tensor_value_info("found", size, ["n", "frames", 2])],
        [helper.make_tensor("shape", number, (4,), [0, -1, 2, 50])],
    )  # fmt: skip
    versions = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
    return path


def sound(n=3, samples=1000):
    return torch.from_numpy(np.random.default_rng(0).standard_normal((n, 1, 1, samples)).astype(np.float32))


def test_torchscript_and_onnx_give_what_they_compute_and_frames_their_mean(tmp_path):
    heard = sound()
    waves = heard.flatten(1)
    found = FrozenEncoder(torchscript(tmp_path / "a.pt", Whole()), 16000, 16000, CPU)(heard).embedding
    assert torch.allclose(found, torch.stack([waves.mean(1), waves.std(1)], dim=1), atol=1e-6)
    found = FrozenEncoder(torchscript(tmp_path / "b.pt", Blocks()), 16000, 16000, CPU)(heard).embedding
    assert found.shape == (3, 3) and torch.allclose(found[:, 0], waves.mean(1), atol=1e-6)
    found = FrozenEncoder(onnx_file(tmp_path / "c.onnx"), 16000, 16000, CPU)(heard).embedding
    pairs = waves.abs().reshape(3, -1, 2, 50).mean(dim=(1, 3))
    assert found.dtype == torch.float32 and torch.allclose(found, pairs, atol=1e-6)


@pytest.mark.parametrize("own", [8000, 48000])
def test_it_hears_sound_at_its_own_rate(tmp_path, own):
    heard = torch.sin(2 * math.pi * 440 / 16000 * torch.arange(16000)).view(1, 1, 1, -1)
    encoder = FrozenEncoder(torchscript(tmp_path / "a.pt", Identity()), 16000, own, CPU)
    found = encoder(heard).embedding[0].numpy()
    assert found == pytest.approx(soxr.resample(heard[0, 0, 0].numpy(), 16000, own), abs=1e-5)
    assert np.abs(np.fft.rfft(found)).argmax() == 440


class Identity(torch.nn.Module):
    def forward(self, sound):
        return sound


class Total(torch.nn.Module):
    def forward(self, sound):
        return sound.sum()


class Empty(torch.nn.Module):
    def forward(self, sound):
        return sound[:, :0]


class Twice(torch.nn.Module):
    def forward(self, sound):
        return torch.cat([sound, sound])


class Broken(torch.nn.Module):
    def forward(self, sound):
        return sound.log()


class Sevens(torch.nn.Module):
    def forward(self, sound):
        return sound.view(-1, 7)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Total, r"gives \(\) for \(3, 1000\); wanted is \(clips, samples\) → \(clips, d\) or \(clips, frames, d\)"),
        (Empty, r"gives \(3, 0\)"), (Twice, r"gives \(6, 1000\)"), (Broken, "gives values that are not finite"),
        (Sevens, r"fails on \(3, 1000\) float32: .*shape '\[-1, 7\]' is invalid"),
    ],
)  # fmt: skip
def test_what_it_gives_is_checked_and_the_file_named(tmp_path, module, message):
    encoder = FrozenEncoder(torchscript(tmp_path / "mine.pt", module()), 16000, 16000, CPU)
    with pytest.raises(ValueError, match=rf"mine\.pt: {message}"):
        encoder(sound())


def test_a_file_that_needs_code_of_its_own_is_refused(tmp_path):
    torch.save(Whole(), tmp_path / "pickled.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    onnx_file(tmp_path / "own.onnx", "Mine", "my.domain")
    onnx_file(tmp_path / "two.onnx", "Add", inputs=("sound", "more"))
    (tmp_path / "text.pt").write_text("no encoder")
    for name, reason in (
        ("pickled.pt", "no TorchScript .*weights or a pickled model, which needs code of its own"),
        ("weights.pt", "no TorchScript .*weights or a pickled model"),
        ("own.onnx", "no ONNX .*Mine.* is not a registered function"),
        ("two.onnx", "no ONNX .*it has 2 inputs, one is wanted"),
        ("text.pt", "no ONNX .*Protobuf parsing failed"),
        ("none.pt", "no ONNX"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: {reason}.*export the encoder"):
            FrozenEncoder(tmp_path / name, 16000, 16000, CPU)


def test_a_notebook_embeds_the_machines_to_score_and_detectors_take_them(tmp_path, root):
    torchscript(tmp_path / "mine.pt", Blocks())
    preset = tmp_path / "mine.yaml"
    preset.write_text("base: smoke\nencoder: mine.pt\nfrontend: {segment_seconds: 0.5, segment_overlap: 0.5}\n")
    given = {"preset": str(preset), "run_dir": str(tmp_path / "run"), "system": "Encoder", "seed": 3}
    names = run_cells("10_frozen_encoder", data_root=str(root), **given)
    folder = tmp_path / "run" / "shared" / "Encoder" / "seed3"
    assert {path.name for path in folder.iterdir()} == {"fan.npz", "model.json"}  # pump has no test clips
    assert json.loads((folder / "model.json").read_text())["dimensions"] == 3
    table = Embeddings.load(folder / "fan.npz")
    assert table.clips.groupby("part").size().to_dict() == {"pseudo_target": 8, "test": 4, "train": 11}
    row = names["clips"].iloc[0]
    whole = names["encoding"].bank.sound(row).astype(np.float64) / 32768
    segment = whole[4000:12000].reshape(-1, 100)
    assert table.vectors[1] == pytest.approx(
        [segment.mean(), segment.std(axis=1, ddof=1).mean(), segment.max(axis=1).mean()], abs=1e-5
    )
    inliers = Inliers(gmm_components=(1,), knn_neighbours=(1,))
    scores = score_machine(table, families_of(EXTRACTORS["Encoder"], inliers), inliers, 3).scores
    assert {name.partition("-")[0] for name in scores["detector"]} >= {"GMM", "KNN", "cosine", "density"}


def test_the_file_counts_by_its_content(tmp_path):
    preset = tmp_path / "mine.yaml"
    preset.write_text("base: smoke\nencoder: mine.pt\n")
    torchscript(tmp_path / "mine.pt", Whole())

    def made():
        return dependencies.provenance("10_frozen_encoder", load_settings(str(preset)))

    before = made()
    assert before == made() and str(tmp_path) not in json.dumps(before)
    torchscript(tmp_path / "mine.pt", Blocks())
    assert before["settings"]["encoder"] != made()["settings"]["encoder"]


def test_a_preset_without_an_encoder_says_what_is_missing(tmp_path, root):
    with pytest.raises(ValueError, match="names no encoder; add `encoder: <file>`"):
        run_cells("10_frozen_encoder", data_root=str(root), preset="smoke", run_dir=str(tmp_path / "run"))
