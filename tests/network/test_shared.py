"""The shared extractor: its classes, its loss against a loop, what it hears, that test clips are in nothing."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from makers import write_noise

from lib.network.shared import (
    SharedBatches,
    SharedModel,
    SharedTrainer,
    SharedTraining,
    adacos_loss,
    adacos_scale,
)
from lib.settings import Settings, Shared

SMALL = {
    "mels": 16,
    "hop": 1024,
    "steps": 3,
    "batch": 8,
    "dimensions": 6,
    "centres": 2,
    "precision": "fp32",
    "threads": 1,
}
SETTINGS = Settings.model_validate({"frontend": {"segment_seconds": 0.5}, "shared": SMALL})


@pytest.fixture
def training(root, run):
    def opened(settings=SETTINGS, seed=0):
        return SharedTraining("09_shared_extractor", "", settings, run, "", str(root), "Shared", "all", seed)

    return opened


def test_the_loss_is_a_plain_loop():
    rng = np.random.default_rng(0)
    cosines, targets = rng.uniform(-1, 1, (4, 3, 2)), rng.dirichlet(np.ones(3), 4)
    scale, total = adacos_scale(6), 0.0
    assert scale == pytest.approx(np.sqrt(2) * np.log(5))
    for i in range(4):
        every = sum(np.exp(scale * cosines[i, c, s]) for c in range(3) for s in range(2))
        for c in range(3):
            share = sum(np.exp(scale * cosines[i, c, s]) for s in range(2)) / every
            total -= targets[i, c] * np.log(share) / 4
    assert float(adacos_loss(torch.tensor(cosines), torch.tensor(targets), scale)) == pytest.approx(total, rel=1e-5)


def test_cosines_are_of_every_centre_and_do_not_follow_the_length():
    torch.manual_seed(0)
    model = SharedModel(3, Shared(**SMALL))
    embedding = torch.randn(4, 6)
    found = model.cosines(embedding)
    assert found.shape == (4, 3, 2)
    expected = torch.nn.functional.cosine_similarity(embedding[1], model.centres[2 * 2 + 1], dim=0)
    assert found[1, 2, 1].item() == pytest.approx(expected.item(), abs=1e-6)
    assert torch.allclose(model.cosines(7 * embedding), found, atol=1e-6)


def test_the_model_is_a_resnet_and_a_linear_map_of_its_mean():
    torch.manual_seed(0)
    model = SharedModel(3, Shared(**SMALL)).eval()
    mel = torch.rand(2, 1, 32, 40)
    mel[0, 0, 0, 0] = 0.0
    found = model(mel)
    assert torch.allclose(
        found.embedding,
        model.extractor(model.norm(torch.log(mel + 1e-8))).mean(dim=(2, 3)) @ model.head.weight.T,
        atol=1e-5,
    )
    assert model.head.bias is None and model.norm.weight.shape == (1,)


def rows(n=10, length=1000):
    return pd.DataFrame(
        {"start": length * np.arange(n), "length": length, "mean": 0.0, "deviation": 1.0, "category": np.arange(n) % 4}
    )


def test_batches_run_through_permutations_shift_in_a_circle_and_mix_half_of_the_time():
    batches = SharedBatches(rows(), Shared(batch=5), 50, seed=0)
    drawn = [batches.draw() for _ in range(400)]
    for one, two in zip(drawn[::2], drawn[1::2], strict=True):
        assert sorted([*one.clip, *two.clip]) == list(range(10))
    offsets = np.concatenate([batch.cuts.offset.numpy() for batch in drawn])
    assert offsets.min() >= 0 and offsets.max() < 1000 and offsets.mean() == pytest.approx(500, abs=30)
    mixed = [batch for batch in drawn if batch.mixed]
    assert 0.4 < len(mixed) / 400 < 0.6
    lam = np.concatenate([batch.lam for batch in mixed])
    assert lam.mean() == pytest.approx(0.5, abs=0.03) and lam.std() == pytest.approx(12**-0.5, abs=0.02)
    batch = mixed[0]
    one_hot = np.eye(4)[batch.category]
    assert batch.classes(4) == pytest.approx(
        batch.lam[:, None] * one_hot + (1 - batch.lam[:, None]) * one_hot[batch.partner]
    )


def test_the_same_seed_draws_the_same_and_no_mixup_is_none():
    one, two, other = (SharedBatches(rows(), Shared(batch=5), 50, seed=s).draw() for s in (0, 0, 1))
    assert (one.clip == two.clip).all() and (one.cuts.offset == two.cuts.offset).all()
    assert not (one.cuts.offset == other.cuts.offset).all()
    plain = SharedBatches(rows(), Shared(batch=5, mixup=0.0), 50, seed=0)
    assert not any(plain.draw().mixed for _ in range(20))


def test_without_shift_no_segment_goes_over_its_end():
    batches = SharedBatches(rows(), Shared(batch=5, shift=False), 900, seed=0)
    offsets = np.concatenate([batches.draw().cuts.offset.numpy() for _ in range(400)])
    assert offsets.min() == 0 and offsets.max() == 100
    batches = SharedBatches(rows(), Shared(batch=5, shift=False), 2000, seed=0)  # clips that are shorter are tiled
    assert (batches.draw().cuts.offset == 0).all()


def shared(**change):
    return SETTINGS.model_copy(update={"shared": SETTINGS.shared.model_copy(update=change)})


def test_more_windows_stand_side_by_side_as_channels(training):
    """Each channel is the spectrogram by its own window, at the bands and frames of all."""
    few = training(shared(more_windows=(512, 4096)))
    waves = torch.randn(2, 8000)
    found = few.mel(waves)
    assert found.shape == (2, 3, 16, few.mel.frames(8000))
    for i, window in enumerate((2048, 512, 4096)):
        assert torch.allclose(found[:, i], training(shared(window=window)).mel(waves)[:, 0])
    trainer = SharedTrainer(few)
    trainer.step()
    assert trainer.model.norm.weight.shape == (3,)


def test_targets_that_are_not_heard_are_in_no_batch_and_no_class_and_keep_their_references(training, root):
    other = shared(hears_targets=False)
    heard, clips = training().clips, training(other).clips
    assert set(clips.loc[clips["category"] >= 0, "machine"]) == {"pump"}
    assert (clips["part"] == heard["part"]).all() and clips.loc[clips["machine"] == "fan", "class"].isna().all()
    for i in range(4):
        write_noise(root / "eval_data" / "raw" / "drill" / "train" / f"{i}.wav", seed=i)
    trainer = SharedTrainer(training(other))
    assert set(trainer.batches.rows["machine"]) == {"drill", "pump"} and trainer.model.classes == 2


def test_all_machines_training_clips_and_no_test_clip_are_in_the_classes(training):
    clips = training().clips
    assert set(clips.loc[clips["part"] == "train", "machine"]) == {"fan", "pump"}
    assert (clips.loc[clips["part"] != "train", "category"] == -1).all() and (
        clips.loc[clips["part"] == "train", "category"] >= 0
    ).all()
    assert set(clips.loc[clips["split"] == "test", "part"]) == {"test"}
    trainer = SharedTrainer(training())
    assert set(trainer.batches.rows["split"]) == {"train"} and trainer.model.classes == len(training().classes)


def test_clips_are_held_out_where_they_are_enough_to_calibrate_by(training):
    few = SETTINGS.model_copy(update={"inliers": SETTINGS.inliers.model_copy(update={"calibration_minimum": 2})})
    held = [set(training(s).clips.query("part == 'validation'")["machine"]) for s in (SETTINGS, few)]
    assert held == [set(), {"fan"}]
    every = few.model_copy(update={"inliers": few.inliers.model_copy(update={"fit_on": "all"})})
    assert set(training(every).clips["part"]) == {"train", "test"}


def test_other_test_clips_give_the_same_model(training, root):
    """The proof that no test clip is heard: all of them change, no weight does."""

    def trained():
        trainer = SharedTrainer(training())
        for _ in range(2):
            trainer.step()
        return trainer.model

    one = trained()
    for path in (root / "dev_data" / "raw" / "fan" / "test").iterdir():
        write_noise(path, seed=77)
    two = trained()
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    for path in (root / "dev_data" / "raw" / "fan" / "train").iterdir():
        write_noise(path, seed=78)
    assert not torch.equal(one.head.weight, trained().head.weight)


def test_training_lowers_the_loss_and_keeps_its_facts(training, monkeypatch):
    monkeypatch.setattr("lib.network.shared.LINES", 5)
    longer = SETTINGS.model_copy(
        update={"shared": SETTINGS.shared.model_copy(update={"steps": 60, "learning_rate": 1e-2})}
    )
    given = training(longer)
    trainer = SharedTrainer(given)
    history = trainer.run()
    assert history["step"].tolist() == [12, 24, 36, 48, 60]
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert history["learning_rate"].max() == pytest.approx(1e-2, rel=0.3)
    trainer.save()
    facts = json.loads((given.folder / "model.json").read_text())
    assert facts["classes"] == given.classes and facts["clips"]["train"] == 15 and facts["threads"] == 1
    assert (
        given.folder == given.run.root / "shared" / "Shared" / "seed0" and (given.folder / "model.safetensors").exists()
    )
    assert facts["made"]["data"] == given.bank.fingerprint and given.embeddings("fan").parent == given.folder


def test_a_stopped_training_goes_on_to_the_same_weights(training, run, capsys, monkeypatch):
    whole = SharedTrainer(training())
    whole.run()
    whole.checkpoint.unlink()
    stopped, steps = SharedTrainer(training()), []
    step = stopped.step
    monkeypatch.setattr(stopped, "step", lambda: steps.append(1) or (step() if len(steps) < 3 else 1 / 0))
    with pytest.raises(ZeroDivisionError):
        stopped.run()
    resumed = SharedTrainer(training())
    history = resumed.run()
    assert "resumed after step 2" in capsys.readouterr().out and history["step"].tolist() == [1, 2, 3]
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.model.state_dict().values(), resumed.model.state_dict().values(), strict=True)
    )
    other = SETTINGS.model_copy(update={"shared": SETTINGS.shared.model_copy(update={"learning_rate": 0.1})})
    SharedTrainer(training(other))._resume()
    assert "of other code, settings" in capsys.readouterr().out
    resumed.save()
    assert not resumed.checkpoint.exists()


def test_optimizer_decays_weights(training):
    group = SharedTrainer(training()).optimizer.param_groups[0]
    assert group["weight_decay"] == 1e-2 and isinstance(SharedTrainer(training()).optimizer, torch.optim.AdamW)


def test_one_class_is_refused(training, root):
    for path in (root / "eval_data" / "raw" / "pump" / "train").iterdir():
        path.unlink()
    for path in (root / "dev_data" / "raw" / "fan" / "train").glob("*target*"):
        path.unlink()
    with pytest.raises(ValueError, match="1 class of training clips"):
        SharedTrainer(training())
