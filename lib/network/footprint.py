"""Memory of a graphics card that one training takes, estimated before it starts: how many may share a card."""

from lib.network.extractor import DIMENSIONS, map_size
from lib.settings import Settings

FIXED = 1.5 * 2**30  # bytes of the driver, the libraries, weights and AdamW's state
BFLOAT_VALUES = 150  # that ResNet-18 keeps for the way back and works in, for each value of the mel spectrogram
FLOW_VALUES = 14  # float32 that a coupling step keeps, for each value of the feature map
SPECTRUM_VALUES = 5  # float32 of window, spectrum and magnitude at once, for each sample under a window


def training_gigabytes(settings: Settings, samples: int) -> float:
    """GiB of the largest training of a run: a joint one, every target-machine clip of the batch modelled.

    Args:
        settings: of the run. samples: of its bank, which lies on the card as int16.

    >>> round(training_gigabytes(Settings(), 2_000_000_000), 1)
    10.2
    """
    frontend, batch = settings.frontend, settings.training.batch
    frames = 1 + settings.segment_samples // frontend.hop
    height, width = map_size(frontend.mels, frames, settings.extractor.output_stride)
    network = 2 * BFLOAT_VALUES * frontend.mels * frames * batch
    spectra = 4 * SPECTRUM_VALUES * frames * frontend.window * batch
    flow = 4 * FLOW_VALUES * settings.flow.steps * DIMENSIONS * height * width * batch // 2
    return (FIXED + 2 * samples + network + spectra + flow) / 2**30
