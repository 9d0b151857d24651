import numpy as np
import pytest
import torch

from lib import training
from lib.batches import BalancedBatches
from lib.clips import ClipBank
from lib.embeddings import Embedder, Embeddings, concatenate
from lib.frontend import MelSpectrogram, gather
from lib.machine import MachineClips
from lib.settings import Settings

SETTINGS = Settings.model_validate({
    "frontend": {"segment_seconds": 0.5, "mels": 16, "hop": 512},
    "training": {"epochs": 4, "batch": 8, "learning_rate": 1e-3, "precision": "fp32"},
})  # fmt: skip


@pytest.fixture
def machine(root, run):
    bank = ClipBank.open(run, root, SETTINGS.data)
    return bank, MachineClips.read(bank, "fan", SETTINGS)


def trainer(machine, folder, recipe="r", settings=SETTINGS, seed=0):
    bank, data = machine
    training.seed_everything(seed)
    model = training.build_model(settings, torch.device("cpu"))
    batches = BalancedBatches(data.part("train"), data.pseudo, settings.training, settings.segment_samples, seed)
    mel = MelSpectrogram(settings.frontend, 16000)
    return training.Trainer(
        model, {"machine": 1.0}, batches, bank.tensor(), mel, data.part("validation"), settings.training,
        folder / "last.pt", recipe,
    )  # fmt: skip


def weights(made):
    return torch.cat([p.flatten() for p in made.model.state_dict().values()])


def test_machine_clips(machine):
    _, data = machine
    assert data.own.groupby("part").size().to_dict() == {"test": 4, "train": 9, "validation": 2}
    assert set(data.pseudo["machine"]) == {"pump"} and data.own["deviation"].nunique() == 1
    assert data.pseudo["deviation"].iloc[0] == data.own["deviation"].iloc[0]


def test_resumed_run_gives_the_same_weights(machine, tmp_path, capsys):
    whole = trainer(machine, tmp_path / "a")
    history = whole.run()
    assert len(history) == 4 and history["learning_rate"].iloc[-1] < history["learning_rate"].max()
    assert capsys.readouterr().out.count("clips/s") == 4
    trainer(machine, tmp_path / "b").run(epochs=2)  # the session ends here
    resumed = trainer(machine, tmp_path / "b", seed=0)
    torch.manual_seed(99)
    again = resumed.run()
    assert "resumed after epoch 2" in capsys.readouterr().out
    assert torch.equal(weights(whole), weights(resumed))
    columns = ["epoch", "loss", "validation_loss", "learning_rate"]
    assert again[columns].equals(history[columns])


def test_checkpoint_of_another_recipe_or_damaged_is_not_resumed(machine, tmp_path, capsys):
    trainer(machine, tmp_path).run(epochs=1)
    trainer(machine, tmp_path, recipe="other").run(epochs=1)
    assert "other settings or data" in capsys.readouterr().out
    (tmp_path / "last.pt").write_bytes(b"broken")
    assert len(trainer(machine, tmp_path).run(epochs=1)) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_training_tells_the_machines_apart(root, run, tmp_path):
    """Noise of another colour is learnt in a few epochs."""
    import soundfile

    for path in (root / "eval_data" / "raw" / "pump" / "train").iterdir():
        samples = soundfile.read(path)[0]
        soundfile.write(path, np.convolve(samples, np.ones(8) / 8, "same"), 16000)
    settings = SETTINGS.model_copy(
        update={"training": SETTINGS.training.model_copy(update={"epochs": 12, "mixup": False})}
    )
    bank = ClipBank.open(run, root, settings.data)
    made = trainer((bank, MachineClips.read(bank, "fan", settings)), tmp_path, settings=settings)
    history = made.run()
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]


def test_precision_and_device():
    cpu = torch.device("cpu")
    assert (
        training.pick_precision("fp32", cpu) == torch.float32 and training.pick_precision("bf16", cpu) == torch.bfloat16
    )
    assert training.pick_precision("auto", cpu) in (torch.float32, torch.bfloat16)


def test_embeddings_cover_every_segment(machine, tmp_path):
    bank, data = machine
    made = trainer(machine, tmp_path)
    embedder = Embedder(made.model, bank, bank.tensor(), made.mel, SETTINGS)
    table = embedder.clips(data.own, data.own["part"].to_numpy())
    assert table.vectors.shape == (15 * 5, 512) and np.bincount(table.clip).tolist() == [5] * 15
    assert np.allclose(np.bincount(table.clip, table.weight), 1)
    source, target = data.part("train", "source"), data.part("train", "target")
    mixed = embedder.pseudo_target(source, target, np.random.default_rng(0))
    assert len(mixed.clips) == len(source) and (mixed.clips["part"] == "pseudo_target").all()
    whole = concatenate([table, mixed])
    whole.save(tmp_path / "embeddings.npz", fingerprint="x")
    loaded = Embeddings.load(tmp_path / "embeddings.npz")
    assert np.array_equal(loaded.vectors, whole.vectors) and loaded.clips.equals(whole.clips)
    part = loaded.part("validation")
    assert len(part.clips) == 2 and part.clip.tolist() == [0] * 5 + [1] * 5


def test_pseudo_target_is_a_mixture_of_audio(machine, tmp_path):
    """With a network that passes its input on, λ can be read off the embedding."""
    bank, data = machine
    made = trainer(machine, tmp_path)
    settings = SETTINGS.model_copy(update={"inliers": SETTINGS.inliers.model_copy(update={"pseudo_target_alpha": 1.0})})
    embedder = Embedder(made.model, bank, bank.tensor(), made.mel, settings)
    seen = []
    embedder._embed = lambda cuts, partners=None, lam=None: (
        seen.append((cuts, partners, lam)) or np.zeros((len(cuts), 512))
    )
    source, target = data.part("train", "source"), data.part("train", "target")
    embedder.pseudo_target(source, target, np.random.default_rng(0))
    cuts, partners, lam = seen[0]
    assert set(cuts.start.tolist()) == set(source["start"]) and set(partners.start.tolist()) <= set(target["start"])
    assert all(len(set(part.tolist())) == 1 for part in lam.reshape(len(source), 5)) and len(set(lam.tolist())) == len(
        source
    )
    assert torch.isfinite(gather(bank.tensor(), partners, 8000)).all()


def test_model_outlives_its_process(machine, tmp_path):
    made = trainer(machine, tmp_path)
    training.save_trained(made.model, tmp_path, {"machine": "fan"})
    loaded = training.load_trained(tmp_path, SETTINGS, torch.device("cpu"))
    inputs = torch.rand(2, 1, 16, 16)
    assert torch.equal(loaded(inputs).logits, made.model.eval()(inputs).logits)
    with pytest.raises(ValueError, match="03_oe_training"):
        training.load_trained(tmp_path / "none", SETTINGS, torch.device("cpu"))
