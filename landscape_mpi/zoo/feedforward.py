"""Feed-forward networks of any depth, with a skip from one layer to a later one or none."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.initial_weights import draw_initial_weights

DEEPEST = 1000


class FeedForward(nn.Module):
    """Linear layers with rectifiers between them; what a sample has is one vector.

    Args:
        depth: Layers with weights, the last of which gives the logits.
        width: Units of each layer but the last.
        skip: ``(first, last)``: the output of layer first is added to what the rectifier of
            layer last is given; layers count from 1.
        n_features: Numbers of a sample.
        n_classes: Outputs.

    Raises:
        InputError: If depth or skip are none.
    """

    def __init__(
        self,
        depth: int,
        *,
        width: int,
        skip: tuple[int, int] | None = None,
        n_features: int,
        n_classes: int,
    ) -> None:
        super().__init__()
        _check(depth, skip)
        self.skip = skip
        sizes = [n_features, *[width] * (depth - 1), n_classes]
        self.layers = nn.ModuleList(nn.Linear(n_in, n_out) for n_in, n_out in pairwise(sizes))
        self.apply(draw_initial_weights)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, n_classes] for samples [n, ...] of n_features numbers."""
        x = x.flatten(1)
        first, last = self.skip or (0, 0)
        kept = x
        for i, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if i == last:
                x = x + kept
            if i < len(self.layers):
                x = functional.relu(x)
            if i == first:
                kept = x
        return x


def _check(depth: int, skip: tuple[int, int] | None) -> None:
    """Check the shape of the network.

    Raises:
        InputError: If depth or skip are none.
    """
    if not 1 <= depth <= DEEPEST:
        raise InputError(f"a network of {depth} layers; it must have 1 to {DEEPEST:,}.")
    if skip is not None and not 1 <= skip[0] < skip[1] < depth:
        raise InputError(
            f"a skip from layer {skip[0]} to layer {skip[1]} of {depth}. It goes from a layer to a "
            "later one, neither of them the last, which gives the logits."
        )
