import json

import numpy as np
import pytest
import torch

from lib.network import device, training
from lib.network.device import prepare
from lib.network.embedder import Embedder
from lib.network.embeddings import Embeddings, concatenate
from lib.network.frontend import Cuts, gather, spectrograms
from lib.network.losses import total_loss
from lib.network.system_training import SystemTraining
from lib.network.training import Trainer
from lib.paths import Run
from lib.settings import Settings
from lib.systems import SYSTEMS

SETTINGS = Settings.model_validate({
    "frontend": {"segment_seconds": 0.5, "mels": 16, "hop": 512},
    "training": {"epochs": 4, "batch": 8, "learning_rate": 1e-3, "precision": "fp32"},
    "joint": {"epochs": 4},
})  # fmt: skip


@pytest.fixture
def machine(root, run):
    """How a training of fan is opened: `machine(system="OE", …)`."""

    def opened(system="OE", parameter="all", settings=SETTINGS, seed=0, folder=None):
        notebook = SYSTEMS[system].notebook
        where = Run(folder) if folder else run
        training = SystemTraining(notebook, "fan", settings, where, "", str(root), system, parameter, seed)
        prepare(seed, 1)
        return training

    return opened


def trainer(machine, **which):
    return Trainer(machine(**which))


def weights(made):
    return torch.cat([p.flatten() for p in made.model.state_dict().values()])


def test_machine_clips(machine):
    data = machine().clips
    assert data.own.groupby("part").size().to_dict() == {"test": 4, "train": 9, "validation": 2}
    assert set(data.pseudo["machine"]) == {"pump"} and data.own["deviation"].nunique() == 1
    assert data.pseudo["deviation"].iloc[0] == data.own["deviation"].iloc[0]


@pytest.mark.parametrize(("system", "parameter"), [("OE", "all"), ("SerialOE-DFlow", "m-n")])
def test_resumed_run_gives_the_same_weights(machine, tmp_path, capsys, system, parameter):
    kind = {"system": system, "parameter": parameter}
    whole = trainer(machine, folder=tmp_path / "a", **kind)
    history = whole.run()
    decays = history["learning_rate"].iloc[-1] < history["learning_rate"].max()
    assert len(history) == 4 and decays == (system == "OE")
    assert capsys.readouterr().out.count("clips/s") == 4
    trainer(machine, folder=tmp_path / "b", **kind).run(epochs=2)  # the session ends here
    resumed = trainer(machine, folder=tmp_path / "b", **kind)
    torch.manual_seed(99)
    again = resumed.run()
    assert "resumed after epoch 2" in capsys.readouterr().out
    assert torch.equal(weights(whole), weights(resumed))
    assert again.drop(columns="clips_per_second").equals(history.drop(columns="clips_per_second"))


def test_batchnorm_is_estimated_anew(machine, tmp_path):
    """At the end its mean is that of the last weights on new batches, here by a plain loop."""
    schedule = SETTINGS.training.model_copy(update={"batchnorm_batches": 3})
    made = trainer(machine, folder=tmp_path / "a", settings=SETTINGS.model_copy(update={"training": schedule}))
    made.run()
    plain, means = trainer(machine, folder=tmp_path / "b"), []
    plain.run()
    plain.model.train().extractor.network.bn1.register_forward_pre_hook(
        lambda _, inputs: means.append(inputs[0].mean((0, 2, 3)))
    )
    for _ in range(3):
        batch = plain.batches.draw(plain.batches.steps - 1)
        plain.model.extractor(batch.spectrograms(plain.samples, plain.mel, plain.batches.segment))
    found = made.model.extractor.network.bn1.running_mean
    assert torch.allclose(found, torch.stack(means).mean(0), atol=1e-5)
    assert (made.model.extractor.network.conv1.weight == plain.model.extractor.network.conv1.weight).all()
    assert made.history[-1]["embedding_variance"] != plain.history[-1]["embedding_variance"]


