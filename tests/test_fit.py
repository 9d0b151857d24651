"""`make fit`: a folder of healthy recordings → a machine that scores, and a page; what would spoil it is refused."""

import numpy as np
import pytest
import soundfile
from makers import write_noise

from lib import fit, paths
from lib.listener import Listener
from lib.settings import load_settings


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "OUTPUTS", tmp_path / "outputs")
    for i in range(16):
        write_noise(tmp_path / "healthy" / f"day {i % 2}" / f"{i}.wav", seconds=2.0, seed=i)
    return tmp_path / "healthy"


def test_what_would_spoil_it_is_refused_and_what_would_not_is_said(folder, capsys):
    files = sorted(folder.rglob("*.wav"))
    for path in files[:2]:
        soundfile.write(path, np.zeros(32000), 16000)
    run = paths.Run(folder.parent / "outputs" / "mill")

    def audited():
        settings = fit.load_settings("smoke")
        fit.own.lay_out(folder, "mill", run.root / "data", [])
        fit._audit(run, run.root / "data", "mill", settings)

    audited()
    assert "2 of 16 clips: almost silent, first " in capsys.readouterr().out
    for path in files[2:10]:
        soundfile.write(path, np.zeros(32000), 16000)
    with pytest.raises(
        ValueError, match=r"10 of 16 clips: almost silent.*what is learnt from them would be of the fault"
    ):
        audited()
    for path in files[:8]:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"8 of 16 recordings can be used; first .*: the file is empty"):
        audited()
    assert fit.main([str(folder / "none"), "--machine", "mill"]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "systems"), [("OE OE-Flow", ["OE", "OE-Flow"]), ("OE, OE-Flow", ["OE", "OE-Flow"]), ("", [])]
)
def test_a_stage_is_of_the_systems_that_were_asked_for_wherever_the_preset_lies(folder, monkeypatch, asked, systems):
    base = folder.parent / "my: 'own' #1.yaml"
    base.write_text("base: smoke\n")
    called = []
    monkeypatch.setattr(fit.batch, "main", called.append)
    given = fit._arguments([str(folder), "--machine", "mill", "--systems", asked, "--preset", str(base)])
    fit._stage(paths.Run(folder.parent / "outputs" / "mill"), given, "second")
    settings = load_settings(called[0][1])
    assert list(settings.systems) == systems and settings.training.epochs == 2


def test_a_machine_that_is_finished_keeps_its_tables_and_the_channel_reaches_every_stage(folder, monkeypatch, capsys):
    run = paths.Run(folder.parent / "outputs" / "mill")
    called = []
    monkeypatch.setattr(fit.batch, "main", lambda given: called.append(load_settings(given[1])) or 3)
    given = [str(folder), "--machine", "mill", "--preset", "smoke", "--systems", "OE", "--others", str(folder)]
    assert fit.main([*given, "--channel", "0"]) == 3 and (called[0].beyond, called[0].data.channel) == (
        ("Spectrum",),
        0,
    )
    assert fit._stages(run, fit._arguments(given)) == ["first", "second", "third"]
    paths.write_text(
        run.tables / "run.json", '{"counted": {"mill": [["Spectrum", "all"], ["OE", "all"], ["Shared", "all"]]}}'
    )
    assert fit._stages(run, fit._arguments(given)) == ["third"]
    assert fit._stages(run, fit._arguments([*given, "--systems", "OE OE-Flow"])) == ["first", "second", "third"]
    assert fit._stages(run, fit._arguments([*given, "--systems", ""])) == ["first"]
    assert fit.main([*given, "--channel", "-1"]) == 2 and "channel" in capsys.readouterr().err


def test_an_unknown_system_is_said_before_anything_runs(folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        fit.main([str(folder), "--machine", "mill", "--systems", "OE Flow"])
    assert stopped.value.code == 2 and "unknown system 'Flow'; known: OE, Serial-OE" in capsys.readouterr().err
    assert not (folder.parent / "outputs").exists()


@pytest.mark.long
def test_first_spectrum_then_what_is_trained_and_a_page(folder, capsys):
    others = folder.parent / "others"
    for i in range(8):
        write_noise(others / f"{i}.wav", seconds=2.0, seed=100 + i, level=0.05)
    given = [str(folder), "--machine", "mill", "--preset", "smoke", "--systems", "OE-Flow", "--others", str(others)]
    assert fit.main(given) == 0
    printed = capsys.readouterr().out
    assert printed.index("it can be scored: make score MODEL=") < printed.index("told from others")
    model = folder.parent / "outputs" / "mill" / "mill"
    rows = Listener.load(model).rows
    assert {"Spectrum", "Shared", "OE-Flow"} < set(rows)
    page = (model / "fit.html").read_text()
    assert "14 healthy clips to learn from, 2 held out" in page and all(f"<td>{row}" in page for row in rows)
    assert 'src="data:image/png;base64,' in page and "<h2>Score new recordings" in page
    assert len(Listener.load(model).score(sorted(others.glob("*.wav")))) == 8
