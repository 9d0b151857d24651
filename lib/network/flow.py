"""The normalizing flow f_Flow on the feature map: FastFlow (Yu et al., arXiv:2111.07677) of nflows couplings.

Paper: Eqs. 6–7, Sec. 3 and, for the domain-invariant latent z_d and z_c, Sec. 3.1. Differs from FastFlow's code in its
parts (nflows' transforms), not in its shape: affine coupling steps whose convolutions have 3 × 3 and 1 × 1 kernels in
turn. Everything is float32: bfloat16 moves the log-determinant by hundreds of nats.
"""

import math
from collections.abc import Callable

import torch
from nflows.transforms import AffineCouplingTransform, CompositeTransform, RandomPermutation, Transform
from torch import nn

from lib.settings import Flow as FlowSettings

LOG_TWO_PI = math.log(2 * math.pi)


class SoftClampCoupling(AffineCouplingTransform):
    """Affine coupling y = x·e^s + t whose log-scale s stays in ± clamp, so that it can expand and contract.

    nflows' own scale, sigmoid(s + 2), is below 1 and can only contract.
    """

    def __init__(self, features: int, subnet: Callable[[int, int], nn.Module], clamp: float):
        """`features` channels, the first half conditions the second; `subnet(inputs, outputs)` makes the network."""
        super().__init__((torch.arange(features) >= features // 2).int(), subnet)
        self.clamp = clamp

    def forward(self, inputs: torch.Tensor, context: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """As nflows', the same numbers: its lists of channels, slower than slices, are two halves here."""
        identity, moved = inputs.split([self.num_identity_features, self.num_transform_features], dim=1)
        moved, logabsdet = self._coupling_transform_forward(moved, self.transform_net(identity, context))
        return torch.cat([identity, moved], dim=1), logabsdet

    def _scale_and_shift(self, transform_params):
        shift, log_scale = transform_params.split(self.num_transform_features, dim=1)
        return torch.exp(self.clamp * 0.636 * torch.atan(log_scale / self.clamp)), shift  # 0.636 ≈ 2/π


class ChannelAffine(Transform):
    """y = x·e^s + b, learned for each channel, the identity at first (a dead channel breaks nflows' ActNorm)."""

    def __init__(self, features: int):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(features, 1, 1))
        self.shift = nn.Parameter(torch.zeros(features, 1, 1))

    def forward(self, inputs: torch.Tensor, context: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs * self.log_scale.exp() + self.shift, self._logabsdet(inputs)

    def inverse(self, inputs: torch.Tensor, context: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        return (inputs - self.shift) * (-self.log_scale).exp(), -self._logabsdet(inputs)

    def _logabsdet(self, inputs):
        return (self.log_scale.sum() * inputs[0, 0].numel()).expand(len(inputs))


class Subnet(nn.Sequential):
    """conv–ReLU–conv of one coupling step; takes nflows' unused `context`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, hidden_ratio: float):
        hidden = max(1, round(hidden_ratio * inputs))
        super().__init__(
            nn.Conv2d(inputs, hidden, kernel, padding="same"),
            nn.ReLU(),
            nn.Conv2d(hidden, outputs, kernel, padding="same"),
        )

    def forward(self, inputs: torch.Tensor, context: None = None) -> torch.Tensor:
        return super().forward(inputs)


class Flow(nn.Module):
    """f_Flow: (n, channels, height, width) → latent of the same shape and log |det ∂z/∂x|.

    Args:
        channels: of the feature map, 512.
        settings: `settings.Flow`.
        invariant: whether the first `settings.invariant_channels` latent channels are z_d (Sec. 3.1).
    """

    def __init__(self, channels: int, settings: FlowSettings, invariant: bool = False):
        super().__init__()
        self.domain_channels = settings.invariant_channels if invariant else 0
        self.score_logdet, self.detached = settings.score_logdet, settings.detached
        steps = []
        for i in range(settings.steps):
            kernel = 1 if i % 2 else 3
            steps += [
                RandomPermutation(channels),
                SoftClampCoupling(
                    channels, lambda n, m, kernel=kernel: Subnet(n, m, kernel, settings.hidden_ratio), settings.clamp
                ),
                ChannelAffine(channels),
            ]
        self.transform = CompositeTransform(steps)

    def forward(self, feature_map: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, channels, height, width) → z of that shape, (n,) log-determinant; never in autocast's bfloat16."""
        with torch.autocast(feature_map.device.type, enabled=False):
            return self.transform(feature_map if feature_map.dtype == torch.float64 else feature_map.float())

    def inverse(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z → feature map, (n,) log-determinant of the inverse."""
        with torch.autocast(latent.device.type, enabled=False):
            return self.transform.inverse(latent)

    def log_prob(self, latent: torch.Tensor, position: torch.Tensor | None = None) -> torch.Tensor:
        """log p_Z(z) of the whole latent: z_c ~ N(0, 1), z_d ~ N(kv, 1) at every position of the map.

        Args:
            latent: (n, channels, height, width).
            position: (n,) kv of each clip; NaN where the clip lacks the parameter, whose z_d then adds nothing.

        Returns:
            (n,) nats.
        """
        conditioned, common = latent[:, : self.domain_channels], latent[:, self.domain_channels :]
        log_prob = _standard_normal(common).sum(dim=(1, 2, 3))
        if self.domain_channels:
            known = ~position.isnan()
            offset = conditioned - torch.where(known, position, 0)[:, None, None, None]
            log_prob = log_prob + torch.where(known, _standard_normal(offset).sum(dim=(1, 2, 3)), 0)
        return log_prob

    def score_map(self, feature_map: torch.Tensor) -> torch.Tensor:
        """h = −log p_Z(z_c) (Sec. 3), summed over channels at each position, without the log-determinant.

        With `settings.score_logdet` the log-determinant is subtracted, in equal parts from every position.

        Returns:
            (n, height, width) nats, larger is more anomalous.
        """
        latent, logabsdet = self(feature_map)
        score = -_standard_normal(latent[:, self.domain_channels :]).sum(dim=1)
        if self.score_logdet:
            score = score - (logabsdet / score[0].numel())[:, None, None]
        return score


def _standard_normal(values):
    return -0.5 * (values.square() + LOG_TWO_PI)


def flow_loss(
    flow: Flow, feature_map: torch.Tensor, position: torch.Tensor | None = None, counts: torch.Tensor | None = None
) -> torch.Tensor:
    """L_Flow (Eqs. 6–7): negative log-likelihood of the map, summed over channels and positions, mean over clips.

    Args:
        flow: `Flow`. feature_map: (n, channels, height, width), n ≥ 1, of clips without a pseudo-anomalous component.
        position: (n,) kv, for an invariant latent.
        counts: (n,) 1 for a clip that counts, 0 for one that does not; None: all do.

    Returns:
        scalar, nats; 0 where no clip counts.
    """
    latent, logabsdet = flow(feature_map)
    likelihood = flow.log_prob(latent, position) + logabsdet
    if counts is None:
        return -likelihood.mean()
    return -(counts * likelihood).sum() / counts.sum().clamp_min(1)
