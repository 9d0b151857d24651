"""Distances to the nearest references, on the CPU by NumPy or on a GPU by torch: the same to the digits of float64."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

QUERIES = 2048  # at once, to bound memory


def nearest_distances(
    queries: np.ndarray, references: np.ndarray, count: int, device: "torch.device | str" = "cpu"
) -> np.ndarray:
    """Distances to the `count` nearest references, in rising order.

    Found by ‖q‖² − 2qr + ‖r‖², then computed from the difference.

    Args:
        queries: (m, d) float64. references: (n, d) float64, n ≥ `count`.
        device: that computes; for "cpu" torch, whose import takes seconds, is not asked.

    Returns:
        (m, count) float64.
    """
    few = _on_host if str(device) == "cpu" else _on_device(references, device)
    parts = [few(queries[i : i + QUERIES], references, count) for i in range(0, len(queries), QUERIES)]
    return np.concatenate(parts) if parts else np.empty((0, count))


def _on_host(queries, references, count):
    closeness = queries @ references.T  # (m, n)
    closeness -= 0.5 * np.square(references).sum(axis=1)
    if count < len(references):
        found = np.argpartition(closeness, -count, axis=1)[:, -count:]
    else:
        found = np.broadcast_to(np.arange(count), (len(queries), count))
    squared = np.empty(found.shape)
    for rank in range(count):
        difference = queries - references[found[:, rank]]
        squared[:, rank] = np.einsum("md,md->m", difference, difference)
    return np.sqrt(np.sort(squared, axis=1))


def _on_device(references, device):
    """As `_on_host` on a device, to which the references are sent once."""
    import torch

    sent = torch.as_tensor(references, device=device)
    half = 0.5 * sent.square().sum(dim=1)

    def nearest(queries, _, count):
        given = torch.as_tensor(queries, device=device)
        found = (given @ sent.T - half).topk(count, dim=1, sorted=False).indices
        squared = [(given - sent[found[:, rank]]).square().sum(dim=1) for rank in range(count)]
        return torch.stack(squared, dim=1).sort(dim=1).values.sqrt().cpu().numpy()

    return nearest
