"""Every executed notebook as a page: nbconvert's cells without its page, whose scripts would come from elsewhere.

Pictures become small WebP files, formulas MathML; raw HTML in a text is shown as it is written.
"""

import base64
import binascii
import hashlib
import io
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

sys.modules.setdefault("rfc3987_syntax", None)  # as in lib/run.py

import latex2mathml.converter  # noqa: E402
import nbformat  # noqa: E402
from nbconvert import HTMLExporter, TemplateExporter  # noqa: E402
from nbconvert.filters.highlight import Highlight2HTML  # noqa: E402
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath  # noqa: E402
from PIL import Image  # noqa: E402

from lib.paths import whole_file  # noqa: E402

TEMPLATE = Path(__file__).with_name("notebook_template")
QUALITY = 80  # of WebP
SPEED = {"method": 2}  # of WebP: a third larger than its best, in half the time


class Page(NamedTuple):
    """An executed notebook: its title, its cells as HTML, seconds it took, and why it has none."""

    title: str
    body: str
    seconds: float | None
    problem: str


class Notebooks:
    """Turns notebooks into pages; their pictures go into `images`, each once."""

    def __init__(self, images: Path):
        self.images = images
        self._exporter = HTMLExporter(template_name=TEMPLATE.name, extra_template_basedirs=[str(TEMPLATE.parent)])
        self._exporter.register_filter("markdown2html", markdown)
        self._exporter.register_filter("highlight_code", highlight)

    def page(self, path: Path) -> Page:
        """One executed notebook; one that cannot be read has a `problem` and no cells."""
        try:
            notebook = nbformat.read(path, as_version=4)
            self._extract_images(notebook)
            # HTMLExporter's own goes through each page once more, for the alternative texts of pictures.
            body, _ = TemplateExporter.from_notebook_node(self._exporter, notebook)
        except Exception as error:  # whatever a truncated or foreign file does to nbformat and nbconvert
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            return Page(path.stem, "", None, f"cannot be read ({reason}); run its notebook again")
        first = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
        title = first.partition("\n")[0].lstrip("# ") or path.stem
        failed = any(output.output_type == "error" for cell in notebook.cells for output in cell.get("outputs", ()))
        seconds = notebook.metadata.get("papermill", {}).get("duration")
        return Page(title, body, seconds, "a cell failed" if failed else "")

    def _extract_images(self, notebook):
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                if "image/png" in data and (name := self._image(data["image/png"])):
                    data["image/png"] = ""
                    output.metadata["filenames"] = {"image/png": f"{self.images.name}/{name}"}

    def _image(self, text):
        """The name of the file that a PNG became; "" for what is none, which stays in the page as it is."""
        try:
            content = base64.b64decode(text)
            path = self.images / f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
            if not path.exists():
                image = Image.open(io.BytesIO(content)).convert("RGB")
                with whole_file(path, sync=False) as temporary:
                    image.save(temporary, "WEBP", quality=QUALITY, **SPEED)
        except (binascii.Error, ValueError, Image.UnidentifiedImageError):
            return ""
        return path.name


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
