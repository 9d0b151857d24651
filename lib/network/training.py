"""The epoch loop of every system: precision, schedule, checkpoint, resume, history (Sec. 4.2)."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.optim.swa_utils import update_bn

from lib import clock
from lib.network import checkpoint, weight_files
from lib.network.batch import Batch
from lib.network.device import Stopwatch, pick_precision, read, versions
from lib.network.extractor import DIMENSIONS, MachineModel, map_size
from lib.network.flow import Flow
from lib.network.frontend import Cuts, spectrograms, usual_spectrum
from lib.network.losses import flow_share, machine_loss, term_weights, total_loss
from lib.network.sent import SentBatch
from lib.network.steps import Steps, Terms
from lib.network.system_training import SystemTraining
from lib.paths import readable, write_csv, write_text
from lib.progress import progress
from lib.recordings.attributes import Labels
from lib.settings import Settings, Training
from lib.systems import System, find_system

FLOW_EPS = 1e-12  # of AdamW, for the flow's weights
COLLAPSE = 1e-2  # of the first epoch's embedding variance
KEEP = 30  # s at least between two checkpoints: on a GPU an epoch takes less time than to write one
RETRAIN = "delete it and run its training notebook (03 or 04) again"


def build_model(settings: Settings, system: System, labels: Labels, device: torch.device) -> MachineModel:
    """A new `MachineModel` for one system in channels-last layout on `device`.

    Args:
        settings: `settings.Settings`. system: `systems.System`. labels: `attributes.Labels`.
    """
    flow = Flow(DIMENSIONS, settings.flow, system.per_parameter) if system.latent else None
    task, network = settings.training.second_task, settings.extractor
    model = MachineModel(
        network.pretrained, network.machine_head, len(labels.classes), task, flow, network.output_stride
    )
    return model.to(device, memory_format=torch.channels_last)


def build_optimizer(model: MachineModel, learning_rate: float) -> torch.optim.AdamW:
    """AdamW without weight decay; the flow's own gradients, scaled by λ_Flow = 1e-7, need a smaller eps to count."""
    flow = [p for name, p in model.named_parameters() if name.startswith("flow.")]
    rest = [p for name, p in model.named_parameters() if not name.startswith("flow.")]
    groups = [{"params": rest}] + ([{"params": flow, "eps": FLOW_EPS}] if flow else [])
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0, fused=True)


def gradients(
    model: MachineModel,
    batch: Batch | SentBatch,
    inputs: torch.Tensor,
    weights: dict[str, float],
    precision: torch.dtype,
    share: bool = False,
) -> Terms:
    """Leave the gradients of one batch; returns each loss term (detached, and `loss`, their weighted sum).

    With `share`, also `flow_share`, as `losses.flow_share`.
    """
    with torch.autocast(inputs.device.type, precision, enabled=precision != torch.float32):
        outputs = model(inputs)
    loss, terms = total_loss(model, outputs, batch, weights)
    terms |= {"flow_share": flow_share(model, outputs, batch, weights, loss)} if share else {}
    model.zero_grad()
    loss.backward()
    return {"loss": loss.detach(), **terms}


def optimizer_step(
    model: MachineModel,
    batch: Batch | SentBatch,
    inputs: torch.Tensor,
    weights: dict[str, float],
    precision: torch.dtype,
    optimizer: torch.optim.Optimizer,
) -> Terms:
    """`gradients`, and one step of the optimizer."""
    terms = gradients(model, batch, inputs, weights, precision)
    optimizer.step()
    return terms


def build_schedule(
    optimizer: torch.optim.Optimizer, training: Training, steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate's schedule over all `steps` of a training: OneCycleLR or constant (4.2)."""
    if training.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=training.learning_rate, total_steps=steps)


