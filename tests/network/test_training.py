import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from makers import write_noise
from trainings import changed

from lib.network import training
from lib.network.embedder import Embedder
from lib.network.frontend import spectrograms
from lib.network.losses import TERMS, flow_share, total_loss
from lib.network.system_training import SystemTraining
from lib.network.training import Trainer, begin_at, build_model
from lib.settings import Training
from lib.systems import SYSTEMS


def trainer(machine, **which):
    return Trainer(machine(**which))


def weights(made):
    return torch.cat([p.flatten() for p in made.model.state_dict().values()])


def test_machine_clips(machine):
    """Standardised by the machine's training clips alone, the other machines' clips by the same numbers."""
    given = machine()
    data, training = given.clips, given.bank.training("fan")
    assert data.own.groupby("part").size().to_dict() == {"test": 4, "train": 9, "validation": 2}
    sound = np.concatenate([given.bank.sound(row) for row in training.itertuples()]) / 32768
    for rows in (data.own, data.pseudo):
        assert np.allclose(rows["mean"], sound.mean()) and np.allclose(rows["deviation"], sound.std())
    assert set(data.pseudo["machine"]) == {"pump"}


def test_training_hears_no_validation_or_test_clip(root, machine):
    """Neither of its own machine nor of another one, whose test clips lie beside."""
    for i in range(6):
        write_noise(root / "dev_data" / "raw" / "pump" / "test" / f"section_00_source_test_normal_{i:04d}.wav", seed=i)
    given = machine(system="SerialOE-DFlow", parameter="m-n")
    batches, clips = given.batches(), given.bank.clips
    heard = clips.loc[np.unique(np.concatenate([batches.draw(step).clip for step in range(batches.steps)]))]
    assert set(heard["split"]) == {"train"} and (clips["split"] == "test").sum() == 10
    held = given.clips.part("validation").index
    assert len(held) == 2 and not heard.index.isin(held).any()
    assert set(heard["machine"]) == {"fan", "pump"} and (heard["machine"] == "pump").sum() == 4


@pytest.mark.parametrize(
    ("system", "parameter"), [("OE", "all"), pytest.param("SerialOE-DFlow", "m-n", marks=pytest.mark.long)]
)
def test_resumed_run_gives_the_same_weights(machine, tmp_path, capsys, system, parameter):
    settings = changed(training={"epochs": 2, "checkpoint_epochs": 2}, joint={"epochs": 2})
    kind = {"system": system, "parameter": parameter, "settings": settings}
    whole = trainer(machine, folder=tmp_path / "a", **kind)
    history = whole.run()
    decays = history["learning_rate"].iloc[-1] < history["learning_rate"].max()
    assert len(history) == 2 and decays == (system == "OE")
    assert capsys.readouterr().out.count("clips/s") == 2
    trainer(machine, folder=tmp_path / "b", **kind).run(epochs=1)  # the session ends here
    resumed = trainer(machine, folder=tmp_path / "b", **kind)
    torch.manual_seed(99)
    again = resumed.run()
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert torch.equal(weights(whole), weights(resumed))
    assert again.drop(columns="clips_per_second").equals(history.drop(columns="clips_per_second"))


def test_an_epoch_trains_by_batch_statistics_and_validates_by_the_averages(machine):
    made = trainer(machine, settings=changed(training={"epochs": 2, "checkpoint_epochs": 9}))
    modes = []
    made.model.extractor.network.bn1.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    last = made.run().iloc[-1]
    assert modes == ([True] * made.batches.steps_per_epoch + [False]) * 2 + [False]  # once more, of rounded weights
    outputs = made.model.eval()(spectrograms(made.samples, made.validation, made.mel, made.batches.segment))
    logits, embedding = outputs.logits.detach().double().numpy(), outputs.embedding.detach().numpy()
    assert len(logits) == 2 and last["validation_loss"] == pytest.approx(np.log1p(np.exp(-logits)).mean(), rel=1e-4)
    assert last["validation_accuracy"] == (logits > 0).mean()
    assert last["embedding_variance"] == pytest.approx(embedding.var(axis=0).mean(), rel=1e-4)


