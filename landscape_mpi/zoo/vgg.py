"""Build plain convolutional networks: 3x3 convolutions, halved images, linear layers.

Source: Simonyan and Zisserman 2014, arXiv:1409.1556; nine layers with batch-norm: Li et al. 2018,
arXiv:1712.09913; sixteen layers for small images: Garipov et al. 2018, arXiv:1802.10026.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

STAGES_OF_9 = ((64, 64), (128, 128), (256, 256, 256))  # channels of the convolutions
STAGES_OF_16 = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
N_HIDDEN = 512  # units of the linear layers in vgg16
DROPOUT = 0.5


class Vgg(nn.Module):
    """Apply stages of convolutions that each halve the image, then linear layers."""

    def __init__(self, features: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        return self.classifier(self.features(x).flatten(1))


def vgg9(*, n_channels: int, size: tuple[int, int], n_classes: int) -> Vgg:
    """Return a network of seven convolutions and two linear layers, with batch-norm."""
    n_features = _count_features(STAGES_OF_9, size)
    classifier = nn.Sequential(
        nn.Linear(n_features, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, n_classes)
    )
    return Vgg(_convolutions(STAGES_OF_9, n_channels, batch_norm=True), classifier)


def vgg16(*, batch_norm: bool, n_channels: int, size: tuple[int, int], n_classes: int) -> Vgg:
    """Return a network of thirteen convolutions and three linear layers; batch-norm is optional."""
    n_features = _count_features(STAGES_OF_16, size)
    classifier = nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(n_features, N_HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(N_HIDDEN, N_HIDDEN),
        nn.ReLU(),
        nn.Linear(N_HIDDEN, n_classes),
    )
    return Vgg(_convolutions(STAGES_OF_16, n_channels, batch_norm=batch_norm), classifier)


def _convolutions(
    stages: Sequence[Sequence[int]], n_channels: int, *, batch_norm: bool
) -> nn.Sequential:
    layers = nn.Sequential()
    n_in = n_channels
    for widths in stages:
        for n_out in widths:
            layers.append(nn.Conv2d(n_in, n_out, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(nn.ReLU())
            n_in = n_out
        layers.append(nn.MaxPool2d(2))
    return layers


def _count_features(stages: Sequence[Sequence[int]], size: tuple[int, int]) -> int:
    """Return how many values are left of an image after the stages.

    Raises:
        InputError: If none are left.
    """
    shrinkage = 2 ** len(stages)
    height, width = size
    if min(size) < shrinkage:
        raise InputError(
            f"halves images {len(stages)} times, so they must be at least {shrinkage} x "
            f"{shrinkage} pixels; these are {height} x {width}. Take a network for smaller images, "
            "or enlarge them."
        )
    return stages[-1][-1] * (height // shrinkage) * (width // shrinkage)


def _build(name: str, sample: Sample) -> nn.Module:
    n_channels, height, width = sample.shape
    if name == "vgg9":
        return vgg9(n_channels=n_channels, size=(height, width), n_classes=sample.n_classes)
    return vgg16(
        batch_norm=name.endswith("_bn"),
        n_channels=n_channels,
        size=(height, width),
        n_classes=sample.n_classes,
    )


FAMILY = Family(
    names=("vgg9", "vgg16", "vgg16_bn"),
    kinds=("image",),
    build=_build,
    words="convolutions followed by linear layers, without shortcuts; `vgg9` has batch-norm",
)
