"""One extractor for all machines of a run: what it hears, its loss, its training (beyond the paper).

It tells every machine × attributes × domain of the training clips apart, by sub-cluster AdaCos: K. Wilkinghoff,
"Sub-cluster AdaCos: learning representations for anomalous sound detection", IJCNN 2021. Here the scale is fixed.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import linear, normalize

from lib import clock
from lib.network import checkpoint, weight_files
from lib.network.batch import Batch
from lib.network.device import Stopwatch, pick_precision, prepare, read, versions
from lib.network.experiment import OfAllMachines
from lib.network.extractor import DIMENSIONS, Extractor, Outputs, map_size
from lib.network.frontend import Cuts, MelSpectrogram, usual_spectrum
from lib.network.mel import QUIETEST
from lib.network.steps import Steps
from lib.paths import readable, write_csv, write_text
from lib.progress import progress
from lib.recordings.classes import of_all_machines
from lib.settings import Settings, Shared

LINES = 20  # of the history
RETRAIN = "delete it and run notebooks/09_shared_extractor.ipynb again"


def adacos_scale(centres: int) -> float:
    """s = √2 · ln(centres − 1), the fixed scale of AdaCos for that many centres in all."""
    return float(np.sqrt(2) * np.log(centres - 1))


def adacos_loss(cosines: torch.Tensor, targets: torch.Tensor, scale: float) -> torch.Tensor:
    """−Σ_c t_c ln p_c, mean over the batch; p_c is the softmax's sum over the centres of class c.

    Args:
        cosines: (n, classes, centres) of the embedding to every centre. targets: (n, classes), each row's sum 1.
        scale: s of the softmax.
    """
    logits = scale * cosines.float()
    log_probability = logits.logsumexp(dim=2) - logits.flatten(1).logsumexp(dim=1, keepdim=True)
    return -(targets * log_probability).sum(dim=1).mean()


class SharedModel(nn.Module):
    """Mel power → logarithm → an affine map by batch statistics → ResNet-18 → linear map; and the classes' centres."""

    def __init__(self, classes: int, shared: Shared):
        """`shared` is `settings.Shared`."""
        super().__init__()
        channels = 1 + len(shared.more_windows)
        self.norm, self.extractor = nn.BatchNorm2d(channels), Extractor(channels=channels)
        self.head = nn.Linear(DIMENSIONS, shared.dimensions, bias=False)
        self.centres = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes * shared.centres, shared.dimensions)))
        self.classes, self.flow = classes, None

    def forward(self, mel: torch.Tensor) -> Outputs:
        """(n, windows, mels, frames) → `Outputs` whose embedding is (n, dimensions) float32."""
        feature_map = self.extractor(self.norm(self.loudness(mel)))
        pooled = Extractor.embed(feature_map)
        with torch.autocast(mel.device.type, enabled=False):
            return Outputs(self.head(pooled), None, None, feature_map)

    @staticmethod
    def loudness(mel: torch.Tensor) -> torch.Tensor:
        """ln(mel power + 1e-8)."""
        return (mel.float() + QUIETEST).log()

    def cosines(self, embedding: torch.Tensor) -> torch.Tensor:
        """(n, dimensions) → (n, classes, centres)."""
        with torch.autocast(embedding.device.type, enabled=False):
            found = linear(normalize(embedding), normalize(self.centres))
        return found.unflatten(1, (self.classes, -1))


class SideBySide(nn.Module):
    """Mel spectrograms by several windows, at the same bands and frames, as channels."""

    def __init__(self, spectrograms: list[MelSpectrogram]):
        super().__init__()
        self.spectrograms = nn.ModuleList(spectrograms)

    def frames(self, samples: int) -> int:
        """As `MelSpectrogram.frames`."""
        return self.spectrograms[0].frames(samples)

    def forward(self, waves: torch.Tensor) -> torch.Tensor:
        """(n, samples) → (n, windows, mels, frames) float32."""
        return torch.cat([mel(waves) for mel in self.spectrograms], dim=1)


def shared_mel(settings: Settings, device: torch.device) -> SideBySide:
    """The front end of the shared extractor: a spectrogram a window, of one hop and the same bands."""
    shared = settings.shared
    own = {"hop": shared.hop, "mels": shared.mels, "low": shared.low, "high": shared.high, "power": 2, "log": False}
    frontend = settings.frontend.model_copy(update=own)
    windows = (shared.window, *shared.more_windows)
    each = [MelSpectrogram(frontend.model_copy(update={"window": w}), settings.data.sample_rate) for w in windows]
    return SideBySide(each).to(device)


