"""A preset written by hand is read as it is meant, or refused with its file, its line and what is allowed."""

from pathlib import Path

import pytest

from lib.presets import plain_value, read_preset
from lib.settings import load_settings


def written(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "base: smoke\ntraining: {epochs: 30}\njoint: {epochs: 9}\ntraining: {batch: 8}",
            "training stands twice, in lines 2 and 4",
        ),
        ("training:\n  epochs: 3\n  batch: 8\n  epochs: 4", "training.epochs stands twice, in lines 2 and 4"),
        ("training: {epochs: 3, epochs: 3}", "training.epochs stands twice, in lines 1 and 1"),
        ('team: a\n"team": b', "team stands twice, in lines 1 and 2"),
        ("base: quick\nbase: demo", "base stands twice, in lines 1 and 2"),
    ],
)
def test_a_key_twice_is_refused_with_both_lines(tmp_path, text, line):
    with pytest.raises(ValueError, match=line) as refused:
        load_settings(written(tmp_path, text))
    assert str(tmp_path / "mine.yaml") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1e-3", 0.001), ("1E3", 1000.0), ("1.0e-7", 1e-7), (".5", 0.5), ("5.", 5.0), ("-3", -3), ("+3", 3), ("0", 0), ("0.0", 0.0),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("yes", "yes"), ("off", "off"), ("y", "y"), ("010", "010"), ("0o10", "0o10"), ("0x10", "0x10"), ("1:30", "1:30"),
        ("1_000", "1_000"), ("2023-01-01", "2023-01-01"), ("1,5", "1,5"), ("٣", "٣"), ("1e", "1e"), ("-", "-"), ("1e-3 s", "1e-3 s"),
    ],
)  # fmt: skip
def test_plain_text_means_what_it_looks_like(text, meant):
    found = plain_value(text)
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize(
    "text",
    ["training: {epochs: 7}", "\ufefftraining: {epochs: 7}", "training:\r\n  epochs: 7\r\n", "training:\r  epochs: 7\r",
     "# mine\n---\ntraining: {epochs: 7}\n...\n", "training: &t {epochs: 7}\nautoencoder: {<<: *t}",
     "training:   # a comment\n    epochs:     7   # another", '{"training": {"epochs": 7}}'],
)  # fmt: skip
def test_files_of_every_editor_are_read(tmp_path, text):
    assert load_settings(written(tmp_path, text)).training.epochs == 7


