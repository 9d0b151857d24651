"""The paper's settings against its own numbers, what each preset changes, and what a setting refuses."""

import json

import pytest

from lib import paths
from lib.settings import Settings, load_settings, seed_numbers
from lib.systems import SYSTEMS

PAPER = {  # as Secs. 3 and 4 print them
    "systems": (
        "OE",
        "Serial-OE",
        "OE-Flow",
        "OE-DFlow",
        "SerialOE-Flow",
        "SerialOE-DFlow",
    ),  # Table 1; Serial-OE: Sec. 2
    "baselines": True,
    "data.sample_rate": 16000,
    "data.channel": None,
    "data.validation_fraction": 0.15,  # "85 % of the source domain data"
    "frontend.standardize": "machine",
    "frontend.segment_seconds": 5.0,
    "frontend.segment_overlap": 0.75,
    "frontend.window": 2048,  # 128 ms
    "frontend.hop": 256,  # 16 ms
    "frontend.mels": 224,
    "frontend.low": 50.0,
    "frontend.high": 7800.0,
    "frontend.power": 1,
    "frontend.log": False,
    "extractor.pretrained": False,
    "extractor.machine_head": "linear",
    "extractor.output_stride": 32,
    "training.epochs": 150,
    "training.batch": 128,
    "training.learning_rate": 0.001,
    "training.schedule": "one_cycle",
    "training.attribute_weight": 5.0,  # λ_section
    "training.second_task": "attribute",
    "training.pseudo_by": "clip",
    "training.mixup": True,
    "training.mixup_alpha": 0.2,
    "training.batchnorm_batches": 0,
    "training.checkpoint_epochs": 1,
    "training.precision": "auto",
    "joint.epochs": 250,
    "joint.learning_rate": 0.0001,
    "joint.schedule": "constant",
    "joint.warm_start": False,
    "flow.steps": 8,
    "flow.hidden_ratio": 1.0,
    "flow.clamp": 2.0,
    "flow.weight": 0.0000001,  # λ_Flow
    "flow.invariant_channels": 8,  # "eight of the 512 channels"
    "flow.gap": 5.0,  # "5 divided by the minimum distance of the parameters"
    "flow.centre": False,
    "flow.score_logdet": False,
    "flow.detached": False,
    "flow.gradient_share": False,
    "autoencoder.window": 1024,
    "autoencoder.hop": 512,
    "autoencoder.mels": 128,
    "autoencoder.frames": 5,
    "autoencoder.hidden": 128,
    "autoencoder.bottleneck": 8,
    "autoencoder.epochs": 100,
    "autoencoder.batch": 256,
    "autoencoder.learning_rate": 0.001,
    "autoencoder.validation_fraction": 0.1,
    "inliers.gmm_components": (1, 2, 4, 16, 32),
    "inliers.knn_neighbours": (1, 2, 4, 16, 32),
    "inliers.fit_on": "train",
    "inliers.pseudo_target": "with_source",
    "inliers.pseudo_target_alpha": 0.2,
    "inliers.gmm_variance": 0.99,
    "inliers.gmm_reg_covar": 1.0,
    "inliers.calibration": "validation",
    "inliers.calibration_folds": 5,
    "inliers.calibration_minimum": 10,
    "evaluation.weighted_machines": ("ToyCar", "ToyTrain", "ToyDrone", "ToyNscale", "ToyTank", "Vacuum"),
    "evaluation.highpass": (4000.0, 3500.0),  # Hz; the paper prints kHz
    "evaluation.max_fpr": 0.1,
    "evaluation.bootstrap": 1000,
    "evaluation.decision_quantile": 0.9,
}
OTHERS = {
    "team",
    "report",
    "threads",
    "demo",
    "beyond",
    "spectrum",
    "shared",
    "encoder",
    "encoder_rate",
}  # change no result of the paper


def flat(settings):
    """{group.field: value}, a setting without a group by its name."""
    found = {}
    for name, value in settings.model_dump().items():
        found |= {f"{name}.{field}": v for field, v in value.items()} if isinstance(value, dict) else {name: value}
    return found


