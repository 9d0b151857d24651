"""The report in a browser (`make test-browser`): what a reader does with it, without a network, by mouse and by keyboard.

The run is a small real one of two machines with names that a careless page would execute.
"""

import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import HOSTILE
from IPython.display import Audio
from scored import run_cells

from lib.paths import Run
from lib.report import report
from lib.report.files import RunFiles
from lib.report.ranked_clips import Ranked
from lib.report.rows import Ranking

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
RATE = 16000
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt install chromium, or brew install chromium"),
]


def write_clip(path, rng, tone=0.0):
    """Two seconds of noise, a quarter of a second of a tone in their middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.1 * rng.standard_normal(2 * RATE)
    sound[RATE : RATE + 4000] += tone * np.sin(np.arange(4000) * 2 * np.pi * 3000 / RATE)
    soundfile.write(path, sound.clip(-1, 1), RATE, "PCM_16")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A run of Spectrum as the notebooks make it, with its report."""
    base, rng = tmp_path_factory.mktemp("browser"), np.random.default_rng(0)
    machines = (HOSTILE[0].partition("alert")[0], HOSTILE[1])  # no slash is in a folder's name
    for machine in machines:
        for number in range(11):
            domain = "source" if number < 8 else "target"
            write_clip(
                base / "data" / machine / "train" / f"section_00_{domain}_train_normal_{number:04d}_v_1.wav", rng
            )
        for domain in ("source", "target"):
            for label, tones in (("normal", (0, 0, 0)), ("anomaly", (0.01, 0.1, 0.2))):
                for number, tone in enumerate(tones):
                    name = f"section_00_{domain}_test_{label}_{number:04d}_v_1.wav"
                    write_clip(base / "data" / machine / "test" / name, rng, tone)
    preset = base / "few.yaml"
    preset.write_text("base: spectrum\nevaluation: {bootstrap: 20}\n")
    run = Run(base / "a <run>")
    given = {"preset": str(preset), "data_root": str(base / "data"), "run_dir": str(run.root)}
    for machine in machines:
        run_cells("01_data_audit", machine=machine, **given)
        run_cells("08_spectrum_reference", machine=machine, **given)
    run_cells("06_ensemble_and_tables", **given)
    hostile = nbformat.v4.new_output(
        "display_data", {"text/html": "<script>document.title = 'run'</script><b onclick='x()'>b</b>"}
    )
    player = nbformat.v4.new_output("display_data", {"text/html": Audio(np.zeros(RATE), rate=RATE)._repr_html_()})
    cells = [nbformat.v4.new_code_cell("1", outputs=[player])]
    (run.root / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), run.notebook("01_data_audit"))
    cells = [nbformat.v4.new_markdown_cell(f"# {machines[0]}"), nbformat.v4.new_code_cell("1", outputs=[hostile])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), run.notebook("06_ensemble_and_tables"))
    report.write(run, options=report.Options(clips=4))
    return RunFiles(run)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield chromium
        chromium.close()


