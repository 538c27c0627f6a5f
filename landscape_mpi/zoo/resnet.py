"""Build residual networks for small images, with and without their shortcuts.

Source: He et al. 2015, arXiv:1512.03385; Li et al. 2018, arXiv:1712.09913.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.blocks import BasicBlock, Bottleneck
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

# Blocks per stage of the networks of He et al. for large images (their table 1)
BIG_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
SMALL_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
WIDENINGS = (2, 4, 8)
SUFFIXES = {"": "projection", "_noshort": "none", "_pad": "pad"}  # with their shortcuts
NAME = re.compile(r"(?:resnet|wrn)([0-9]+)(?:_([0-9]+))?(_noshort|_pad)?")


class ResNet(nn.Module):
    """Apply a stem, stages of blocks that halve the image from the second on, and a classifier.

    Args:
        n_blocks: Number of blocks in each stage.
        width: Channels of the stem and width of the first stage; each later stage doubles it.
        block: Kind of block.
        shortcut: One of blocks.SHORTCUTS: where the shape changes, 1x1 convolutions or padding
            without parameters; or no shortcut around any block.
        n_channels: Channels of the images.
        n_classes: Outputs.
    """

    def __init__(
        self,
        n_blocks: Sequence[int],
        *,
        width: int,
        block: type[BasicBlock] | type[Bottleneck],
        shortcut: str,
        n_channels: int,
        n_classes: int,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        n_in = width
        self.stages = [f"layer{i + 1}" for i in range(len(n_blocks))]  # as in published checkpoints
        for i, name in enumerate(self.stages):
            strides = [1 if i == 0 else 2] + [1] * (n_blocks[i] - 1)
            stage = nn.Sequential()
            for stride in strides:
                stage.append(block(n_in, width * 2**i, stride, shortcut=shortcut))
                n_in = block.expansion * width * 2**i
            self.add_module(name, stage)
        self.linear = nn.Linear(n_in, n_classes)
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        x = functional.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        # not adaptive pooling: its CUDA gradient sums in no fixed order, so training with one seed
        # would differ from run to run
        return self.linear(x.mean(dim=(2, 3)))


def small_resnet(
    depth: int,
    *,
    shortcut: str = "projection",
    widening: int = 1,
    n_channels: int,
    n_classes: int,
) -> ResNet:
    """Return a network for CIFAR with three stages of 16, 32 and 64 channels.

    Args:
        depth: Number of layers with weights, 6n + 2.
        shortcut: One of blocks.SHORTCUTS.
        widening: Factor of all widths, also of the stem's.
        n_channels: Channels of the images.
        n_classes: Outputs.

    Raises:
        ValueError: If depth is not 6n + 2.
    """
    n_blocks, rest = divmod(depth - 2, 6)
    if rest or n_blocks < 1:
        raise ValueError(f"a residual network has depth 6n + 2 with n >= 1, not {depth}")
    return ResNet(
        [n_blocks] * 3,
        width=16 * widening,
        block=BasicBlock,
        shortcut=shortcut,
        n_channels=n_channels,
        n_classes=n_classes,
    )


def big_resnet(
    depth: int, *, shortcut: str = "projection", n_channels: int, n_classes: int
) -> ResNet:
    """Return a network of four stages, beginning with 64 channels, and a stem for small images.

    Args:
        depth: 18 or 34 with basic blocks, 50 with bottlenecks.
        shortcut: One of blocks.SHORTCUTS.
        n_channels: Channels of the images.
        n_classes: Outputs.
    """
    return ResNet(
        BIG_STAGES[depth],
        width=64,
        block=Bottleneck if depth >= 50 else BasicBlock,
        shortcut=shortcut,
        n_channels=n_channels,
        n_classes=n_classes,
    )


def _build(name: str, sample: Sample) -> nn.Module:
    match = NAME.fullmatch(name)
    assert match is not None  # because the name belongs to the family
    depth, widening, suffix = int(match[1]), int(match[2] or 1), match[3] or ""
    images = {"n_channels": sample.shape[0], "n_classes": sample.n_classes}
    if depth in BIG_STAGES:
        return big_resnet(depth, shortcut=SUFFIXES[suffix], **images)
    return small_resnet(depth, shortcut=SUFFIXES[suffix], widening=widening, **images)


SMALL = Family(
    names=tuple(f"resnet{depth}{suffix}" for suffix in SUFFIXES for depth in SMALL_DEPTHS),
    kinds=("image",),
    build=_build,
    title="`resnet8` to `resnet110`",
    words="residual networks for small images, of 8, 14, 20, 32, 44, 56 or 110 layers, with "
    "1x1-convolution shortcuts; `resnet56_pad` and so on with parameter-free ones, "
    "`resnet56_noshort` without any",
)
BIG = Family(
    names=tuple(f"resnet{depth}{suffix}" for suffix in ("", "_noshort") for depth in BIG_STAGES),
    kinds=("image",),
    build=_build,
    title="`resnet18`, `resnet34`, `resnet50`",
    words="with four stages; also `_noshort`",
)
WIDE = Family(
    names=tuple(f"wrn56_{k}{suffix}" for suffix in ("", "_noshort") for k in WIDENINGS),
    kinds=("image",),
    build=_build,
    title="`wrn56_2`, `wrn56_4`, `wrn56_8`",
    words="ResNet-56, 2, 4 or 8 times as wide, stem included; also `_noshort`",
)