def test_checkpoint_of_another_recipe_or_damaged_is_not_resumed(machine, capsys, monkeypatch):
    made = trainer(machine)
    made.run(epochs=1)
    assert "resumed" in (trainer(machine).run(epochs=2), capsys.readouterr().out)[1]
    other = SETTINGS.model_copy(update={"frontend": SETTINGS.frontend.model_copy(update={"log": True})})
    trainer(machine, settings=other).run(epochs=1)
    assert "of other code, settings, data or torch" in capsys.readouterr().out
    monkeypatch.setattr(torch, "__version__", "1.0")
    trainer(machine, settings=other).run(epochs=1)
    assert "of other code, settings, data or torch" in capsys.readouterr().out
    made.checkpoint.write_bytes(b"broken")
    assert len(trainer(machine).run(epochs=1)) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_training_tells_the_machines_apart(root, machine):
    """Noise of another colour is learnt in a few epochs."""
    import soundfile

    for path in (root / "eval_data" / "raw" / "pump" / "train").iterdir():
        samples = soundfile.read(path)[0]
        soundfile.write(path, np.convolve(samples, np.ones(8) / 8, "same"), 16000)
    settings = SETTINGS.model_copy(
        update={"training": SETTINGS.training.model_copy(update={"epochs": 12, "mixup": False})}
    )
    history = trainer(machine, settings=settings).run()
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]


def test_precision_and_device():
    cpu = torch.device("cpu")
    assert device.pick_precision("fp32", cpu) == torch.float32 and device.pick_precision("bf16", cpu) == torch.bfloat16
    assert device.pick_precision("auto", cpu) in (torch.float32, torch.bfloat16)


def test_embeddings_cover_every_segment(machine, tmp_path):
    given = machine()
    data, embedder = given.clips, Embedder(Trainer(given).model, given)
    table = embedder.clips(data.own, data.own["part"].to_numpy())
    assert table.vectors.shape == (15 * 5, 512) and np.bincount(table.clip).tolist() == [5] * 15
    assert np.allclose(np.bincount(table.clip, table.weight), 1)
    source, target = data.part("train", "source"), data.part("train", "target")
    mixed = embedder.pseudo_target(source, target, np.random.default_rng(0))
    assert len(mixed.clips) == len(source) and (mixed.clips["part"] == "pseudo_target").all()
    whole = concatenate([table, mixed])
    whole.save(tmp_path / "embeddings.npz", {"data": "x"})
    loaded = Embeddings.load(tmp_path / "embeddings.npz")
    assert loaded.provenance == {"data": "x"}
    assert np.array_equal(loaded.vectors, whole.vectors) and loaded.clips.equals(whole.clips)
    part = loaded.part("validation")
    assert len(part.clips) == 2 and part.clip.tolist() == [0] * 5 + [1] * 5


def test_pseudo_target_is_a_mixture_of_audio(machine):
    """With a network that passes its input on, λ can be read off the embedding."""
    settings = SETTINGS.model_copy(update={"inliers": SETTINGS.inliers.model_copy(update={"pseudo_target_alpha": 1.0})})
    given = machine(settings=settings)
    data, embedder = given.clips, Embedder(Trainer(given).model, given)
    seen = []
    embedder._embed = lambda cuts, partners=None, lam=None: (
        seen.append((cuts, partners, lam)) or (np.zeros((len(cuts), 512)), None)
    )
    source, target = data.part("train", "source"), data.part("train", "target")
    embedder.pseudo_target(source, target, np.random.default_rng(0))
    cuts, partners, lam = seen[0]
    assert set(cuts.start.tolist()) == set(source["start"]) and set(partners.start.tolist()) <= set(target["start"])
    assert all(len(set(part.tolist())) == 1 for part in lam.reshape(len(source), 5)) and len(set(lam.tolist())) == len(
        source
    )
    assert torch.isfinite(gather(given.samples, partners, 8000)).all()


