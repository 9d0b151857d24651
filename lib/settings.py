"""Presets (workflow/presets/*.yaml) read into one frozen, validated settings object.

Every default is the paper's (section numbers in the comments) or, where the paper is silent, the choice this project
settled; a preset lists only what differs. `preset` is a name or the path of a YAML file of your own. No value is bent
into another kind: 2.0 is no whole number, "3" no number and true no 1.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from lib.presets import explain, groups, preset_path, read_preset
from lib.systems import BEYOND, DEVELOPMENT_MACHINES, SYSTEMS, System


def _distinct(values):
    if twice := {repr(value) for value in values if values.count(value) > 1}:
        raise ValueError(f"holds {', '.join(sorted(twice))} more than once")
    return values


def _truth(value):
    """What YAML 1.1 takes for a truth value, where one is wanted."""
    words = {"yes": True, "on": True, "no": False, "off": False}
    return words.get(value.lower(), value) if isinstance(value, str) else value


LIST = Field(strict=False)  # JSON has no tuples
Flag = Annotated[bool, BeforeValidator(_truth)]
Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Components = Annotated[tuple[Positive, ...], Field(min_length=1, strict=False), AfterValidator(_distinct)]
Names = Annotated[tuple[str, ...], LIST, AfterValidator(_distinct)]


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Data(Group):
    sample_rate: Positive = 16000  # Hz; other rates are resampled (4.2)
    channel: Annotated[int, Field(ge=0)] | None = None  # which channel of a many-channel file; None refuses such files
    validation_fraction: Share = 0.15  # share of source training clips held out (4.2)


class Frontend(Group):
    standardize: Literal["machine", "clip"] = "machine"  # whose mean and deviation (4.2: "the audio input sequence")
    segment_seconds: Annotated[float, Field(ge=0.2, le=120)] = 5.0  # s, crop and segment (4.2)
    segment_overlap: Share = 0.75  # of a segment, when scoring (4.2)
    window: Positive = 2048  # samples = 128 ms (4.2)
    hop: Positive = 256  # samples = 16 ms (4.2)
    mels: Positive = 224  # bands (4.2)
    low: Annotated[float, Field(ge=0)] = 50.0  # Hz (4.2)
    high: Annotated[float, Field(gt=0)] = 7800.0  # Hz (4.2)
    power: Annotated[int, Field(ge=1, le=2)] = 1  # 1 magnitude, 2 power
    log: Flag = False  # natural logarithm of the mel spectrogram

    @model_validator(mode="after")
    def _bands(self):
        if self.low >= self.high:
            raise ValueError(f"low ({self.low} Hz) must lie below high ({self.high} Hz)")
        return self


class Extractor(Group):
    pretrained: Flag = False  # timm's ImageNet weights, which must be at hand
    machine_head: Literal["linear", "norm"] = "linear"  # g_machine: linear (4.2) or affine of the norm (Sec. 2)
    output_stride: Literal[32, 16] = 32  # of the whole ResNet-18; 16: its last stage dilated, a map twice as fine


class Training(Group):
    epochs: Positive = 150  # of OE and Serial-OE (4.2)
    batch: Annotated[int, Field(ge=4, multiple_of=2)] = 128  # clips, half of them target machine (4.2)
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3  # peak of OneCycleLR (4.2)
    schedule: Literal["one_cycle", "constant"] = "one_cycle"  # of the learning rate (4.2)
    attribute_weight: Annotated[float, Field(ge=0)] = 5.0  # λ_section, of L_att or L_section (Eq. 1, 4.2)
    second_task: Literal["attribute", "section"] = "attribute"  # L_att (Eq. 8) or L_section (Eq. 3)
    pseudo_by: Literal["clip", "machine"] = (
        "clip"  # draw pseudo-anomalous clips uniformly over clips, or machines first
    )
    mixup: Flag = True  # of waveforms (4.2)
    mixup_alpha: Annotated[float, Field(gt=0)] = 0.2  # λ ~ Beta(α, α)
    batchnorm_batches: Annotated[int, Field(ge=0)] = (
        0  # that BatchNorm's statistics are taken from at the end; 0: as is
    )
    checkpoint_epochs: Positive = 1  # epochs between two checkpoints, which are half a minute apart at least
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the hardware has it


class Joint(Group):
    """What differs from `Training` where a flow is trained with the extractor."""

    epochs: Positive = 250  # (4.2)
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4  # (4.2)
    schedule: Literal["one_cycle", "constant"] = "constant"  # (4.2)
    warm_start: Flag = False  # begin at the weights of OE or Serial-OE of the same seed; the paper begins anew


class Flow(Group):
    steps: Positive = 8  # affine coupling steps (FastFlow, 3)
    hidden_ratio: Annotated[float, Field(gt=0)] = 1.0  # width of a subnet over its input's
    clamp: Annotated[float, Field(gt=0)] = 2.0  # bound of a coupling's log-scale
    weight: Annotated[float, Field(ge=0)] = 1e-7  # λ_Flow (Eq. 5, 4.2)
    invariant_channels: Annotated[int, Field(gt=0, lt=512)] = 8  # of z_d, of 512 (4.2)
    gap: Annotated[float, Field(gt=0)] = 5.0  # k = gap / smallest distance between two values v (4.2)
    centre: Flag = False  # v less its mean
    detached: Flag = False  # a control: L_Flow trains the flow alone, its gradient does not reach the extractor
    gradient_share: Flag = False  # write L_Flow's share of the extractor's gradient, once an epoch
    score_logdet: Flag = False  # with the log-determinant in the score; the paper's h has none


class Autoencoder(Group):
    """The challenge's baseline (arXiv:2303.00455)."""

    window: Positive = 1024  # samples = 64 ms
    hop: Positive = 512  # samples = 32 ms
    mels: Positive = 128  # bands
    frames: Positive = 5  # frames stacked into a vector
    hidden: Positive = 128  # units of a layer
    bottleneck: Positive = 8  # units
    epochs: Positive = 100  # over the training vectors
    batch: Annotated[int, Field(gt=1)] = 256  # vectors
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3  # of Adam
    validation_fraction: Share = 0.1  # of the vectors