@pytest.fixture
def view(browser, files):
    """Opens a page of the report: (name, width, …) → the page; the test fails of any error or request that it makes."""
    contexts, wrong = [], []

    def open_(name="index", width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.on(
            "request", lambda request: None if request.url.startswith(("file:", "data:")) else wrong.append(request.url)
        )
        page.goto((files.run.report / f"{name}.html").as_uri())
        return page

    open_.wrong = wrong
    yield open_
    for context in contexts:
        context.close()
    assert wrong == []


def pages(files):
    return [path.relative_to(files.run.report).with_suffix("").as_posix() for path in files.run.report.rglob("*.html")]


@pytest.fixture
def machine(files):
    return f"machines/{next((files.run.report / 'machines').glob('a-b*.html')).stem}"


def test_no_page_goes_sideways_on_a_phone_and_all_load(view, files):
    assert len(pages(files)) == 8
    for name in pages(files):
        if name.startswith("notebooks/06"):
            continue  # its hostile output is refused, which the console says
        page = view(name, width=390)
        page.evaluate("document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_load_state()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        for audio in page.locator("audio").all()[:1]:
            assert (
                audio.evaluate("a => new Promise(done => { a.onloadedmetadata = () => done(a.duration); a.load(); })")
                > 0
            )
        page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_a_table_sorts_by_mouse_and_by_keyboard(view, files):
    page, rows = view(), Ranking.of(files.evaluation).rows
    names = "[...document.querySelectorAll('.ranking tbody th')].map(cell => cell.textContent.trim())"
    assert page.evaluate(names) == rows["system"].tolist()
    button = page.get_by_role("button", name="AUC target")
    button.click()
    values = rows.set_index("system")["auc_target"]
    found = values[page.evaluate(names)].tolist()
    assert found == sorted(values, reverse=True) != values.tolist()
    assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    button.focus()
    page.keyboard.press("Enter")
    assert values[page.evaluate(names)].tolist() == sorted(values)
    page.get_by_role("button", name="row").press("Space")
    assert page.evaluate(names) == sorted(rows["system"])


def test_filters_narrow_the_list(view, files, machine):
    page, clips = view(machine), Ranked.of(files, files.machines[0]).clips
    shown = page.locator(".clip:visible")
    assert shown.count() == len(clips) == 12
    page.get_by_label("domain").select_option("target")
    assert shown.count() == 6 and page.locator("#shown").inner_text() == "6 of 12 clips"
    page.get_by_label("label").select_option("anomalous")
    assert shown.count() == 3 and all("target_test_anomaly" in text for text in shown.all_inner_texts())
    page.get_by_role("combobox", name="decision").select_option("wrong")
    missed = (
        clips.query("domain == 'target' and label == 'anomaly'")["score"]
        <= Ranked.of(files, files.machines[0]).threshold
    )
    assert shown.count() == missed.sum() > 0


def test_the_slider_counts_as_numpy_does(view, files, machine):
    page, clips = view(machine), Ranked.of(files, files.machines[0])
    slider, section = page.get_by_role("slider", name="Threshold"), page.locator(".decisions")
    assert float(section.get_attribute("data-threshold")) == pytest.approx(clips.threshold, rel=1e-12)
    seen = set()
    for keys in ([], ["ArrowLeft"] * 40, ["Home"], ["End"], ["PageDown"] * 3):
        for key in keys:
            slider.press(key)
        threshold = float(section.get_attribute("data-threshold"))
        for domain in ("", "source", "target"):
            counts = clips.counts(threshold, domain)
            cells = page.locator(f"tr[data-domain='{domain}'] td").all_inner_texts()
            parts = [(counts["called"], counts["clips"]), (counts["caught"], counts["caught"] + counts["alarms"]),
                     (counts["caught"], counts["anomalous"]), (counts["alarms"], counts["normal"])]  # fmt: skip
            assert cells == [f"{a} of {b} ({np.floor(100 * a / b + 0.5):.0f} %)" if b else "–" for a, b in parts]
        assert page.locator(".clip.called").count() == clips.counts(threshold)["called"]
        seen.add(clips.counts(threshold)["called"])
    assert {0, 12} < seen
    page.get_by_role("button", name="the run's own").click()
    assert float(section.get_attribute("data-threshold")) == pytest.approx(clips.threshold, rel=1e-12)


def test_a_cut_plays_and_only_some_clips_have_one(view, machine):
    page = view(machine)
    assert page.locator("audio").count() == 5 and page.locator(".clip").count() == 12  # four, and the least strange
    durations = page.evaluate(
        """Promise.all([...document.querySelectorAll("audio")].map(audio => new Promise((done, failed) => {
            audio.addEventListener("loadedmetadata", () => done(audio.duration));
            audio.addEventListener("error", () => failed(audio.error.message));
            audio.load();
        })))"""
    )
    assert durations == pytest.approx([2.0] * 5)
    page.evaluate("document.querySelector('audio').currentTime = 1; undefined")
    page.wait_for_selector(".playing .head", state="visible")
    assert (
        40
        < float(page.evaluate("document.querySelector('.pictures').style.getPropertyValue('--head')").rstrip("%"))
        < 60
    )


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_colours_follow_the_system_and_the_switch_which_the_next_page_remembers(view):
    light, dark = background(view()), background(view(color_scheme="dark"))
    assert light != dark
    page = view()
    page.get_by_label("Colours").select_option("dark")
    assert background(page) == dark
    page.get_by_role("link", name="Tables", exact=True).click()
    page.wait_for_url("**/tables.html")
    assert background(page) == dark and page.get_by_label("Colours").input_value() == "dark"
    page.get_by_label("Colours").select_option("as the system")
    assert background(page) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(view, machine, scheme):
    """WCAG AA: a contrast of 4.5 for every text of a page."""
    for name in ("index", machine, "tables", "run"):
        weak = view(name, color_scheme=scheme).evaluate(
            """() => {
              const channels = (text) => text.match(/[\\d.]+/g).map(Number);
              const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
              const behind = (e) => { for (; e; e = e.parentElement) { const c = channels(getComputedStyle(e).backgroundColor);
                if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
              const found = new Set();
              for (const e of document.body.querySelectorAll("*")) {
                if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility()) continue;
                const [a, b] = [light(channels(getComputedStyle(e).color)), light(behind(e))];
                const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (contrast < 4.5 && !["OPTION"].includes(e.tagName)) found.add(`${e.tagName}.${e.className} ${contrast.toFixed(1)}`);
              }
              return [...found];
            }"""
        )
        assert weak == [], name


def test_the_keyboard_reaches_everything_and_shows_where_it_is(view, machine):
    page = view(machine)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        kind, outline = page.evaluate(
            "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
        )
        reached.append(kind)
        assert kind in ("BODY", "AUDIO") or outline != "none", kind
    assert {"A", "SELECT", "INPUT", "BUTTON", "AUDIO"} <= set(reached) and reached[0] == "A"
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, select, audio, button')].filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).length"
    )
    assert nameless == 0


def test_hostile_names_are_text_and_a_script_in_an_output_does_not_run(view, files, machine):
    page = view(machine)
    assert page.locator("h1").inner_text() == files.machines[0] and page.title().startswith(files.machines[0])
    assert page.get_by_role("link", name=files.machines[1]).count() == 1
    page = view("notebooks/06-ensemble-and-tables")
    assert page.locator("h1").inner_text() == files.machines[0] and page.title() != "run"
    said = [view.wrong.pop() for _ in range(len(view.wrong))]
    assert len(said) == 2 and all("Content Security Policy" in line for line in said), "the script and the handler"


def test_the_worst_clip_and_the_best_row_are_seen_at_once(view, files):
    page, best = view(), Ranking.of(files.evaluation).best
    assert f"{best['system']} {best['value']:.1f} %" in page.locator(".headline").inner_text()
    cards = page.locator(".card")
    assert cards.count() == 2
    worst = pd.read_csv(files.run.tables / "clip_scores.csv").query(
        "system == 'Spectrum' and part == 'test' and protocol == 'all'"
    )
    for i, name in enumerate(files.machines):
        own = worst[worst["machine"] == name]
        assert own.loc[own["score"].idxmax(), "clip"] in cards.nth(i).inner_text()
        assert cards.nth(i).locator("audio").count() == 1