class Trainer:
    """Trains the model of one system and machine, one epoch after the other.

    Args:
        training: what the model hears, its schedule and its folder. A checkpoint there is resumed when it was made by
            the same code, settings, data, seed and torch.
    """

    @clock.counts("training")
    def __init__(self, training: SystemTraining):
        self.given, self.training, self.batches = training, training.schedule, training.batches()
        self.samples, self.mel, self.device = training.samples, training.mel, training.device
        self.model = build_model(training.settings, training.row, training.labels, self.device)
        if training.begins_at:
            begin_at(self.model, training.begins_at, training.labels, self.device)
        self.weights = term_weights(training.row, training.settings)
        frames, stride = self.mel.frames(self.batches.segment), training.settings.extractor.output_stride
        size = map_size(training.settings.frontend.mels, frames, stride)
        self.precision = pick_precision(self.training.precision, self.device, size)
        self.validation, self.trained = (
            _centre_cuts(rows, self.batches.segment, self.device)
            for rows in (training.clips.part("validation"), self.batches.target[: self.training.batch])
        )
        self.optimizer = build_optimizer(self.model, self.training.learning_rate)
        self.schedule = build_schedule(self.optimizer, self.training, self.batches.steps)
        self.checkpoint, self._kept = training.folder / "last.pt", time.monotonic()
        made = [training.provenance(), training.names, str(self.precision), self.device.type, torch.__version__]
        self.recipe = json.dumps(made)
        self.history, self._collapsed = [], False

    def loss(self) -> str:
        """The loss as the paper writes it (Eqs. 1 and 5), with its weights."""
        second = {"attribute": "L_att", "section": "L_section"}[self.model.second_task]
        names = {"machine": "L_machine", "attribute": second, "flow": "L_Flow"}
        return "L = " + " + ".join(
            f"{weight:g} · {names.get(name, f'L_{name}')}" for name, weight in self.weights.items()
        )

    @clock.counts("training")
    def run(self, epochs: int | None = None) -> pd.DataFrame:
        """Train up to `epochs` (default: all), resuming a checkpoint of the same recipe; returns the history."""
        self._resume()
        last = min(epochs or self.training.epochs, self.training.epochs)
        steps = Steps(self._gradients, list(self.model.parameters()), self.device, len(self.given.labels.classes))
        for epoch in range(len(self.history), last):
            self.history.append(self._epoch(epoch, steps))
            print(_epoch_line(self.history[-1], self.training.epochs), flush=True)
            self._report_collapse()
            due = (epoch + 1) % self.training.checkpoint_epochs == 0 and time.monotonic() - self._kept > KEEP
            if due or epoch + 1 == last:
                self._keep()
        self.model.zero_grad()  # of a recorded step, whose memory is then free
        if last == self.training.epochs:
            weight_files.round_off(self.model)
            if self.training.batchnorm_batches:
                self._estimate_batchnorm()
            else:
                self.history[-1] |= read(self._validate())
        return pd.DataFrame(self.history)

    def _gradients(self, batch, share=False):
        """From the bank to the gradients of one batch."""
        inputs = batch.spectrograms(self.samples, self.mel, self.batches.segment)
        return gradients(self.model, batch, inputs, self.weights, self.precision, share)

    def _epoch(self, epoch, steps):
        """A row of the history. All is queued before anything is read, so that a GPU never waits for the host."""
        self.model.train()
        watch, count, sums, share = Stopwatch(self.device), self.batches.steps_per_epoch, {}, {}
        watched = "flow" in self.weights and self.given.settings.flow.gradient_share
        for step in progress(range(epoch * count, (epoch + 1) * count), f"epoch {epoch + 1}"):
            batch = self.batches.draw(step)
            rate = self.schedule.get_last_lr()[0]
            looked_at = watched and step == epoch * count
            terms = steps(batch, share=True) if looked_at else steps(batch)
            self.optimizer.step()
            self.schedule.step()
            share |= {"flow_share": terms.pop("flow_share")} if looked_at else {}
            sums = {name: sums.get(name, 0.0) + value for name, value in terms.items()}
        watch.stop()
        found = read({**sums, **share, **self._validate()})
        means = {name: found[name] / count for name in sums}
        if not np.isfinite(means["loss"]):
            inputs = batch.spectrograms(self.samples, self.mel, self.batches.segment)
            mend = self._mend(means, bool(inputs.isfinite().all()))
            raise ValueError(f"the loss became {means['loss']} in epoch {epoch + 1}: {mend}")
        speed = count * self.training.batch / watch.seconds
        return {"epoch": epoch + 1, **found, **means, "learning_rate": rate, "clips_per_second": speed}

    def _mend(self, means, audible):
        """What to change after a loss that is not finite, the likeliest cause first."""
        rate = "training.learning_rate" if self.model.flow is None else "joint.learning_rate"
        if not audible:
            return "what the network hears is not finite either; see problems.csv of 01_data_audit for damaged clips"
        broken = [name for name in self.weights if not np.isfinite(means[name])]
        if broken == ["flow"]:
            return f"L_Flow alone overflows; lower flow.weight or {rate}"
        if self.precision != torch.float32:
            return f"bfloat16 overflows, or this processor errs in it; set training.precision: fp32, or lower {rate}"
        return f"the steps are too long; lower {rate}" + (" or flow.weight" if self.model.flow is not None else "")

    def _estimate_batchnorm(self):
        """Take BatchNorm's statistics from new batches: after few steps its moving averages lag behind the weights."""
        drawn = (self.batches.draw(self.batches.steps - 1) for _ in range(self.training.batchnorm_batches))
        inputs = (batch.spectrograms(self.samples, self.mel, self.batches.segment) for batch in drawn)
        update_bn(inputs, self.model.extractor)
        self.history[-1] |= read(self._validate())
        print("BatchNorm estimated anew:", _epoch_line(self.history[-1], self.training.epochs), flush=True)

    @torch.no_grad()
    def _validate(self):
        """Loss of the held-out clips as target machine (t = 1), the share taken for it, and how much their embeddings
        vary, mean over dimensions; watched, not used. Without held-out clips training clips show the variance.
        0-d tensors, NaN for what is not there."""
        self.model.eval()
        held = len(self.validation) > 0
        inputs = spectrograms(self.samples, self.validation if held else self.trained, self.mel, self.batches.segment)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            outputs = [self.model(part) for part in inputs.split(self.training.batch)]
        logits, embedding = (torch.cat([getattr(o, field) for o in outputs]) for field in ("logits", "embedding"))
        return {
            "validation_loss": machine_loss(logits, torch.ones_like(logits)) if held else np.nan,
            "validation_accuracy": (logits > 0).float().mean() if held else np.nan,
            "embedding_variance": embedding.var(dim=0, correction=0).mean(),
        }

    def _report_collapse(self):
        """A flow trained end to end gains likelihood by shrinking its input, until the embeddings say nothing."""
        first, last = self.history[0]["embedding_variance"], self.history[-1]["embedding_variance"]
        if "flow" in self.weights and last < COLLAPSE * first and not self._collapsed:
            self._collapsed = True
            print(
                f"the embeddings collapse: their variance is {last:.1e}, {first:.1e} after the first epoch. The flow "
                "shrinks what it models; lower flow.weight or train for fewer epochs"
            )

    def _keep(self):
        state = {
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(), "torch": torch.get_rng_state(),
            "batches": json.dumps(self.batches.state()), "history": json.dumps(self.history),
        }  # fmt: skip
        checkpoint.keep(self.checkpoint, self.recipe, state)
        self._kept = time.monotonic()

    def _resume(self):
        if self.history or (state := checkpoint.kept(self.checkpoint, self.recipe, self.device)) is None:
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["torch"].cpu())
        self.batches.restore(json.loads(state["batches"]))
        self.history = json.loads(state["history"])
        print(f"resumed after epoch {len(self.history)} from {self.checkpoint}")

    @clock.counts("writing")
    def save(self) -> None:
        """Write `model.safetensors`, `model.json` and `history.csv`; the checkpoint, which they replace, goes."""
        folder, history = self.given.folder, pd.DataFrame(self.history)
        weight_files.save(self.model, folder / "model.safetensors")
        healthy = usual_spectrum(self.samples, self.given.clips.part("train"), self.mel, self.batches.segment)
        facts = self.given.facts() | {"precision": str(self.precision), "versions": versions()}
        facts |= {"usual_spectrum": healthy}
        write_text(folder / "model.json", json.dumps(facts | {"threads": torch.get_num_threads()}, indent=1))
        write_csv(folder / "history.csv", history)
        self.checkpoint.unlink(missing_ok=True)
        print(f"saved under {folder}")