class Inliers(Group):
    gmm_components: Components = (1, 2, 4, 16, 32)  # (4.2)
    knn_neighbours: Components = (1, 2, 4, 16, 32)  # (4.2)
    fit_on: Literal["train", "all"] = "train"  # all: the held-out clips, too, calibrated out of fit by folds
    pseudo_target: Literal["with_source", "alone"] = (
        "with_source"  # the set of Sec. 3.1, with the source clips or alone
    )
    pseudo_target_alpha: Annotated[float, Field(gt=0)] = 0.2  # λ ~ Beta(α, α) (3.1)
    gmm_variance: Annotated[float, Field(gt=0, le=1)] = 0.99  # share of variance that the rank reduction keeps
    gmm_reg_covar: Annotated[float, Field(gt=0)] = 1.0  # added to the covariance, × mean variance of a kept dimension
    extended: Flag = True  # beyond the paper: nearest clips by cosine and local density, in protocol `extended`
    calibration: Literal["validation", "test"] = "validation"  # whose mean and deviation; test: as the authors' scripts
    calibration_folds: Annotated[int, Field(ge=2)] = 5  # over the training clips, with too few validation clips
    calibration_minimum: Annotated[int, Field(ge=2)] = 10  # validation clips


class LogMel(Group):
    """Beyond the paper: the logarithm of the mel power, as Spectrum and Shared hear it."""

    window: Annotated[int, Field(ge=16)] = 2048  # samples = 128 ms
    hop: Positive = 512  # samples = 32 ms
    mels: Positive = 64  # bands
    low: Annotated[float, Field(ge=0)] = 50.0  # Hz
    high: Annotated[float, Field(gt=0)] = 7800.0  # Hz


class Spectrum(LogMel):
    """Beyond the paper: what is heard without any training."""

    block: Annotated[int, Field(ge=96)] = 128  # frames = 4.1 s, of which modulation is taken
    local_density: Annotated[int, Field(ge=0)] = 4  # K of the references' local density; 0: plain distance


class Shared(LogMel):
    """Beyond the paper: one extractor for all machines of a run."""

    more_windows: Annotated[tuple[Annotated[int, Field(ge=16)], ...], LIST] = ()  # samples; more channels, side by side
    tells: Annotated[tuple[Literal["attributes", "domain"], ...], LIST] = ("attributes", "domain")  # beside the machine
    hears_targets: Flag = True  # whether machines with test clips train it; it embeds them all the same
    dimensions: Positive = 128  # of the embedding
    centres: Positive = 16  # sub-clusters of a class
    class_clips: Positive = 3  # clips below which a group joins its machine's own class
    steps: Positive = 800  # of the optimizer
    batch: Annotated[int, Field(ge=4)] = 64  # clips
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3  # peak of OneCycleLR
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2  # of AdamW
    mixup: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability that a batch is mixed
    shift: Flag = True  # clips in a circle before they are cut
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the hardware has it
    threads: Positive = 2  # CPU threads of its training, in place of `threads`


