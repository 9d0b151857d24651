"""The pages' templates, filled in: every text escaped, every link relative, nothing from elsewhere."""

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from lib.paths import whole_file
from lib.progress import duration
from lib.report.rows import SCORES

HERE = Path(__file__).parent
STATIC = (HERE / "style.css", HERE / "theme.js", HERE / "tables.js", HERE / "clips.js")


class Site:
    """One report's pages.

    Args:
        name: of the run. folder: of the report. machines: {name: file name without suffix}. notebooks: whether they are
            pages of it.
    """

    def __init__(self, name: str, folder: Path, machines: dict[str, str], notebooks: bool):
        self.folder = folder
        self._common = {"run": name, "places": machines, "with_notebooks": notebooks, "SCORES": SCORES}

    def write(self, path: str, template: str, **context) -> None:
        """Write one page.

        Args:
            path: relative to the report. template: in templates/. context: what it shows.
        """
        page = _environment().get_template(template)
        with whole_file(self.folder / path, sync=False) as temporary:
            text = page.render(self._common, up="../" * path.count("/"), here=path, **context)
            temporary.write_text(text, encoding="utf-8", errors="replace")


@lru_cache(maxsize=1)
def _environment():
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"duration": duration, "percent": percent, "decimals": decimals, "breakable": breakable}
    return environment


def percent(value: float) -> str:
    """One decimal, a dash where there is no value.

    >>> percent(62.44), percent(float("nan"))
    ('62.4', '–')
    """
    return "–" if value != value else f"{value:.1f}"


def decimals(value: float, count: int = 2) -> str:
    """A number with a true minus sign.

    >>> decimals(-1.234)
    '−1.23'
    """
    return f"{value:.{count}f}".replace("-", "−")


def breakable(name: str) -> Markup:
    """A name that may go on in a new line behind each underscore.

    >>> breakable("a_<b>")
    Markup('a_<wbr>&lt;b&gt;')
    """
    return Markup("_<wbr>").join(escape(part) for part in name.split("_"))
