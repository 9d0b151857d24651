"""Every executed notebook as a page: nbconvert's cells without its page, whose scripts would come from elsewhere.

Pictures become small WebP files, sounds FLAC, formulas MathML; raw HTML in a text is shown as it is written.
"""

import base64
import binascii
import hashlib
import io
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

sys.modules.setdefault("rfc3987_syntax", None)  # as in lib/run.py

import latex2mathml.converter  # noqa: E402
import nbformat  # noqa: E402
import soundfile  # noqa: E402
from nbconvert import HTMLExporter, TemplateExporter  # noqa: E402
from nbconvert.filters.highlight import Highlight2HTML  # noqa: E402
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath  # noqa: E402
from PIL import Image  # noqa: E402

from lib.paths import whole_file  # noqa: E402

TEMPLATE = Path(__file__).with_name("notebook_template")
QUALITY = 80  # of WebP
SPEED = {"method": 2}  # of WebP: a third larger than its best, in half the time


_SOUND = re.compile(r'src="data:audio/(?:x-)?wav;base64,([^"]*)"')  # of IPython's player


class Page(NamedTuple):
    """An executed notebook: its title, its cells as HTML, seconds it took, and why it has none."""

    title: str
    body: str
    seconds: float | None
    problem: str


class Notebooks:
    """Turns notebooks into pages; their pictures and sounds go into `media`, each once."""

    def __init__(self, media: Path):
        self.media = media
        self._exporter = HTMLExporter(template_name=TEMPLATE.name, extra_template_basedirs=[str(TEMPLATE.parent)])
        self._exporter.register_filter("markdown2html", markdown)
        self._exporter.register_filter("highlight_code", highlight)

    def page(self, path: Path) -> Page:
        """One executed notebook; one that cannot be read has a `problem` and no cells."""
        try:
            notebook = nbformat.read(path, as_version=4)
        except Exception as error:  # whatever a truncated or foreign file does to nbformat
            return Page(path.stem, "", None, f"cannot be read ({_reason(error)}); run its notebook again")
        try:
            self._extract(notebook)
            # HTMLExporter's own goes through each page once more, for the alternative texts of pictures.
            body, _ = TemplateExporter.from_notebook_node(self._exporter, notebook)
        except OSError:  # a full disk is no fault of the notebook
            raise
        except Exception as error:
            return Page(path.stem, "", None, f"cannot be shown ({_reason(error)}); open the notebook itself")
        first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
        title = first.partition("\n")[0].lstrip("# ") or path.stem
        failed = any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))
        seconds = notebook.metadata.get("papermill", {}).get("duration")
        return Page(title, body, seconds, "a cell failed" if failed else "")

    def _extract(self, notebook):
        """Let pictures and sounds be files beside the page: a tenth, and three quarters, of what they are in it."""
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                if "image/png" in data and (name := self._file(data["image/png"], ".webp", _picture_of)):
                    data["image/png"] = ""
                    output.metadata["filenames"] = {"image/png": name}
                if "text/html" in data:
                    data["text/html"] = _SOUND.sub(self._sound, data["text/html"])

    def _sound(self, found):
        name = self._file(found[1], ".flac", _sound_of)
        return f'src="{name}"' if name else found[0]

    def _file(self, text, suffix, read):
        """The file, relative to the page, that base64 became; "" for what cannot be read, which stays as it is."""
        try:
            content = base64.b64decode(text)
            path = self.media / f"{hashlib.sha256(content).hexdigest()[:16]}{suffix}"
            if not path.exists():
                save = read(io.BytesIO(content))
                with whole_file(path, sync=False) as temporary:
                    save(temporary)
        except (binascii.Error, ValueError, Image.UnidentifiedImageError, soundfile.LibsndfileError):
            return ""
        return f"{self.media.name}/{path.name}"


def _reason(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _picture_of(content):
    """What saves a picture that was read as WebP."""
    image = Image.open(content).convert("RGB")
    return lambda path: image.save(path, "WEBP", quality=QUALITY, **SPEED)


def _sound_of(content):
    """What saves a sound that was read as FLAC."""
    sound, rate = soundfile.read(content, dtype="int16")
    return lambda path: soundfile.write(path, sound, rate, "PCM_16", format="FLAC")


@lru_cache(maxsize=1000)
def highlight(code: str) -> str:
    """HTML of a code cell; the machines' copies of a notebook share their cells."""
    return Highlight2HTML(pygments_lexer="ipython3")(code)


@lru_cache(maxsize=1000)
def markdown(text: str) -> str:
    """HTML of a text cell: formulas as MathML; of raw HTML only the line break, which the tables' cells hold.

    >>> print(markdown("<b>a</b> $x$<br>"))
    <p>&lt;b&gt;a&lt;/b&gt; <math ...><mrow><mi>x</mi></mrow></math><br></p>
    """
    renderer = _Renderer(escape=True, allow_harmful_protocols=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(text).replace("&lt;br&gt;", "<br>")


def mathml(formula: str) -> str:
    """MathML of a formula in LaTeX; where that fails, the formula as code."""
    try:
        return latex2mathml.converter.convert(formula)
    except Exception:  # the library has an error of its own for each thing that it does not know
        return f"<code>{_Renderer().escape_html(formula)}</code>"


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return f"<p>{mathml(body)}</p>"
