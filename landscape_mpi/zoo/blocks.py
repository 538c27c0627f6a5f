"""Build blocks of residual networks: two or three convolutions with or without a shortcut."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

SHORTCUTS = ("projection", "pad", "none")


class PadShortcut(nn.Module):
    """Shortcut a block without parameters: take every stride-th pixel; new channels are zero.

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


def make_shortcut(kind: str, n_in: int, n_out: int, stride: int) -> nn.Module | None:
    """Return the shortcut around a block: one of SHORTCUTS, the identity where shapes agree."""
    if kind == "none":
        return None
    if stride == 1 and n_in == n_out:
        return nn.Identity()
    return (PadShortcut if kind == "pad" else projection_shortcut)(n_in, n_out, stride)


class BasicBlock(nn.Module):
    """Apply two 3x3 convolutions with batch-norm."""

    expansion = 1  # output channels per unit of width

    def __init__(self, n_in: int, width: int, stride: int, *, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = make_shortcut(shortcut, n_in, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + shortcut(x)), or relu(F(x)) without one."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return functional.relu(y if self.shortcut is None else y + self.shortcut(x))


class Bottleneck(nn.Module):
    """Apply 1x1, 3x3 and 1x1 convolutions with batch-norm; the output is four times as wide."""

    expansion = 4

    def __init__(self, n_in: int, width: int, stride: int, *, shortcut: str) -> None:
        super().__init__()
        n_out = self.expansion * width
        self.conv1 = nn.Conv2d(n_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.shortcut = make_shortcut(shortcut, n_in, n_out, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(F(x) + shortcut(x)), or relu(F(x)) without one."""
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y if self.shortcut is None else y + self.shortcut(x))
