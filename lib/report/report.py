"""The report of a run: one folder of pages, pictures and sounds, which opens from the disk and can be zipped and moved.

The tables sort and the clips filter by a script of the project's own, a hundred lines: DataTables, which the package
itables carries, is a bundle of 600 kB, a quarter of a report, and its sorting headers are no buttons.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from lib.paths import Run, whole_file, write_failure, write_text
from lib.report import run_page
from lib.report.files import RunFiles, slugs
from lib.report.machines import MachinePage
from lib.report.notebook_pages import Notebooks
from lib.report.pages import STATIC, Site
from lib.report.rows import Ranking
from lib.report.table_pages import LARGE, other_tables, paper_tables

CLIPS = 20  # of a machine, with a picture and a player
MADE = ".made-by-report"  # a file that says that the folder may be emptied
COLOURS = 128  # of a figure's PNG


@dataclass(frozen=True)
class Options:
    """Of a report.

    Attributes:
        clips: of a machine, with a picture and a player. row: by which clips are ranked, "" for the default.
        notebooks: whether the executed notebooks are pages of it.
    """

    clips: int = CLIPS
    row: str = ""
    notebooks: bool = True


def write(run: Run, out: Path | None = None, options: Options | None = None) -> Path:
    """Write the report of a finished run; returns its first page.

    Args:
        run: with tables. out: folder, `Run.report` without one; what an earlier report left there goes.
        options: `Options`.

    Raises:
        ValueError: no tables, a file of the run that cannot be read, or a folder that holds something else; names the
            mend. OSError: it cannot be written.
    """
    files, out = RunFiles(run), (out or run.report).absolute()
    if not files.machines:
        raise ValueError(f"{run.tables}: no clip scores to report; run 06_ensemble_and_tables (make run)")
    with _replaced(out) as folder:
        _write(files, folder, options or Options())
    return out / "index.html"


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out` that takes its place when the block ends well.

    Raises:
        ValueError: something that no report left is there. OSError: names `out`, the cause and the mend.
    """
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ValueError(f"{out}: is no folder; name another one (--out)")
    if out.exists() and any(out.iterdir()) and not (out / MADE).exists():
        raise ValueError(f"{out}: holds files that are no report's and is left alone; name another folder (--out)")
    new, old = (out.with_name(f".{out.name}-{secrets.token_hex(4)}") for _ in range(2))
    try:
        new.mkdir(parents=True)
        write_text(new / MADE, "python -m lib.report may empty this folder\n")
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    except OSError as error:
        raise write_failure(out, error) or error from error
    finally:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)


def _write(files, folder, options):
    for path in STATIC:
        _copy(path, folder / path.name)
    if options.row and not any(options.row in files.rows(machine) for machine in files.machines):
        rows = dict.fromkeys(row for machine in files.machines for row in files.rows(machine))
        raise ValueError(f"no row {options.row!r} in {files.run.tables}; it has {', '.join(rows)}")
    names = slugs(files.machines)
    notebooks = files.run.executed() if options.notebooks else []
    site = Site(files.name, folder, names, bool(notebooks))
    machines = []
    for machine, slug in names.items():
        page = MachinePage.of(files, machine, slug, folder / "machines" / slug, options.row, options.clips)
        site.write(f"machines/{slug}.html", "machine.html", page=page, clips=options.clips)
        machines.append(page)
    if notebooks:
        _notebooks(files, site, notebooks)
    figures, tables = _figures(files, folder), _tables(files, folder)
    site.write("tables.html", "tables.html", **tables, figures=figures)
    site.write("run.html", "run.html", **run_page.context(files))
    ranking = Ranking.of(files.evaluation)
    costs = files.seconds(list(ranking.rows["system"]))
    site.write(
        "index.html", "index.html", machines=machines, ranking=ranking, costs=costs,
        facts=files.facts, failures=files.failures, left_out=len(files.left_out), notebooks=len(notebooks),
    )  # fmt: skip


def _notebooks(files, site, paths):
    """Write a page for each executed notebook, and one that lists them: those of the whole run, then the machines'."""
    root = files.run.root / "notebooks"
    names = {path: path.relative_to(root).with_suffix("").as_posix() for path in paths}
    places, maker, listed = slugs(list(names.values())), Notebooks(site.folder / "notebooks" / "media"), {}
    for path, name in sorted(names.items(), key=lambda each: ("/" in each[1], each[1])):
        page, (machine, _, which) = maker.page(path), name.rpartition("/")
        listed.setdefault(machine, []).append((places[name], which, page))
        site.write(f"notebooks/{places[name]}.html", "notebook.html", page=page, machine=machine, which=which)
    site.write("notebooks.html", "notebooks.html", listed=listed)


def _figures(files, folder):
    """Copy the figures of the whole run, each PNG in few colours; returns {name: (PNG, PDF or "")}, file names."""
    found, place = {}, folder / "figures"
    paths = sorted(files.run.figures.glob("*.png"))
    for path, slug in zip(paths, slugs([path.stem for path in paths]).values(), strict=True):
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, Image.UnidentifiedImageError):
            continue
        few = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        with whole_file(place / f"{slug}.png", sync=False) as temporary:
            few.save(temporary, "PNG", optimize=True)
        pdf = path.with_suffix(".pdf")
        if pdf.exists():
            _copy(pdf, place / f"{slug}.pdf")
        found[path.stem] = (f"{slug}.png", f"{slug}.pdf" if pdf.exists() else "")
    return found


def _tables(files, folder):
    """Copy the CSV files that are not large; returns the tables, what is there as a file, and what is too large."""
    paths = sorted(files.run.tables.glob("*.csv"))
    small = [path for path in paths if path.stat().st_size <= LARGE]
    for path in small:
        _copy(path, folder / "tables" / path.name)
    return {
        "papers": list(paper_tables(files.run.tables)), "others": other_tables(files.run.tables),
        "copied": [path.name for path in small], "large": [path.name for path in paths if path not in small],
    }  # fmt: skip


def _copy(source, target):
    with whole_file(target, sync=False) as temporary:
        temporary.write_bytes(source.read_bytes())
