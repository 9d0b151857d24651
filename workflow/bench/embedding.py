"""From trained networks to numbers of clips: embeddings, and Spectrum's scores, which no network makes."""

from collections.abc import Iterator
from types import SimpleNamespace

import librosa
import torch

from lib.detection.spectra import References
from lib.network import spectrum
from lib.network.device import pick_device
from lib.network.embedder import Embedder
from lib.network.frontend import MelSpectrogram
from lib.network.training import build_model
from lib.recordings.attributes import Labels
from lib.recordings.reading import FULL_SCALE
from lib.settings import Settings
from lib.systems import SYSTEMS
from workflow.bench.clocks import in_turn
from workflow.bench.entry import Entry
from workflow.bench.noise import RATE, Bank, coloured, like_input, settings_of, size_of, white

CLIPS = {"quick": 24, "paper": 4}
LIBROSA = 10  # clips; its time is linear in them


def embedding() -> Iterator[Entry]:
    """Whole clips into embeddings, from the bank, against the bare network on as many segments."""
    for preset, clips in CLIPS.items():
        yield _embedding(settings_of(preset), clips)


def _embedding(settings, clips):
    samples, rows = white(clips, 12)
    model = build_model(settings, SYSTEMS["OE"], Labels(), pick_device())
    mel, bank = MelSpectrogram(settings.frontend, RATE).to(pick_device()), Bank(samples=samples.cpu().numpy())
    embedder = Embedder(model, SimpleNamespace(bank=bank, settings=settings, samples=samples, mel=mel))
    inputs = like_input(settings, len(embedder.clips(rows, "test").vectors))

    @torch.no_grad()
    def bare():
        for part in inputs.split(embedder.batch):
            model(part)

    took = in_turn({"ours": lambda: embedder.clips(rows, "test"), "bare": bare}, seconds=8)
    return Entry(
        "embedding", f"clips of 12 s, {size_of(settings, torch.float32)}", clips / took["ours"], "clips/s",
        clips / took["bare"], "the bare network, forward", goal=1 / 1.15,
    )  # fmt: skip


def scoring(clips: int = 100) -> Iterator[Entry]:
    """Clips described and compared with the training clips, Spectrum's row, against their log mel alone."""
    settings, (samples, rows) = Settings(), coloured(clips, 10)
    bank = Bank(samples=samples.cpu().numpy())
    references = References.of(spectrum.views(bank, rows, settings.spectrum), rows, settings.spectrum.local_density)
    sounds = [bank.sound(row).astype("float32") / FULL_SCALE for row in rows.itertuples()]
    given = settings.spectrum

    def by_librosa():
        for sound in sounds[:LIBROSA]:
            librosa.feature.melspectrogram(
                y=sound, sr=RATE, n_fft=given.window, hop_length=given.hop, n_mels=given.mels, fmin=given.low,
                fmax=given.high, htk=True, norm=None,
            )  # fmt: skip

    took = in_turn(
        {
            "ours": lambda: references.score(spectrum.views(bank, rows, given)),
            "mel": lambda: [spectrum.log_mel(sound, given, RATE) for sound in sounds],
            "librosa": by_librosa,
        },
        seconds=8,
    )
    yield Entry(
        "clip scoring, Spectrum", f"clips of 10 s, {clips} references", clips / took["ours"], "clips/s",
        clips / took["mel"], "log mel alone", LIBROSA / took["librosa"], "librosa, mel alone, clip by clip",
    )  # fmt: skip


STAGES = {"embedding": embedding, "scoring": scoring}