def test_the_papers_preset_is_the_papers_numbers():
    found = {name: value for name, value in flat(load_settings("paper")).items() if name.split(".")[0] not in OTHERS}
    assert found.pop("inliers.extended") is True  # what it adds is in none of the paper's protocols
    assert found == PAPER
    assert load_settings("paper").segment_samples == 80000


def test_epochs_and_rate_of_each_system():
    settings = load_settings("paper")
    alone, joint = (150, 0.001, "one_cycle"), (250, 0.0001, "constant")
    for name, system in SYSTEMS.items():
        training = settings.training_of(system)
        found = (training.epochs, training.learning_rate, training.schedule)
        assert found == (alone if name in ("OE", "Serial-OE") else joint)
        assert (training.batch, training.mixup_alpha, training.attribute_weight) == (128, 0.2, 5.0)


def test_defaults_that_are_not_the_papers():
    demo = ("bearing", "fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain")
    sizes = {"source_clips": 60, "target_clips": 10, "test_clips": 20, "seed": 2023}
    settings = load_settings("paper")
    assert settings.demo.model_dump() == {"machines": demo, **sizes}
    assert (settings.threads, settings.team) == (1, "oe_flow")
    assert settings.beyond == ("Spectrum", "Shared") and (settings.encoder, settings.encoder_rate) == ("", 16000)
    spectrum = {"window": 2048, "hop": 512, "mels": 64, "low": 50, "high": 7800, "block": 128, "local_density": 4}
    assert settings.spectrum.model_dump() == spectrum
    assert settings.shared.model_dump() == {
        "window": 2048, "hop": 512, "mels": 64, "low": 50, "high": 7800, "dimensions": 128, "centres": 16, "class_clips": 3, "steps": 800,
        "batch": 64, "learning_rate": 1e-3, "weight_decay": 1e-2, "mixup": 0.5, "shift": True, "more_windows": (), "tells": ("attributes", "domain"), "hears_targets": True, "precision": "auto", "threads": 2,
    }  # fmt: skip


QUICK = {
    "frontend.mels": 64, "frontend.hop": 512, "frontend.log": True, "training.epochs": 40, "training.batch": 64,
    "training.checkpoint_epochs": 5, "joint.epochs": 30, "joint.learning_rate": 0.0003, "flow.centre": True,
}  # fmt: skip
CHANGED = {  # by each preset, against the paper's
    "paper": {},
    "quick": QUICK,
    "spectrum": QUICK | {"systems": (), "baselines": False, "beyond": ("Spectrum",)},
    "demo": {
        "frontend.mels": 48, "frontend.hop": 1024, "frontend.log": True, "frontend.segment_overlap": 0.5,
        "extractor.output_stride": 16, "training.epochs": 12, "training.batch": 16, "training.learning_rate": 0.003,
        "training.checkpoint_epochs": 12, "training.batchnorm_batches": 8, "joint.epochs": 4,
        "joint.learning_rate": 0.0003, "joint.warm_start": True, "flow.centre": True, "autoencoder.epochs": 10,
        "inliers.gmm_components": (1, 2, 4), "evaluation.bootstrap": 500, "shared.hop": 1024, "shared.steps": 300,
    },
    "smoke": {
        "frontend.mels": 32, "frontend.hop": 1024, "training.epochs": 2, "training.batch": 16, "joint.epochs": 2,
        "autoencoder.epochs": 2, "inliers.gmm_components": (1, 2), "inliers.knn_neighbours": (1, 4),
        "evaluation.bootstrap": 50, "evaluation.weighted_machines": ("fan",), "demo.machines": ("fan", "gearbox"),
        "demo.source_clips": 12, "demo.target_clips": 6, "demo.test_clips": 4, "training.checkpoint_epochs": 2,
        "shared.mels": 32, "shared.hop": 1024, "shared.steps": 4, "shared.batch": 16, "shared.threads": 1,
    },
}  # fmt: skip