def test_without_held_out_clips_those_of_the_training_show_the_variance(machine):
    made = trainer(machine, settings=changed(data={"validation_fraction": 0.0}, training={"epochs": 1}))
    last = made.run().iloc[-1]
    assert np.isnan([last["validation_loss"], last["validation_accuracy"]]).all() and last["embedding_variance"] > 0


def test_batchnorm_is_estimated_anew(machine, tmp_path):
    """At the end its mean is that of the last weights on new batches, here by a plain loop."""
    short = {"epochs": 1}
    made = trainer(machine, folder=tmp_path / "a", settings=changed(training=short | {"batchnorm_batches": 3}))
    made.run()
    plain, means = trainer(machine, folder=tmp_path / "b", settings=changed(training=short)), []
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
    other = trainer(machine, settings=changed(frontend={"log": True}))
    other._resume()
    assert "of other code, settings, data or torch" in capsys.readouterr().out
    with monkeypatch.context() as patched:
        patched.setattr("lib.dependencies._code", lambda found: "other code")
        trainer(machine)._resume()
    assert "of other code, settings, data or torch" in capsys.readouterr().out
    monkeypatch.setattr(torch, "__version__", "1.0")
    trainer(machine)._resume()
    assert "of other code, settings, data or torch" in capsys.readouterr().out
    made.checkpoint.write_bytes(b"broken")
    assert len(trainer(machine).run(epochs=1)) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_checkpoints_are_apart_in_time_but_for_the_last(machine, monkeypatch):
    """An epoch on a GPU takes less time than to write one."""
    for apart, expected in ((training.KEEP, [2]), (-1, [1, 2])):
        monkeypatch.setattr(training, "KEEP", apart)
        made, kept = trainer(machine, settings=changed(training={"epochs": 2, "checkpoint_epochs": 1})), []
        monkeypatch.setattr(made, "_keep", lambda made=made, kept=kept: kept.append(len(made.history)))
        made.run()
        assert kept == expected


def test_training_tells_the_machines_apart(root, machine):
    """Noise of another colour is learnt in a few epochs."""
    import soundfile

    for path in (root / "eval_data" / "raw" / "pump" / "train").iterdir():
        samples = soundfile.read(path)[0]
        soundfile.write(path, np.convolve(samples, np.ones(8) / 8, "same"), 16000)
    settings = changed(training={"epochs": 7, "mixup": False})
    history = trainer(machine, settings=settings).run()
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]


@pytest.mark.parametrize(("system", "parameter"), [("OE", "all"), ("SerialOE-DFlow", "m-n")])
def test_model_outlives_its_process(machine, tmp_path, system, parameter):
    given = machine(system=system, parameter=parameter)
    made = Trainer(given)
    made.save()
    assert {p.name for p in given.folder.iterdir()} == {"model.safetensors", "model.json", "history.csv"}
    loaded, found = training.load_trained(given.folder, torch.device("cpu"))
    assert json.loads(json.dumps(given.provenance())) == found["made"] and found["threads"] == torch.get_num_threads()
    assert np.shape(found["usual_spectrum"]) == (1, given.settings.frontend.mels)  # what healthy clips sound like
    inputs, own = torch.rand(2, 1, 16, 16), made.model.eval()
    outputs, expected = loaded(inputs), own(inputs)
    assert found["system"] == system and torch.equal(outputs.logits, expected.logits)
    if system != "OE":
        assert outputs.class_logits.shape == (2, 2) and torch.equal(outputs.class_logits, expected.class_logits)
        assert torch.equal(loaded.flow.score_map(outputs.feature_map), own.flow.score_map(expected.feature_map))
    with pytest.raises(ValueError, match="run its training notebook"):
        training.load_trained(tmp_path / "none", torch.device("cpu"))


