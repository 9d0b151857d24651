"""Makes `import torchvision` (which timm needs) work where a CPU torch meets a CUDA torchvision wheel.

That wheel's compiled part does not load, so the operators `torchvision::nms` and `::qnms` are missing and its Python
part stops when it registers their shapes. Declaring the two schemas first lets the Python part, all that timm uses,
be imported. With a matching pair this module does nothing.
"""

import torch

SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> "torch.library.Library | None":
    """Import torchvision; returns the `torch.library.Library` that had to be declared, or None with a matching pair."""
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    import torchvision  # noqa: F401

    return library


LIBRARY = import_torchvision()

import timm  # noqa: E402, F401  from here, so that it always comes after the repair
