"""The feature extractor f_FE and its head g_machine.

Paper: Sec. 4.2, ResNet-18 (He et al., arXiv:1512.03385), here timm's `resnet18` with one input channel and without
its classifier. For 5 s at the paper's front end the map x^FE is (512, 7, 10); its mean is the embedding, (512,).
"""

from typing import NamedTuple

import torch
from torch import nn

from lib.torchvision_pair import timm

DIMENSIONS = 512


class Extractor(nn.Module):
    """f_FE: (n, 1, mels, frames) → the map (n, 512, height, width)."""

    def __init__(self, pretrained=False):
        super().__init__()
        self.network = timm.create_model("resnet18", pretrained=pretrained, in_chans=1, num_classes=0)

    def forward(self, mel):
        return self.network.forward_features(mel)

    @staticmethod
    def embed(feature_map):
        """(n, 512, height, width) → embeddings (n, 512), float32."""
        return feature_map.float().mean(dim=(2, 3))


class Outputs(NamedTuple):
    """What a `MachineModel` gives for n inputs."""

    embedding: torch.Tensor  # (n, 512) float32
    logits: torch.Tensor  # (n,) float32, g_machine


class NormHead(nn.Module):
    """g_machine of Serial-OE (Sec. 2): an affine function of the embedding's norm."""

    def __init__(self):
        super().__init__()
        self.affine = nn.Linear(1, 1)

    def forward(self, embedding):
        """(n, 512) → (n, 1) logits."""
        return self.affine(embedding.norm(dim=1, keepdim=True))


class MachineModel(nn.Module):
    """f_FE with g_machine: what one system trains for one machine."""

    def __init__(self, pretrained=False, machine_head="linear"):
        super().__init__()
        self.extractor = Extractor(pretrained)
        self.machine_head = NormHead() if machine_head == "norm" else nn.Linear(DIMENSIONS, 1)

    def forward(self, mel):
        """(n, 1, mels, frames) → `Outputs`."""
        embedding = Extractor.embed(self.extractor(mel))
        with torch.autocast(mel.device.type, enabled=False):
            return Outputs(embedding, self.machine_head(embedding).squeeze(1))
