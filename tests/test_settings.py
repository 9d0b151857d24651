import pytest

from lib import paths
from lib.settings import Settings, load_settings


def test_paper_preset_is_the_papers_defaults():
    settings = load_settings("paper")
    assert settings == Settings()
    assert (settings.frontend.mels, settings.frontend.hop, settings.frontend.window) == (224, 256, 2048)
    assert (settings.training.epochs, settings.training.batch, settings.training.learning_rate) == (150, 128, 1e-3)
    assert settings.inliers.gmm_components == settings.inliers.knn_neighbours == (1, 2, 4, 16, 32)
    assert settings.segment_samples == 80000


@pytest.mark.parametrize("preset", sorted(p.stem for p in paths.PRESETS.glob("*.yaml")))
def test_presets_are_valid(preset):
    load_settings(preset)


def preset(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return str(path)


def test_own_preset_starts_from_a_base(tmp_path):
    settings = load_settings(preset(tmp_path, "base: quick\ntraining: {epochs: 7}\n"))
    quick = load_settings("quick")
    assert settings.training.epochs == 7 and settings.frontend == quick.frontend
    assert settings.training.batch == quick.training.batch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frontend: {bands: 3}", r"frontend.bands: no such setting; allowed: standardize"),
        ("epochs: 3", r"epochs: no such setting; allowed: systems"),
        ("training: {epochs: -1}", r"training.epochs: .*greater than 0 \(found -1\)"),
        ("training: {epochs: many}", r"training.epochs: .*integer.*found 'many'"),
        ("training: {batch: 7}", r"training.batch: .*multiple of 2"),
        ("frontend: {standardize: day}", r"frontend.standardize: .*'machine' or 'clip'"),
        ("frontend: {low: 9000}", r"low \(9000.0 Hz\) must lie below high"),
        ("data: {sample_rate: 8000}", r"frontend.high .* above half"),
        ("systems: [OE, XYZ]", r"unknown system 'XYZ'; known: OE"),
        ("- a\n- b", "expected keys and values"),
        ("a: [1", "no valid YAML"),
        ("data: {sample_rate: 8000}\nfrontend: {high: 3900}", r"evaluation.highpass .* half of data.sample_rate"),
        ("evaluation: {highpass: [3500, 4000]}", r"0 < stopband < passband"),
        ("frontend: {hop: 100000}", "longer than a segment"),
        ("systems: []", r"systems: .*at least 1 item"),
        ("base: mine.yaml", "leads back to itself"),
        ("base: [quick]", "unknown preset"),
        ("base: nowhere", "unknown preset 'nowhere'"),
    ],
)
def test_wrong_settings_are_named(tmp_path, text, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_settings(preset(tmp_path, text))


def test_unknown_preset_names_the_known():
    with pytest.raises(ValueError, match=r"unknown preset 'fast'; known: demo, paper, quick, smoke"):
        load_settings("fast")


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "table.csv"
    paths.write_text(path, "old")
    with pytest.raises(RuntimeError), paths.whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/x.csv"):
        paths.write_text(tmp_path / "file" / "x.csv", "text")
