"""Build densely connected networks for small images.

Source: Huang et al. 2016, arXiv:1608.06993, bottlenecks and compression (DenseNet-BC).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

BLOCKS_OF_121 = (6, 12, 24, 16)  # number of layers of each block
GROWTH = 32  # number of channels that a layer adds


class DenseLayer(nn.Module):
    """Add channels by batch-norm, rectifier and convolution, 1x1 then 3x3; keep the others."""

    def __init__(self, n_in: int, growth: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, n_in + growth, height, width]."""
        y = self.conv1(functional.relu(self.bn1(x)))
        y = self.conv2(functional.relu(self.bn2(y)))
        return torch.cat([x, y], dim=1)


class Transition(nn.Module):
    """Halve the channels by batch-norm, rectifier and 1x1 convolution; then halve the image."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(n_in)
        self.conv = nn.Conv2d(n_in, n_in // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, n_in / 2, height / 2, width / 2]."""
        return functional.avg_pool2d(self.conv(functional.relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """Apply a stem, blocks with transitions, mean over the image, and a linear classifier.

    Args:
        n_layers: Number of layers of each block.
        growth: Number of channels that a layer adds.
        n_channels: Number of channels of the images.
        n_classes: Number of outputs.
    """

    def __init__(
        self,
        n_layers: Sequence[int] = BLOCKS_OF_121,
        *,
        growth: int = GROWTH,
        n_channels: int,
        n_classes: int,
    ) -> None:
        super().__init__()
        width = 2 * growth
        self.conv = nn.Conv2d(n_channels, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential()
        for i, n in enumerate(n_layers):
            if i > 0:
                self.blocks.append(Transition(width))
                width //= 2
            for _ in range(n):
                self.blocks.append(DenseLayer(width, growth))
                width += growth
        self.bn = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, n_classes)
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        x = functional.relu(self.bn(self.blocks(self.conv(x))))
        return self.linear(x.mean(dim=(2, 3)))


def _build(name: str, sample: Sample) -> nn.Module:
    return DenseNet(n_channels=sample.shape[0], n_classes=sample.n_classes)


FAMILY = Family(
    names=("densenet121",),
    kinds=("image",),
    build=_build,
    words="densely connected, with a stem for small images",
)
