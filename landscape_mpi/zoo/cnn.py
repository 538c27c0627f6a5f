"""Build small convolutional networks, of a size for handwritten digits."""

from __future__ import annotations

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

WIDTHS = (16, 32, 64)  # channels of the convolutions


class Cnn(nn.Module):
    """Apply 3x3 convolutions, each with a rectifier and a halving; then a linear classifier.

    Args:
        n_convolutions: 1 to 3.
        n_channels: Number of channels of the images.
        size: Height and width of the images.
        n_classes: Number of outputs.

    Raises:
        InputError: If nothing is left of the images after the last convolution.
    """

    def __init__(
        self, n_convolutions: int, *, n_channels: int, size: tuple[int, int], n_classes: int
    ) -> None:
        super().__init__()
        height, width = (length // 2**n_convolutions for length in size)
        if height * width == 0:
            raise InputError(
                f"halves images {n_convolutions} times, and nothing would be left of these images "
                f"of {size[0]} x {size[1]} pixels. Enlarge them."
            )
        self.convolutions = nn.Sequential()
        for n_in, n_out in zip((n_channels, *WIDTHS), WIDTHS[:n_convolutions], strict=False):
            self.convolutions.append(nn.Conv2d(n_in, n_out, 3, padding=1))
            self.convolutions.append(nn.ReLU())
            self.convolutions.append(nn.MaxPool2d(2))
        self.linear = nn.Linear(WIDTHS[n_convolutions - 1] * height * width, n_classes)
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for images [n, n_channels, height, width]."""
        return self.linear(self.convolutions(x).flatten(1))


def _build(name: str, sample: Sample) -> nn.Module:
    n_channels, height, width = sample.shape
    n_convolutions = int(name.removeprefix("cnn"))
    images = {"n_channels": n_channels, "n_classes": sample.n_classes}
    return Cnn(n_convolutions, size=(height, width), **images)


FAMILY = Family(
    names=("cnn1", "cnn3"),
    kinds=("image",),
    build=_build,
    words="one or three convolutions, for digits",
)