def _centre_cuts(rows, segment, device):
    return Cuts.of(rows, np.maximum(rows["length"].to_numpy() - segment, 0) // 2, device)


def _epoch_line(row, epochs):
    known = ("epoch", "validation_accuracy", "learning_rate", "clips_per_second")
    losses = "  ".join(f"{name} {value:.4g}" for name, value in row.items() if name not in known)
    rates = f"lr {row['learning_rate']:.1e}  {row['clips_per_second']:.0f} clips/s"
    return f"epoch {row['epoch']:3d}/{epochs}  {losses}  {rates}"


def begin_at(model: MachineModel, folder: Path, labels: Labels, device: torch.device) -> None:
    """Take over a trained model's weights: its extractor, g_machine, and g_att where it tells the same classes apart.

    Args:
        model: changed in place. folder: of the trained model. labels: of `model`.
    """
    first, facts = load_trained(folder, device)
    if tuple(facts["labels"]["classes"]) != labels.classes:
        first.class_head = None
    model.load_state_dict(first.state_dict(), strict=False)


def load_trained(folder: Path, device: torch.device) -> tuple[MachineModel, dict]:
    """The model that `Trainer.save` wrote, in evaluation mode, and its facts.

    Raises:
        ValueError: it is not there.
    """
    if not (folder / "model.safetensors").exists():
        raise ValueError(f"{folder}: no trained model; run its training notebook (03 or 04) first")
    with readable(folder / "model.json", RETRAIN):
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    settings, labels = Settings.model_validate(facts["settings"]), Labels(**facts["labels"])
    offline = settings.model_copy(update={"extractor": settings.extractor.model_copy(update={"pretrained": False})})
    model = build_model(offline, find_system(facts["system"]), labels, device)
    with readable(folder / "model.safetensors", RETRAIN):
        weight_files.load(model, folder / "model.safetensors")
    return model.eval(), facts