@pytest.mark.parametrize(("system", "parameter"), [("OE", "all"), ("SerialOE-DFlow", "m-n")])
def test_model_outlives_its_process(machine, tmp_path, system, parameter):
    given = machine(system=system, parameter=parameter)
    made = Trainer(given)
    made.save()
    assert {p.name for p in given.folder.iterdir()} == {"model.safetensors", "model.json", "history.csv"}
    loaded, found = training.load_trained(given.folder, torch.device("cpu"))
    assert json.loads(json.dumps(given.provenance())) == found["made"] and found["threads"] == torch.get_num_threads()
    inputs, own = torch.rand(2, 1, 16, 16), made.model.eval()
    outputs, expected = loaded(inputs), own(inputs)
    assert found["system"] == system and torch.equal(outputs.logits, expected.logits)
    if system != "OE":
        assert outputs.class_logits.shape == (2, 2) and torch.equal(outputs.class_logits, expected.class_logits)
        assert torch.equal(loaded.flow.score_map(outputs.feature_map), own.flow.score_map(expected.feature_map))
    with pytest.raises(ValueError, match="run its training notebook"):
        training.load_trained(tmp_path / "none", torch.device("cpu"))


def steps(made, count=3):
    """A few optimizer steps at the trainer's own weights; returns the terms of the last."""
    for step in range(count):
        batch = made.batches.draw(step)
        inputs = batch.spectrograms(made.samples, made.mel, made.batches.segment)
        terms = training.optimizer_step(made.model, batch, inputs, made.weights, made.precision, made.optimizer)
    return terms


def test_the_flow_moves_although_its_gradient_is_tiny(machine, tmp_path):
    """λ_Flow = 1e-7 leaves the flow gradients that AdamW's usual eps of 1e-8 would swallow."""
    made = trainer(machine, system="OE-Flow")
    flow = list(made.model.flow.parameters())
    before = [p.detach().clone() for p in flow]
    steps(made, 1)
    assert max(p.grad.abs().max() for p in flow) < 1e-3
    moved = torch.cat([(p.detach() - b).abs().flatten() for p, b in zip(flow, before, strict=True)])
    reached = torch.cat([(p.grad != 0).flatten() for p in flow])
    rate = made.training.learning_rate
    assert reached.float().mean() > 0.1  # a 1 × 1 map leaves the rest of the 3 × 3 kernels nothing to do
    assert (moved[reached] > 0.9 * rate).float().mean() > 0.95  # AdamW's first step is the learning rate


def test_the_flows_gradient_reaches_the_extractor(machine, tmp_path):
    made = trainer(machine, system="OE-Flow")
    batch = made.batches.draw(0)
    outputs = made.model(batch.spectrograms(made.samples, made.mel, made.batches.segment))
    total_loss(made.model, outputs, batch, {"flow": 1e-7})[0].backward()
    gradients = [p.grad for p in made.model.extractor.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients) and gradients[0].abs().max() > 0


def test_joint_training_lowers_every_term(machine, tmp_path):
    settings = SETTINGS.model_copy(update={"joint": SETTINGS.joint.model_copy(update={"epochs": 12})})
    history = trainer(machine, settings=settings, system="SerialOE-DFlow", parameter="m-n").run()
    assert {"machine", "attribute", "flow", "embedding_variance"} <= set(history.columns)
    first, last = history.iloc[0], history.iloc[-1]
    assert last["flow"] < first["flow"] and last["attribute"] < first["attribute"]
    assert history["loss"].iloc[0] == pytest.approx(first["machine"] + 5 * first["attribute"] + 1e-7 * first["flow"])


def test_a_collapse_is_said_in_plain_words(machine, tmp_path, capsys):
    made = trainer(machine, system="OE-Flow")
    for variance in (1.0, 0.5, 0.009, 0.001):
        made.history.append({"embedding_variance": variance})
        made._report_collapse()
    printed = capsys.readouterr().out
    assert printed.count("the embeddings collapse") == 1 and "9.0e-03" in printed
    plain = trainer(machine)
    plain.history = [{"embedding_variance": 1.0}, {"embedding_variance": 1e-9}]
    plain._report_collapse()
    assert not capsys.readouterr().out


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
    mixed = embedder.pseudo_target(data.part("train", "source"), data.part("train", "target"), np.random.default_rng(0))
    whole = concatenate([table, mixed])
    assert np.isnan(whole.part("pseudo_target").maps).all() and np.array_equal(
        whole.part("test").maps, table.part("test").maps
    )