def test_what_embeds_after_a_training_are_the_stored_weights(machine):
    given = machine(system="OE-Flow")
    made = Trainer(given)
    made.run()
    before = {name: tensor.clone() for name, tensor in made.model.state_dict().items()}
    made.save()
    loaded, _ = training.load_trained(given.folder, torch.device("cpu"))
    assert all(torch.equal(before[name], tensor) for name, tensor in loaded.state_dict().items())


def steps(made, count=3):
    """A few optimizer steps at the trainer's own weights; returns the terms of the last."""
    for step in range(count):
        batch = made.batches.draw(step)
        inputs = batch.spectrograms(made.samples, made.mel, made.batches.segment)
        terms = training.optimizer_step(made.model, batch, inputs, made.weights, made.precision, made.optimizer)
    return terms


def moved_by(optimizer, parameters):
    """How far each parameter moves in a step at a gradient of 1."""
    before = [p.detach().clone() for p in parameters]
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return torch.cat([(b - p.detach()).flatten() for p, b in zip(parameters, before, strict=True)])


def test_the_optimizer_is_adam_at_the_given_rate_without_weight_decay(machine):
    """AdamW's first step is the learning rate whatever the gradient; without one, weights stay as they are."""
    made = trainer(machine, system="OE-Flow")
    optimizer, parameters = training.build_optimizer(made.model, 0.003), list(made.model.parameters())
    before = weights(made)
    for p in parameters:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(weights(made), before)
    optimizer = training.build_optimizer(made.model, 0.003)
    assert torch.allclose(moved_by(optimizer, parameters), torch.tensor(0.003), rtol=1e-2)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(parameters)


@pytest.mark.parametrize(("system", "rate"), [("OE", 1e-3), ("Serial-OE", 1e-3), ("OE-Flow", 1e-4)])
def test_a_trainers_rate_is_the_systems(machine, system, rate):
    settings = changed(training={"learning_rate": 1e-3}, joint={"learning_rate": 1e-4})
    made = trainer(machine, system=system, settings=settings)
    rates = []
    for _ in range(made.batches.steps):
        rates.append([group["lr"] for group in made.optimizer.param_groups])
        made.optimizer.step()
        made.schedule.step() if len(rates) < made.batches.steps else None
    rates = np.array(rates)
    assert rates.max() == pytest.approx(rate, rel=0.05) and (rates == rates[:, :1]).all()
    if system == "OE-Flow":
        assert np.allclose(rates, rate)


def test_one_cycle_rises_to_its_peak_and_falls():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1e-3)
    schedule = training.build_schedule(optimizer, Training(learning_rate=1e-3), 101)
    rates = []
    for _ in range(100):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    peak = int(np.argmax(rates))
    assert rates[0] == pytest.approx(1e-3 / 25) and max(rates) == pytest.approx(1e-3, rel=1e-3) and 28 <= peak <= 31
    assert (np.diff(rates[: peak + 1]) > 0).all() and (np.diff(rates[peak:]) < 0).all() and rates[-1] < 1e-6


def test_the_attributes_gradient_reaches_the_extractor(machine):
    """g_att is no bystander: L_att alone moves f_FE (Eq. 1)."""
    made = trainer(machine, system="Serial-OE")
    batch = made.batches.draw(0)
    outputs = made.model(batch.spectrograms(made.samples, made.mel, made.batches.segment))
    total_loss(made.model, outputs, batch, {"attribute": 5.0})[0].backward()
    gradients = [p.grad for p in made.model.extractor.parameters()]
    assert all(g is not None for g in gradients) and gradients[0].abs().max() > 0
    assert made.model.class_head.weight.grad.abs().max() > 0 and made.model.machine_head.weight.grad is None


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


