"""Residual networks for small images, of depth 6n + 2.

Source: He et al. 2015, arXiv:1512.03385, section 4.2; Li et al. 2018, arXiv:1712.09913.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (16, 32, 64)  # channels of the three stages


class PadShortcut(nn.Module):
    """Shortcut without parameters: every stride-th pixel, new channels are zero.

    Source: He et al. 2015, option A; the zeros lie on both sides, as in published checkpoints.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.n_before = (n_out - n_in) // 2
        self.n_after = n_out - n_in - self.n_before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x [n, n_in, h, w] as [n, n_out, ceil(h / stride), ceil(w / stride)]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.n_before, self.n_after))


def projection_shortcut(n_in: int, n_out: int, stride: int) -> nn.Module:
    """Return a 1x1 convolution with batch-norm."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)
    )


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch-norm, and a shortcut around them."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, pad: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = (PadShortcut if pad else projection_shortcut)(n_in, n_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + shortcut(x))."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, three stages of n blocks, mean over the image, linear classifier.

    Args:
        depth: 6n + 2 layers with weights.
        pad: Shortcuts without parameters instead of projections, where the shape changes.
        n_channels: Channels of the images.
        n_classes: Outputs.

    Raises:
        ValueError: If depth is not 6n + 2.
    """

    def __init__(self, depth: int, *, pad: bool, n_channels: int, n_classes: int) -> None:
        super().__init__()
        n_blocks, rest = divmod(depth - 2, 6)
        if rest or n_blocks < 1:
            raise ValueError(f"a residual network has depth 6n + 2 with n >= 1, not {depth}")
        self.conv1 = nn.Conv2d(n_channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], n_blocks, stride=1, pad=pad)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], n_blocks, stride=2, pad=pad)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], n_blocks, stride=2, pad=pad)
        self.linear = nn.Linear(WIDTHS[2], n_classes)
        self.apply(_initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        # not adaptive pooling: its CUDA gradient adds in no fixed order, so training with
        # one seed would differ from run to run
        return self.linear(x.mean(dim=(2, 3)))


def _stage(n_in: int, n_out: int, n_blocks: int, *, stride: int, pad: bool) -> nn.Sequential:
    first = BasicBlock(n_in, n_out, stride, pad=pad)
    return nn.Sequential(
        first, *(BasicBlock(n_out, n_out, 1, pad=pad) for _ in range(n_blocks - 1))
    )


def _initialise(module: nn.Module) -> None:
    """Source: He et al. 2015, arXiv:1502.01852: variance 2 / fan-in."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
