"""What a training keeps to go on after a stop: torch's own file, read without code, of the same recipe alone."""

from pathlib import Path

import torch

from lib.paths import readable, whole_file


def keep(path: Path, recipe: str, state: dict) -> None:
    """Write `state` (tensors, numbers, texts) beside the `recipe` that it follows from."""
    with whole_file(path, sync=False) as temporary:
        torch.save(state | {"recipe": recipe}, temporary)


def kept(path: Path, recipe: str, device: torch.device) -> dict | None:
    """What `keep` wrote, or None, with a line, where it is damaged or of another recipe; None where it is not there."""
    if not path.exists():
        return None
    try:
        with readable(path, "training from the beginning"):
            state = torch.load(path, map_location=device, weights_only=True)
            found = state["recipe"]
    except ValueError as error:
        print(error)
        return None
    if found != recipe:
        print(f"{path}: of other code, settings, data or torch; training from the beginning")
        return None
    return state