def test_merged_groups_give_way_to_what_is_written(tmp_path):
    text = "training: &t {epochs: 7, learning_rate: 1e-2}\njoint: {<<: *t, epochs: 9}\nautoencoder: {<<: [*t, {epochs: 1, batch: 4}]}"
    settings = load_settings(written(tmp_path, text))
    assert (settings.joint.epochs, settings.joint.learning_rate) == (9, 0.01)
    assert (settings.autoencoder.epochs, settings.autoencoder.batch) == (7, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training:\n\tepochs: 3", "line 2: no valid YAML: .*never with a tab"),
        ("training:\n  epochs: 3\n batch: 8", "line 3: no valid YAML"),
        ("a: [1", "line 1: no valid YAML"),
        ("training: {epochs: 3}}", "line 1: no valid YAML"),
        ("team: a\x01b", "no valid YAML: .*special characters"),
        ("---\nteam: a\n---\nteam: b", "line 3: no valid YAML: .*document"),
        ("", "is empty"), ("# nothing\n", "is empty"), ("---\n", "expected keys and values"),
        ("- a\n- b", "expected keys and values .*, found a sequence"), ("quick", "expected keys and values .*, found a scalar"),
        ("? [a]\n: 3", "line 1: a key must be a word"),
        ("training: !!python/object/apply:os.system [ls]", "line 1: .*tags are not allowed"),
        ("team: !mine a", "line 1: .*tags are not allowed"),
        ("training: &t\n  epochs: *t", "line 1: an anchor that holds itself"),
        ("training: {<<: 3}", "line 1: << takes"),
        ("team: caf\xe9".encode("latin-1"), "line 1: not UTF-8"), ("# \ntraining:\n  epochs: 3 # \xb5".encode("latin-1"), "line 3: not UTF-8"),
        ("team: a".encode("utf-16"), "not UTF-8"), (b"PK\x03\x04\0\0", "binary"),
    ],
)  # fmt: skip
def test_what_is_no_preset_is_refused_with_its_cause(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as refused:
        load_settings(written(tmp_path, text))
    assert str(tmp_path / "mine.yaml") in str(refused.value)


def test_a_chain_of_bases_is_read_from_where_each_file_lies(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    written(tmp_path, "training: {epochs: 5, batch: 8}\nthreads: 4", "low.yml")
    written(tmp_path / "sub", "base: ../low.yml\ntraining: {epochs: 6}", "middle.yaml")
    written(tmp_path, "base: sub/middle.yaml\njoint: {epochs: 7}\ntraining:\n", "top.yaml")
    monkeypatch.chdir(tmp_path.parent)
    settings = load_settings(tmp_path / "top.yaml")
    assert (settings.training.epochs, settings.training.batch, settings.joint.epochs, settings.threads) == (6, 8, 7, 4)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings("~/top.yaml") == settings
    written(tmp_path, "base: ~/sub/middle.yaml\njoint: {epochs: 7}", "home.yaml")
    assert load_settings(tmp_path / "home.yaml") == settings


def test_an_encoder_is_a_file_beside_the_preset_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.onnx").touch()
    written(tmp_path / "sub", "encoder: mine.onnx", "low.yaml")
    written(tmp_path, "base: sub/low.yaml\nthreads: 2", "top.yaml")
    assert load_settings(tmp_path / "top.yaml").encoder == str(tmp_path / "sub" / "mine.onnx")
    for text, line in (("encoder: mine.onnx", 1), ("threads: 2\nencoder: sub", 2)):
        with pytest.raises(ValueError, match=rf"line {line}: encoder: there is no file .*{tmp_path.name}"):
            load_settings(written(tmp_path, text))
    assert load_settings(written(tmp_path, 'encoder: ""')).encoder == ""


def test_a_wrong_value_of_a_base_is_found_in_the_base(tmp_path):
    written(tmp_path, "team: a\ntraining:\n  epochs: -5\n  batch: 8", "low.yaml")
    top = written(tmp_path, "base: low.yaml\ntraining: {learning_rate: 0}", "top.yaml")
    with pytest.raises(
        ValueError, match=r"low.yaml, line 3: training.epochs: .*\n.*top.yaml, line 2: training.learning_rate"
    ):
        load_settings(top)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("team: a\nbase: mine.yaml", "line 2: its base 'mine.yaml' leads back to itself"), ("base: other.yaml", "leads back to itself"),
        ("base: [quick]", r"line 1: base must be .* found \['quick'\]"), ("base:", "base must be .* found None"), ("base: 3", "base must be"),
        ("base: nowhere", "line 1: base: unknown preset 'nowhere'; known: demo, paper, quick, smoke"),
        ("base: sub", "line 1: base: preset 'sub' is a folder"), ("base: .", "line 1: base: preset '.' is a folder"),
    ],
)  # fmt: skip
def test_a_base_that_leads_nowhere(tmp_path, text, message):
    (tmp_path / "sub").mkdir()
    written(tmp_path, "base: mine.yaml", "other.yaml")
    with pytest.raises(ValueError, match=message):
        load_settings(written(tmp_path, text))


def test_a_preset_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"unknown preset 'fast'; known: demo, paper, quick, smoke"):
        load_settings("fast")
    with pytest.raises(ValueError, match="unknown preset ''"):
        load_settings("")
    with pytest.raises(ValueError, match="is a folder; name a YAML file"):
        load_settings(tmp_path)
    written(tmp_path, "{}", "fast.yml")
    with pytest.raises(ValueError, match=r"unknown preset 'fast'; did you mean fast.yml\?"):
        load_settings("fast")
    assert load_settings("fast.yml").training.epochs == 150


def test_an_unreadable_preset_is_named(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, "{}")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"mine.yaml: cannot be read: Permission denied"):
        read_preset(path)