def test_every_preset_is_in_the_table():
    assert {path.stem for path in paths.PRESETS.glob("*.yaml")} == set(CHANGED)


@pytest.mark.parametrize("preset", CHANGED)
def test_what_a_preset_changes(preset):
    found, paper = flat(load_settings(preset)), flat(load_settings("paper"))
    assert {name: value for name, value in found.items() if value != paper[name]} == CHANGED[preset]


def preset(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_own_preset_starts_from_a_base(tmp_path):
    settings = load_settings(preset(tmp_path, "base: quick\ntraining: {epochs: 7}\nflow:\n"))
    assert (settings.training.epochs, settings.training.batch) == (7, 64)
    assert settings.frontend.mels == 64 and settings.flow.centre


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frontend: {bands: 3}", r"line 1: frontend.bands: no such setting; allowed: standardize"),
        ("training:\n  batch: 8\n  epoch: 3", r"line 3: training.epoch: no such setting; did you mean training.epochs\? allowed: epochs"),
        ("trainings: {epochs: 3}", r"trainings: no such setting; did you mean training\? allowed: systems"),
        ("epochs: 3", r"epochs: no such setting; did you mean training.epochs or joint.epochs or autoencoder.epochs\?"),
        ("training: {systems: [OE]}", r"training.systems: no such setting; did you mean systems\? allowed: epochs"),
        ("training:\n  batch: 8\n  epochs: -1", r"line 3: training.epochs: must be greater than 0, found -1"),
        ("training: {epochs: many}", r"training.epochs: must be a whole number, found 'many'"),
        ("training: {epochs: 2.0}", r"training.epochs: must be a whole number, found 2.0"),
        ('training: {epochs: "3"}', r"training.epochs: must be a whole number, found '3'"),
        ("training: {epochs: true}", r"training.epochs: must be a whole number, found True"),
        ("training: {epochs: 010}", r"training.epochs: must be a whole number, found '010'"),
        ("training: {epochs: 1:30}", r"training.epochs: must be a whole number, found '1:30'"),
        ("training: {epochs: 1_000}", r"training.epochs: must be a whole number, found '1_000'"),
        ("training: {epochs: [3]}", r"training.epochs: must be a whole number, found \[3\]"),
        ("training: {epochs: }", r"training.epochs: must be a whole number, found nothing"),
        ("training: {epochs: 3 2}", r"training.epochs: must be a whole number, found '3 2'"),
        ("training: {learning_rate: true}", r"learning_rate: must be a number, found True"),
        ("training: {learning_rate: 1e-3 }\nflow: {weight: 1e-}", r"line 2: flow.weight: must be a number, found '1e-'"),
        ("frontend: {high: 1e999}", r"frontend.high: must be a finite number"),
        ("frontend: {high: .nan}", r"frontend.high: must be a number, found '.nan'"),
        ("frontend: {log: 1}", r"frontend.log: must be true or false, found 1"),
        ("frontend: {log: maybe}", r"frontend.log: must be true or false, found 'maybe'"),
        ("frontend: {power: true}", r"frontend.power: must be a whole number, found True"),
        ("frontend: {power: 1.0}", r"frontend.power: must be a whole number, found 1.0"),
        ("frontend: {power: 3}", r"frontend.power: must be less than or equal to 2, found 3"),
        ("data: {channel: left}", r"data.channel: must be a whole number, found 'left'"),
        ("training: {batch: 7}", r"training.batch: must be a multiple of 2, found 7"),
        ("frontend: {standardize: day}", r"frontend.standardize: must be 'machine' or 'clip', found 'day'"),
        ("frontend: {low: 9000}", r"line 1: frontend: low \(9000.0 Hz\) must lie below high"),
        ("team: a\ndata: {sample_rate: 8000}", r"mine.yaml.*: frontend.high .* above half"),
        ("systems: [OE, XYZ]", r"unknown system 'XYZ'; known: OE"),
        ("systems: OE", r"systems: must be a list, such as \[1, 2\], found 'OE'"),
        ("systems: [OE, OE-Flow, OE]", r"systems: holds 'OE' more than once"),
        ("systems: []\nbeyond: []\nbaselines: false", "nothing to run: systems and beyond are empty, baselines is false"),
        ("beyond: [Spectra]", "unknown system 'Spectra' in beyond; known: Spectrum, Shared"),
        ("spectrum: {high: 9000}", r"spectrum.low \(50.0 Hz\) must lie below spectrum.high \(9000.0 Hz\)"),
        ("inliers: {gmm_components: 3}", r"gmm_components: must be a list, such as \[1, 2\], found 3"),
        ("inliers: {knn_neighbours: [1, 2.0]}", r"line 1: inliers.knn_neighbours.1: must be a whole number, found 2.0"),
        ("inliers: {knn_neighbours: [4, 4]}", r"inliers.knn_neighbours: holds 4 more than once"),
        ("demo: {machines: [1e3]}", r"demo.machines.0: must be text, in quotes, found 1000.0"),
        ("team: 3", r"team: must be text, in quotes, found 3"),
        ("team: a b", r"team: .*pattern"),
        ("training: 3", r"training: must be a group of settings \(epochs, batch, .*\), found 3"),
        ("training: [epochs]", r"training: must be a group of settings"),
        ("training:\n  epochs:3", r"line 1: training: must be a group of settings .*; a space belongs behind its colon"),
        ("data: {sample_rate: 8000}\nfrontend: {high: 3900}", r"evaluation.highpass .* half of data.sample_rate"),
        ("team: a\nevaluation: {highpass: [3500, 4000]}", r"line 2: evaluation.highpass .*0 < stopband < passband"),
        ("evaluation: {highpass: [4000]}", r"evaluation.highpass: must be a longer list"),
        ("evaluation: {highpass: [4000, 3500, 1]}", r"evaluation.highpass: must be a shorter list"),
        ("frontend: {hop: 100000, window: 100000}", "longer than a segment"),
        ("frontend: {hop: 4096}", r"hop \(4096 samples\) is longer than its window"),
        ("spectrum: {mels: 1026}", "more than the 1025 bins of its window"),
        ("autoencoder: {mels: 100000}", "more than the 513 bins of its window"),
        ("frontend: {segment_seconds: 1000000000.0}", "less than or equal to 120"),
        ("frontend: {window: 200000}", "shorter than two segments"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as refused:
        load_settings(preset(tmp_path, text))
    assert "mine.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "group", "field", "value"),
    [
        ("training: {learning_rate: 1e-4}", "training", "learning_rate", 0.0001),
        ("flow: {weight: 1e-7}", "flow", "weight", 1e-7),
        ("frontend: {high: 7000}", "frontend", "high", 7000.0),
        ("training: {mixup: off}", "training", "mixup", False),
        ("frontend: {log: Yes}", "frontend", "log", True),
        ("data: {channel: 0}", "data", "channel", 0),
        ("data: {channel: }", "data", "channel", None),
        (
            "demo: {machines: [no, 01, 1_2, '3', 2023-01-01]}",
            "demo",
            "machines",
            ("no", "01", "1_2", "3", "2023-01-01"),
        ),
    ],
)
def test_right_settings_mean_what_is_written(tmp_path, text, group, field, value):
    found = getattr(getattr(load_settings(preset(tmp_path, text)), group), field)
    assert found == value and type(found) is type(value)


def test_an_empty_group_is_the_papers(tmp_path):
    assert load_settings(preset(tmp_path, "training:\nflow: {}\n")).training.epochs == 150


def test_settings_survive_the_file_beside_a_model():
    settings = load_settings("smoke")
    again = Settings.model_validate(json.loads(json.dumps(settings.model_dump(mode="json"))))
    assert again == settings and again != load_settings("demo")


def test_seeds_are_whole_numbers():
    assert seed_numbers("0 3  12 03") == [0, 3, 12] and seed_numbers("") == []
    for text in ("a", "1,2", "-1", "1.0", "²"):
        with pytest.raises(ValueError, match="whole numbers with spaces between"):
            seed_numbers(text)