def load_shared(folder: Path, device: torch.device) -> tuple[SharedModel, dict]:
    """The model that `SharedTrainer.save` wrote, in evaluation mode, and its facts; ValueError where there is none."""
    with readable(folder / "model.json", RETRAIN):
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    model = SharedModel(len(facts["classes"]), Settings.model_validate(facts["settings"]).shared).to(device)
    with readable(folder / "model.safetensors", RETRAIN):
        weight_files.load(model, folder / "model.safetensors")
    return model.eval(), facts


@dataclass(frozen=True)
class SharedTraining(OfAllMachines):
    """The training of the shared extractor (09): what it hears and is told."""

    @cached_property
    def device(self) -> torch.device:
        found = super().device
        prepare(self.seed, self.settings.shared.threads)
        return found

    @cached_property
    def mel(self) -> SideBySide:
        """The front end on the device: mel power in HTK bands, whose logarithm the model takes."""
        return shared_mel(self.settings, self.device)

    @cached_property
    def clips(self) -> pd.DataFrame:
        """As `of_all_machines`, unstandardised."""
        return of_all_machines(self.bank, self.settings).assign(mean=0.0, deviation=1.0)

    @property
    def classes(self) -> list[str]:
        """Names of the classes in the order of their numbers."""
        return sorted(self.clips["class"].dropna().unique())

    def facts(self) -> dict:
        return super().facts() | {"classes": self.classes, "clips": self.clips["part"].value_counts().to_dict()}


class SharedBatches:
    """Draws batches of training clips of all machines; `draw` gives one after the other.

    A clip is shifted in a circle and cut, by one offset; without `shift` no segment goes over its end. With
    probability `mixup` a batch is mixed as a whole, λ ~ U(0, 1) a clip, a random partner each, targets alike.
    """

    def __init__(self, rows: pd.DataFrame, shared: Shared, segment: int, seed: int):
        """`rows` of the index with `category`; `segment` in samples; `seed` of the generator."""
        self.rows, self.shared, self.segment = rows, shared, segment
        self.generator, self._queue = np.random.default_rng(seed), np.empty(0, np.int64)

    def draw(self) -> Batch:
        """Clips run through random permutations, end to end."""
        rng, n = self.generator, self.shared.batch
        while len(self._queue) < n:
            self._queue = np.concatenate([self._queue, rng.permutation(len(self.rows))])
        chosen, self._queue = self._queue[:n], self._queue[n:]
        rows = self.rows.iloc[chosen]
        places = rows["length"] if self.shared.shift else (rows["length"] - self.segment).clip(lower=0) + 1
        offset = (rng.random(n) * places).astype(np.int64)
        lam = rng.random(n) if rng.random() < self.shared.mixup else np.ones(n)
        cuts, partner = Cuts.of(rows, offset), rng.permutation(n)
        return Batch(
            rows.index.to_numpy(), cuts, partner, lam, np.ones(n), rows["category"].to_numpy(), np.full(n, np.nan)
        )

    def state(self) -> dict:
        """JSON-able state, for a checkpoint."""
        return {"generator": self.generator.bit_generator.state, "queue": self._queue.tolist()}

    def restore(self, state: dict) -> None:
        self.generator.bit_generator.state = state["generator"]
        self._queue = np.array(state["queue"], np.int64)


