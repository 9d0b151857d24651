"""The losses. Symbols: t_i = `target`, σ(g_machine(f_FE(x_i))) = sigmoid of `logits`."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits


def machine_loss(logits, target):
    """L_machine (Eq. 2): binary cross entropy between the target machine and the others, mean over the batch.

    Args:
        logits: (n,) g_machine(f_FE(x)).
        target: (n,) t in [0, 1]; 1 target machine, 0 pseudo-anomalous, between them for mixed clips.
    """
    target = torch.as_tensor(target, dtype=torch.float32, device=logits.device)
    return binary_cross_entropy_with_logits(logits.float(), target)


TERMS = {"machine": lambda outputs, batch: machine_loss(outputs.logits, batch.target)}


def total_loss(outputs, batch, weights):
    """The weighted sum of a system's terms, and each term by name.

    Args:
        outputs: what `extractor.MachineModel` returns.
        batch: `batches.Batch` that made them.
        weights: {term: weight}, as `systems.System.losses`.

    Returns:
        scalar tensor, {term: detached scalar tensor}.
    """
    terms = {name: TERMS[name](outputs, batch) for name in weights}
    return sum(weights[name] * term for name, term in terms.items()), {n: t.detach() for n, t in terms.items()}