def test_a_warm_start_begins_at_the_weights_without_the_flow_and_a_cold_one_anew(machine):
    warm = changed(joint={"warm_start": True})
    with pytest.raises(ValueError, match=r"Serial-OE.all.seed0: no trained model; run its training notebook"):
        trainer(machine, system="SerialOE-DFlow", parameter="m-n", settings=warm)
    first = trainer(machine, system="Serial-OE")
    first.run()
    first.save()
    known = first.model.state_dict()
    for settings, same in ((warm, True), (changed(), False)):
        joint = trainer(machine, system="SerialOE-Flow", settings=settings)
        state = joint.model.state_dict()
        assert set(known) < set(state) and all(name.startswith("flow.") for name in set(state) - set(known))
        assert all(torch.equal(state[name], values) for name, values in known.items()) == same
    assert trainer(machine, settings=warm).given.begins_at is None  # OE itself


@pytest.mark.parametrize("others", [("X", "Y"), ("W", "X", "Y")])
def test_a_warm_start_keeps_a_new_head_where_other_classes_are_told_apart(machine, others):
    first = trainer(machine, system="Serial-OE")
    first.save()
    given = first.given
    assert given.labels.classes not in (others, ())
    labels = replace(given.labels, classes=others)
    model = build_model(given.settings, SYSTEMS["SerialOE-DFlow"], labels, given.device)
    own = model.class_head.weight.clone()
    begin_at(model, given.folder, labels, given.device)
    assert torch.equal(model.class_head.weight, own)
    assert torch.equal(model.machine_head.weight, first.model.machine_head.weight)
    known, found = first.model.extractor.state_dict(), model.extractor.state_dict()
    assert all(torch.equal(found[name], values) for name, values in known.items())


def test_joint_training_lowers_every_term(machine, tmp_path):
    settings = changed(joint={"epochs": 5})
    history = trainer(machine, settings=settings, system="SerialOE-DFlow", parameter="m-n").run()
    assert {"machine", "attribute", "flow", "embedding_variance"} <= set(history.columns)
    first, last = history.iloc[0], history.iloc[-1]
    assert last["flow"] < first["flow"] and last["attribute"] < first["attribute"]
    assert history["loss"].iloc[0] == pytest.approx(first["machine"] + 5 * first["attribute"] + 1e-7 * first["flow"])


@pytest.mark.parametrize(("stride", "size"), [(32, (1, 1)), (16, (2, 1))])
def test_a_map_is_as_fine_as_the_settings_say(machine, stride, size):
    made = trainer(machine, system="OE-Flow", settings=changed(extractor={"output_stride": stride}))
    with torch.no_grad():
        found = made.model(torch.rand(2, 1, 32, 16)).feature_map
    assert tuple(found.shape[2:]) == size


@pytest.mark.parametrize("detached", [False, True])
def test_the_flows_share_of_the_gradient_is_a_plain_loop(machine, detached):
    """A detached flow has none, and still learns."""
    made = trainer(machine, system="OE-Flow", settings=changed(flow={"weight": 1e-3, "detached": detached}))
    batch = next(batch for batch in map(made.batches.draw, range(20)) if batch.pure.any())
    outputs = made.model(batch.spectrograms(made.samples, made.mel, made.batches.segment))
    loss, _ = total_loss(made.model, outputs, batch, made.weights)
    found = flow_share(made.model, outputs, batch, made.weights, loss)
    norms = {}
    for name, weight in made.weights.items():
        made.model.zero_grad()
        (weight * TERMS[name](made.model, outputs, batch)).backward(retain_graph=True)
        squares = [float(p.grad.square().sum()) for p in made.model.extractor.parameters() if p.grad is not None]
        norms[name] = np.sqrt(sum(squares))
    assert found == pytest.approx(norms["flow"] / (norms["flow"] + norms["machine"]), rel=1e-3)
    assert (found == 0) == detached and any(p.grad.abs().sum() > 0 for p in made.model.flow.parameters())


