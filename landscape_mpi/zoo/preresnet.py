"""Build residual networks that normalise before each convolution, deep or wide.

Source: He et al. 2016, arXiv:1603.05027; Zagoruyko and Komodakis 2016, arXiv:1605.07146; with
these depths in Garipov et al. 2018, arXiv:1802.10026.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

WIDTHS = (16, 32, 64)  # channels of the three stages


class PreBottleneck(nn.Module):
    """Apply 1x1, 3x3 and 1x1 convolutions; the output is four times as wide.

    If the shape changes, the shortcut is a 1x1 convolution of the block's input.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        width = n_out // 4
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.shortcut = _projection(n_in, n_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return F(x) + shortcut(x)."""
        y = self.conv1(functional.relu(self.bn1(x)))
        y = self.conv2(functional.relu(self.bn2(y)))
        y = self.conv3(functional.relu(self.bn3(y)))
        return y + self.shortcut(x)


class PreBasicBlock(nn.Module):
    """Apply two 3x3 convolutions.

    If the shape changes, the shortcut is a 1x1 convolution of the normalised input.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.shortcut = _projection(n_in, n_out, stride)
        self.is_projected = n_in != n_out or stride != 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return F(x) + shortcut(x)."""
        normalised = functional.relu(self.bn1(x))
        y = self.conv2(functional.relu(self.bn2(self.conv1(normalised))))
        return y + self.shortcut(normalised if self.is_projected else x)


class PreResNet(nn.Module):
    """Apply a stem, three stages of blocks, batch-norm, mean and a linear classifier.

    Args:
        n_blocks: Number of blocks in each stage.
        factor: Output channels of a block per channel in WIDTHS.
        block: Function that makes a block from its input channels, output channels and stride.
        n_channels: Number of channels of the images.
        n_classes: Number of outputs.
    """

    def __init__(
        self,
        n_blocks: int,
        *,
        factor: int,
        block: Callable[[int, int, int], nn.Module],
        n_channels: int,
        n_classes: int,
    ) -> None:
        super().__init__()
        n_in = WIDTHS[0]
        self.conv = nn.Conv2d(n_channels, n_in, 3, padding=1, bias=False)
        self.blocks = nn.Sequential()
        for width in WIDTHS:
            for i in range(n_blocks):
                stride = 2 if i == 0 and width != WIDTHS[0] else 1
                self.blocks.append(block(n_in, factor * width, stride))
                n_in = factor * width
        self.bn = nn.BatchNorm2d(n_in)
        self.linear = nn.Linear(n_in, n_classes)
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        x = functional.relu(self.bn(self.blocks(self.conv(x))))
        return self.linear(x.mean(dim=(2, 3)))


def deep_preresnet(depth: int, *, n_channels: int, n_classes: int) -> PreResNet:
    """Return a network of bottlenecks with depth 9n + 2."""
    return PreResNet(
        (depth - 2) // 9,
        factor=4,
        block=PreBottleneck,
        n_channels=n_channels,
        n_classes=n_classes,
    )


def wide_preresnet(depth: int, *, widening: int, n_channels: int, n_classes: int) -> PreResNet:
    """Return a network of wide basic blocks with depth 6n + 4; the stem is not widened."""
    return PreResNet(
        (depth - 4) // 6,
        factor=widening,
        block=PreBasicBlock,
        n_channels=n_channels,
        n_classes=n_classes,
    )


def _projection(n_in: int, n_out: int, stride: int) -> nn.Module:
    if n_in == n_out and stride == 1:
        return nn.Identity()
    return nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)


def _build(name: str, sample: Sample) -> nn.Module:
    images = {"n_channels": sample.shape[0], "n_classes": sample.n_classes}
    if name == "wrn28_10":
        return wide_preresnet(28, widening=10, **images)
    return deep_preresnet(int(name.removeprefix("preresnet")), **images)


FAMILY = Family(
    names=("wrn28_10", "preresnet110", "preresnet164"),
    kinds=("image",),
    build=_build,
    words="pre-activation residual networks: batch-norm before each convolution",
)