class Evaluation(Group):
    weighted_machines: Names = ("ToyCar", "ToyTrain", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum")  # (3.2)
    highpass: Annotated[tuple[float, float], LIST] = (
        4000.0,
        3500.0,
    )  # Hz, passband and stopband edge of the weights' filter (4.2)
    max_fpr: Annotated[float, Field(gt=0, le=1)] = 0.1  # p of pAUC
    bootstrap: Annotated[int, Field(ge=0)] = 1000  # resamples behind a 95 % interval
    decision_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9  # of the gamma distribution of calibration scores


class Demo(Group):
    """How much demo data `lib.demo` makes, for a data root that is not there."""

    machines: Annotated[Names, Field(min_length=1)] = DEVELOPMENT_MACHINES  # of the seven
    source_clips: Positive = 60  # training clips a machine
    target_clips: Annotated[int, Field(ge=0)] = 10  # training clips a machine
    test_clips: Positive = 20  # for each domain and label
    seed: int = 2023  # of the sounds


class Settings(Group):
    systems: Names = tuple(SYSTEMS)  # the paper's; Serial-OE is of its Sec. 2
    baselines: Flag = True  # whether the autoencoder is run, too
    beyond: Names = BEYOND  # what is run beyond the paper: Spectrum, Shared
    team: Annotated[str, Field(pattern=r"^[\w-]+$")] = "oe_flow"  # folder of the submission files
    encoder: str = ""  # file of TorchScript or ONNX, (clips, samples) → (clips, d) or (clips, frames, d): row Encoder
    encoder_rate: Positive = 16000  # Hz, at which it hears
    report: Flag = True  # whether a run ends with pages of it, outputs/<run>/report/index.html
    threads: Positive = 1  # CPU threads of a notebook, on which sums of floats and so its numbers depend
    data: Data = Data()
    frontend: Frontend = Frontend()
    extractor: Extractor = Extractor()
    training: Training = Training()
    joint: Joint = Joint()
    flow: Flow = Flow()
    autoencoder: Autoencoder = Autoencoder()
    inliers: Inliers = Inliers()
    spectrum: Spectrum = Spectrum()
    shared: Shared = Shared()
    evaluation: Evaluation = Evaluation()
    demo: Demo = Demo()

    @property
    def segment_samples(self) -> int:
        """Length of a segment in samples."""
        return round(self.frontend.segment_seconds * self.data.sample_rate)

    def training_of(self, system: System) -> Training:
        """`Training` of a `systems.System`: with what `joint` says where it has a flow."""
        joint = self.joint.model_dump(exclude={"warm_start"})
        return self.training.model_copy(update=joint) if system.latent else self.training

    def begins_at(self, system: System) -> str:
        """The system at whose weights this one's training begins; "" where it begins anew."""
        return system.without_flow if system.latent and self.joint.warm_start else ""

    @model_validator(mode="after")
    def _across(self):
        if self.frontend.high > self.data.sample_rate / 2:
            raise ValueError(f"frontend.high ({self.frontend.high} Hz) is above half of data.sample_rate")
        for name in self.systems:
            if name not in SYSTEMS:
                raise ValueError(f"unknown system {name!r}; known: {', '.join(SYSTEMS)}")
        if not (self.systems or self.baselines or self.beyond or self.encoder):
            raise ValueError("nothing to run: systems and beyond are empty, baselines is false")
        if unknown := sorted(set(self.beyond) - set(BEYOND)):
            raise ValueError(f"unknown system {unknown[0]!r} in beyond; known: {', '.join(BEYOND)}")
        passband, stopband = self.evaluation.highpass
        if not 0 < stopband < passband < self.data.sample_rate / 2:
            raise ValueError(
                f"evaluation.highpass ({passband}, {stopband} Hz): 0 < stopband < passband < half of data.sample_rate"
            )
        for name in ("frontend", "autoencoder", "spectrum", "shared"):
            window, mels, hop = getattr(self, name).window, getattr(self, name).mels, getattr(self, name).hop
            if mels > window // 2 + 1:
                raise ValueError(f"{name}.mels ({mels} bands) is more than the {window // 2 + 1} bins of its window")
            if hop > window:
                raise ValueError(f"{name}.hop ({hop} samples) is longer than its window; what is between is unheard")
        for name in ("spectrum", "shared"):
            low, high = getattr(self, name).low, getattr(self, name).high
            if not low < high <= self.data.sample_rate / 2:
                raise ValueError(
                    f"{name}.low ({low} Hz) must lie below {name}.high ({high} Hz), which must not be above half of "
                    "data.sample_rate"
                )
        if self.frontend.hop > self.segment_samples:
            raise ValueError(f"frontend.hop ({self.frontend.hop} samples) is longer than a segment")
        if self.frontend.window // 2 >= self.segment_samples:
            raise ValueError("frontend.window must be shorter than two segments")
        return self


def seed_numbers(text: str) -> list[int]:
    """Seeds → different whole numbers; ValueError for anything else.

    >>> seed_numbers("0 1 12")
    [0, 1, 12]
    """
    if not all(seed.isascii() and seed.isdecimal() for seed in text.split()):
        raise ValueError(f"seeds must be whole numbers with spaces between, found {text!r}")
    return list(dict.fromkeys(int(seed) for seed in text.split()))


def load_settings(preset: str | Path) -> Settings:
    """Settings of a preset.

    Args:
        preset: name in workflow/presets, or path of a YAML file. Its key `base` names a preset to start from, or the
            path of one, relative to the file.

    Raises:
        ValueError: no such preset, or a key or value that is not allowed; the message says where, which and why.
    """
    path = preset_path(preset)
    values, places = read_preset(path)
    values = {key: {} if value is None and key in groups(Settings) else value for key, value in values.items()}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(explain(e, Settings, places, path) for e in error.errors())) from None