class SharedTrainer:
    """Trains the shared extractor, one optimizer step after the other; the last is the model."""

    @clock.counts("training")
    def __init__(self, training: SharedTraining):
        self.given, self.shared, self.device = training, training.settings.shared, training.device
        self.segment, self.mel = training.settings.segment_samples, training.mel
        heard = training.clips[training.clips["category"] >= 0]
        self.batches = SharedBatches(heard, self.shared, self.segment, training.seed)
        count = len(training.classes)
        if count < 2:
            raise ValueError(
                f"{count} class of training clips under {training.bank.dataset.root}: nothing to tell apart; put "
                "another machine beside it, or name attributes"
            )
        self.model = SharedModel(count, self.shared).to(self.device, memory_format=torch.channels_last)
        size = map_size(self.shared.mels, self.mel.frames(self.segment))
        self.precision = pick_precision(self.shared.precision, self.device, size)
        self.scale = adacos_scale(count * self.shared.centres)
        rate, steps = self.shared.learning_rate, self.shared.steps
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), rate, weight_decay=self.shared.weight_decay, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, max_lr=rate, total_steps=max(steps, 2))
        self.checkpoint, self.history = training.folder / "last.pt", []
        made = [training.provenance(), training.names, str(self.precision), self.device.type, torch.__version__]
        self.recipe = json.dumps(made)
        self.steps = Steps(self._gradients, list(self.model.parameters()), self.device, count)

    def step(self) -> dict[str, torch.Tensor]:
        """One step of the optimizer; returns `loss` and `accuracy`, the share of clips whose class is most probable."""
        terms = self.steps(self.batches.draw())
        self.optimizer.step()
        self.schedule.step()
        return terms

    def _gradients(self, batch):
        """From the bank to the gradients of one batch."""
        inputs = batch.spectrograms(self.given.samples, self.mel, self.segment)
        targets = torch.as_tensor(batch.classes(self.model.classes), dtype=torch.float32, device=self.device)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            outputs = self.model(inputs)
        cosines = self.model.cosines(outputs.embedding)
        loss = adacos_loss(cosines, targets, self.scale)
        self.model.zero_grad()
        loss.backward()
        found = (self.scale * cosines.detach()).logsumexp(dim=2).argmax(dim=1)
        return {"loss": loss.detach(), "accuracy": (found == targets.argmax(dim=1)).float().mean()}

    @clock.counts("training")
    def run(self) -> pd.DataFrame:
        """Train all steps, from the checkpoint of a stopped training on; returns the history, about twenty rows."""
        self._resume()
        self.model.train()
        edges = np.unique(np.linspace(0, self.shared.steps, LINES + 1).astype(int))
        for first, last in list(pairwise(edges))[len(self.history) :]:
            watch, rate = Stopwatch(self.device), self.schedule.get_last_lr()[0]
            found = [torch.stack(list(self.step().values())) for _ in progress(range(first, last), f"step {first}")]
            watch.stop()
            means = read(dict(zip(("loss", "accuracy"), torch.stack(found).mean(dim=0), strict=True)))
            loss, accuracy = means["loss"], means["accuracy"]
            if not np.isfinite(loss):
                raise ValueError(f"the loss became {loss} before step {last}; lower shared.learning_rate")
            speed = (last - first) * self.shared.batch / watch.seconds
            row = {"step": int(last), **means, "learning_rate": rate}
            self.history.append(row | {"clips_per_second": speed})
            print(f"step {last:4d}/{self.shared.steps}  loss {loss:.4g}  accuracy {accuracy:.3f}  lr {rate:.1e}  "
                  f"{speed:.0f} clips/s", flush=True)  # fmt: skip
            self._keep()
        weight_files.round_off(self.model)
        return pd.DataFrame(self.history)

    def _keep(self):
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimizer", "schedule")}
        texts = {"batches": json.dumps(self.batches.state()), "history": json.dumps(self.history)}
        checkpoint.keep(self.checkpoint, self.recipe, parts | texts)

    def _resume(self):
        if self.history or (state := checkpoint.kept(self.checkpoint, self.recipe, self.device)) is None:
            return
        for name in ("model", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.batches.restore(json.loads(state["batches"]))
        self.history = json.loads(state["history"])
        print(f"resumed after step {self.history[-1]['step']} from {self.checkpoint}")

    @clock.counts("writing")
    def save(self) -> None:
        """Write `model.safetensors`, `history.csv` and, last, `model.json`, which replace the checkpoint."""
        folder = self.given.folder
        weight_files.save(self.model, folder / "model.safetensors")
        write_csv(folder / "history.csv", pd.DataFrame(self.history))
        clips = self.given.clips[self.given.clips["part"] == "train"]
        healthy = {
            machine: usual_spectrum(self.given.samples, rows, self.mel, self.segment)
            for machine, rows in clips.groupby("machine")
        }
        facts = self.given.facts() | {"precision": str(self.precision), "versions": versions()}
        facts |= {"usual_spectrum": healthy}
        write_text(folder / "model.json", json.dumps(facts | {"threads": torch.get_num_threads()}, indent=1))
        self.checkpoint.unlink(missing_ok=True)
        print(f"saved under {folder}")
