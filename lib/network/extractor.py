"""The feature extractor f_FE and its heads g_machine and g_att; `MachineModel` adds the flow.

Paper: Sec. 4.2, ResNet-18 (He et al., arXiv:1512.03385), here timm's `resnet18` with one input channel and without
its classifier. For 5 s at the paper's front end the map x^FE is (512, 7, 10); its mean is the embedding, (512,).
"""

from typing import NamedTuple

import torch
from torch import nn

from lib.network.torchvision_pair import timm

DIMENSIONS = 512


def map_size(mels: int, frames: int, stride: int = 32) -> tuple[int, int]:
    """Height and width of the map for an input of that size; `stride` is the network's, in bands and in frames.

    >>> map_size(224, 313)
    (7, 10)
    """
    return -(-mels // stride), -(-frames // stride)


class Extractor(nn.Module):
    """f_FE: (n, channels, mels, frames) → the map (n, 512, height, width).

    A stride of 16 in place of 32 dilates the last stage, whose weights are the same, and makes the map twice as fine.
    """

    def __init__(self, pretrained: bool = False, channels: int = 1, stride: int = 32):
        super().__init__()
        self.network = timm.create_model(
            "resnet18", pretrained=pretrained, in_chans=channels, num_classes=0, output_stride=stride
        )

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return self.network.forward_features(mel)

    @staticmethod
    def embed(feature_map: torch.Tensor) -> torch.Tensor:
        """(n, 512, height, width) → embeddings (n, 512), float32."""
        return feature_map.float().mean(dim=(2, 3))


class Outputs(NamedTuple):
    """What a `MachineModel` gives for n inputs."""

    embedding: torch.Tensor  # (n, 512) float32
    logits: torch.Tensor  # (n,) float32, g_machine
    class_logits: torch.Tensor | None  # (n, K) float32, g_att; None without a second task
    feature_map: torch.Tensor  # (n, 512, height, width), x^FE


class NormHead(nn.Module):
    """g_machine of Serial-OE (Sec. 2): an affine function of the embedding's norm."""

    def __init__(self):
        super().__init__()
        self.affine = nn.Linear(1, 1)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """(n, 512) → (n, 1) logits."""
        return self.affine(embedding.norm(dim=1, keepdim=True))


class MachineModel(nn.Module):
    """f_FE with its heads and its flow: what one system trains for one machine.

    Args:
        pretrained: timm's ImageNet weights. machine_head: "linear" or "norm".
        classes: K of g_att; 0 without it.
        second_task: "attribute" (Eq. 8) or "section" (Eq. 3), what the classes are.
        flow: `flow.Flow`, or None.
        stride: of the extractor, 32 or 16.
    """

    def __init__(
        self,
        pretrained: bool = False,
        machine_head: str = "linear",
        classes: int = 0,
        second_task: str = "attribute",
        flow: nn.Module | None = None,
        stride: int = 32,
    ):
        super().__init__()
        self.extractor = Extractor(pretrained, stride=stride)
        self.machine_head = NormHead() if machine_head == "norm" else nn.Linear(DIMENSIONS, 1)
        self.class_head = nn.Linear(DIMENSIONS, classes) if classes else None
        self.second_task, self.flow = second_task, flow

    def forward(self, mel: torch.Tensor) -> Outputs:
        """(n, 1, mels, frames) → `Outputs`; the flow is not run."""
        feature_map = self.extractor(mel)
        embedding = Extractor.embed(feature_map)
        with torch.autocast(mel.device.type, enabled=False):
            classes = None if self.class_head is None else self.class_head(embedding)
            return Outputs(embedding, self.machine_head(embedding).squeeze(1), classes, feature_map)
