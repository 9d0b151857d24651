"""The losses, Eqs. 1–3, 5–8 (L_Flow, Eqs. 6–7, stands with the flow).

Symbols: t_i = `target`, y_{i,k} = `classes`, σ(g(f_FE(x_i))) = sigmoid of logits. Eq. 1 and Eq. 5 are the weighted sum
`total_loss` of the terms that Table 1 gives a system.
"""

import torch
from numpy.typing import ArrayLike
from torch.nn.functional import binary_cross_entropy_with_logits

from lib.network.batch import Batch
from lib.network.extractor import MachineModel, Outputs
from lib.network.flow import flow_loss
from lib.network.sent import SentBatch
from lib.settings import Settings
from lib.systems import System


def machine_loss(logits: torch.Tensor, target: ArrayLike) -> torch.Tensor:
    """L_machine (Eq. 2): binary cross entropy between the target machine and the others, mean over the batch.

    Args:
        logits: (n,) g_machine(f_FE(x)).
        target: (n,) t in [0, 1]; 1 target machine, 0 pseudo-anomalous, between them for mixed clips.
    """
    return binary_cross_entropy_with_logits(logits.float(), _like(target, logits))


def attribute_loss(logits: torch.Tensor, classes: ArrayLike, known: ArrayLike) -> torch.Tensor:
    """L_att (Eq. 8): binary cross entropy over K attribute values, mean over batch × K.

    Args:
        logits: (n, K) g_att(f_FE(x)).
        classes: (n, K) y^att, one-hot, all zero for pseudo-anomalous clips, mixed linearly.
        known: (n,) 1; 0 for a target-machine clip that lacks the attribute, which adds nothing.
    """
    return (_entropy(logits, classes) * _like(known, logits)[:, None]).sum() / logits.numel()


def section_loss(logits: torch.Tensor, classes: ArrayLike, target: ArrayLike) -> torch.Tensor:
    """L_section (Eq. 3): as L_att over K sections, but only the target machine's share t_i of a clip counts.

    Args:
        logits: (n, K) g_section(f_FE(x)). classes: (n, K) y. target: (n,) t.
    """
    weights = _like(target, logits)
    total = (_entropy(logits, classes) * weights[:, None]).sum()
    return total / (logits.shape[1] * weights.sum()).clamp_min(1e-12)


def _entropy(logits, classes):
    return binary_cross_entropy_with_logits(logits.float(), _like(classes, logits), reduction="none")


def _like(values, logits):
    return torch.as_tensor(values, dtype=torch.float32, device=logits.device)


def _second_task(model, outputs, batch):
    logits = outputs.class_logits
    if logits is None:  # fewer than two values to tell apart
        return outputs.logits.new_zeros(())
    classes = batch.classes(logits.shape[1])
    if model.second_task == "section":
        return section_loss(logits, classes, batch.target)
    return attribute_loss(logits, classes, batch.known)


def _flow(model, outputs, batch):
    """L_Flow over the clips without a pseudo-anomalous component; a batch without one adds nothing."""
    places, counts, position = batch.modelled
    if not len(places):
        return outputs.logits.new_zeros(())
    maps = outputs.feature_map.index_select(0, torch.as_tensor(places, device=outputs.logits.device))
    maps = maps.detach() if model.flow.detached else maps
    return flow_loss(model.flow, maps, _like(position, maps), counts)


TERMS = {
    "machine": lambda model, outputs, batch: machine_loss(outputs.logits, batch.target),
    "attribute": _second_task,
    "flow": _flow,
}


def term_weights(system: System, settings: Settings) -> dict[str, float]:
    """{term: λ} of a `systems.System`: λ_section (Eq. 1), λ_Flow (Eq. 5), and 1 for every other term."""
    weights = {"attribute": settings.training.attribute_weight, "flow": settings.flow.weight}
    return {name: weights.get(name, 1.0) for name in system.losses}


def flow_share(
    model: MachineModel, outputs: Outputs, batch: Batch | SentBatch, weights: dict[str, float], loss: torch.Tensor
) -> torch.Tensor:
    """How much of the extractor's gradient is L_Flow's, a 0-d tensor.

    ‖g_Flow‖ / (‖g_Flow‖ + ‖g − g_Flow‖), g of the whole loss.

    Args:
        model, outputs, batch, weights: as `total_loss`. loss: what that returned, its graph still there.
    """
    parameters = list(model.extractor.parameters())
    flow = weights["flow"] * TERMS["flow"](model, outputs, batch)
    if not flow.requires_grad:
        return loss.new_zeros(())  # no clip of the batch is modelled
    parts = torch.autograd.grad(flow, parameters, retain_graph=True, allow_unused=True)
    whole = torch.autograd.grad(loss, parameters, retain_graph=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in zip(parts, parameters, strict=True)]
    own, rest = (
        torch.stack([g.norm() for g in gradients]).norm()
        for gradients in (parts, [w - g for w, g in zip(whole, parts, strict=True)])
    )
    return own / (own + rest).clamp_min(1e-30)


def total_loss(
    model: MachineModel, outputs: Outputs, batch: Batch | SentBatch, weights: dict[str, float]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The weighted sum of a system's terms (Eqs. 1 and 5), and each term by name.

    Args:
        model: `extractor.MachineModel`. outputs: what it returned for `batch`.
        batch: `Batch`, or one that was sent.
        weights: {term: weight}.

    Returns:
        scalar tensor, {term: detached scalar tensor}.
    """
    terms = {name: TERMS[name](model, outputs, batch) for name in weights}
    return sum(weights[name] * term for name, term in terms.items()), {n: t.detach() for n, t in terms.items()}