@pytest.mark.long
def test_the_share_is_written_once_an_epoch_and_moves_nothing(machine, tmp_path):
    settings = changed(joint={"epochs": 2}), changed(joint={"epochs": 2}, flow={"gradient_share": True})
    plain, watched = (
        trainer(machine, folder=tmp_path / str(i), settings=s, system="OE-Flow") for i, s in enumerate(settings)
    )
    assert "flow_share" not in plain.run() and watched.run()["flow_share"].between(0, 1).all()
    assert torch.equal(weights(plain), weights(watched))


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


def test_numbers_do_not_follow_the_threads_around(root, tmp_path):
    """Two trainings opened where torch was left with 1 and with 2 threads: the setting decides, models are equal."""
    preset = tmp_path / "small.yaml"
    preset.write_text(
        "frontend: {segment_seconds: 0.5, mels: 40, hop: 256}\ntraining: {epochs: 1, batch: 16, precision: fp32}"
    )
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        folder = tmp_path / f"run{threads}"
        given = SystemTraining.open("03_oe_training", "fan", str(preset), str(root), str(folder), system="OE")
        assert torch.get_num_threads() == given.settings.threads == 1
        made = Trainer(given)
        made.run()
        made.save()
        table = Embedder(made.model, given).clips(given.clips.own, given.clips.own["part"].to_numpy())
        found.append((weights(made), table.vectors))
        assert json.loads((given.folder / "model.json").read_text())["threads"] == 1
    torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0]) and np.array_equal(found[0][1], found[1][1])


def test_a_narrow_map_trains_in_float32(machine):
    """16 frames of 16 bands leave a map of 1 × 1."""
    bf16 = {"precision": "bf16"}
    assert trainer(machine, settings=changed(training=bf16)).precision == torch.float32
    wide = changed(training=bf16, frontend={"mels": 40, "hop": 128})
    assert trainer(machine, settings=wide).precision == torch.bfloat16


@pytest.mark.parametrize(
    ("system", "precision", "audible", "means", "mend"),
    [
        ("OE", torch.float32, False, {"machine": np.nan}, "problems.csv"),
        ("OE", torch.float32, True, {"machine": np.nan}, r"lower training.learning_rate$"),
        ("OE", torch.bfloat16, True, {"machine": np.nan}, "training.precision: fp32, or lower training.learning_rate"),
        ("OE-Flow", torch.bfloat16, True, {"machine": 0.1, "flow": np.inf}, "L_Flow alone .* flow.weight or joint.learn"),
        ("OE-Flow", torch.bfloat16, True, {"machine": np.nan, "flow": np.nan}, "fp32, or lower joint.learning_rate"),
        ("OE-Flow", torch.float32, True, {"machine": np.nan, "flow": np.nan}, "lower joint.learning_rate or flow.weight"),
    ],
)  # fmt: skip
def test_a_loss_that_is_not_finite_names_its_cause(machine, system, precision, audible, means, mend):
    made = trainer(machine, system=system)
    made.precision = precision
    assert re.search(mend, made._mend(means, audible))


def test_a_training_that_diverges_stops(machine):
    made = trainer(machine, settings=changed(training={"learning_rate": 1e30}))
    with pytest.raises(ValueError, match=r"the loss became .* in epoch 1: .*lower training.learning_rate"):
        made.run()
    made = trainer(machine)
    made.mel.bands[0] = torch.nan  # one band of the spectrograms is enough
    with pytest.raises(ValueError, match="the loss became nan in epoch 1: what the network hears is not finite"):
        made.run()


def test_the_loss_is_written_as_in_the_paper(machine):
    assert trainer(machine).loss() == "L = 1 · L_machine"
    made = trainer(machine, system="SerialOE-DFlow", parameter="m-n")
    assert made.loss() == "L = 1 · L_machine + 5 · L_att + 1e-07 · L_Flow"
    section = changed(training={"second_task": "section", "attribute_weight": 2.0})
    assert trainer(machine, system="Serial-OE", settings=section).loss() == "L = 1 · L_machine + 2 · L_section"
