"""Makes the environment that every make target runs in: python workflow/set_up.py .venv

It empties and fills a folder of its own alone, which holds the file `MADE` from its first moment on: not one that the
user, an editor or conda has made, and none behind a link.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

MADE = ".made-by-make"
OLDER = "ready"  # what make left before there was `MADE`


def refusal(folder: Path) -> str:
    """Why `folder` must be left alone, with the mend; empty when it may be made."""
    mend = "choose another name, make VENV=.venv-asd"
    if folder.is_symlink():
        return f"{folder} is a link to {folder.resolve()}, which make did not make and leaves alone; {mend}"
    if folder.exists() and not folder.is_dir():
        return f"{folder} is a file; {mend}"
    if folder.exists() and any(folder.iterdir()) and not any((folder / name).exists() for name in (MADE, OLDER)):
        return f"{folder} is not of make's making and is left alone; {mend}"
    if importlib.util.find_spec("ensurepip") is None:
        return f"{sys.executable} cannot make environments: apt install python3-venv, or make PYTHON=<another Python>"
    return ""


def empty(folder: Path) -> None:
    """Make `folder` hold nothing but `MADE`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MADE).write_text("make may empty this folder\n")
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MADE:
            path.unlink()


def main(folder: str) -> int:
    """Make the environment; returns the exit status."""
    place = Path(folder)
    if refused := refusal(place):
        print(refused, file=sys.stderr)
        return 2
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    print(f"setting up {place}: 1 to 4 minutes", flush=True)
    try:
        empty(place)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*pip, "--requirement", "requirements.lock"], check=True)
        subprocess.run([*pip, "--no-deps", "--editable", "."], check=True)
        (place / "ready").touch()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{place} is not ready, make begins anew the next time: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{place} is not ready, make begins anew the next time: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
