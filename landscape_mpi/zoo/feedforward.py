"""Build feed-forward networks of any depth, with or without a skip to a later layer."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family
from landscape_mpi.zoo.initial_weights import draw_initial_weights

DEEPEST = 1000
WIDTH, SEISMIC_WIDTH = 128, 32  # number of units in the hidden layers
NAME = r"feedforward([0-9]{1,9})(?:_skip([0-9]{1,9})_([0-9]{1,9}))?"


class FeedForward(nn.Module):
    """Apply linear layers with rectifiers between them; a sample is flattened to one vector.

    Args:
        depth: Number of layers with weights; the last one gives the logits.
        width: Number of units of each layer except the last.
        skip: ``(first, last)``: the output of layer first is added to the input of layer last's
            rectifier; layers count from 1.
        n_features: Number of values in a sample.
        n_classes: Number of outputs.

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
    """Check depth and skip of the network.

    Raises:
        InputError: If depth or skip are none.
    """
    if not 1 <= depth <= DEEPEST:
        raise InputError(f"a network of {depth} layers; a network must have 1 to {DEEPEST:,}.")
    if skip is not None and not 1 <= skip[0] < skip[1] < depth:
        raise InputError(
            f"a skip from layer {skip[0]} to layer {skip[1]} of {depth}. A skip goes from a layer "
            "to a later one; neither may be the last one, which gives the logits."
        )


def _build(name: str, sample: Sample) -> nn.Module:
    match = re.fullmatch(NAME, name)
    assert match is not None  # because the name belongs to the family
    depth, first, last = match.groups()
    skip = None if first is None else (int(first), int(last))
    return _on_vectors(sample, depth=int(depth), width=WIDTH, skip=skip)


def _build_seismic(name: str, sample: Sample) -> nn.Module:
    n_hidden = int(name.removeprefix("seismic"))
    return _on_vectors(sample, depth=n_hidden + 1, width=SEISMIC_WIDTH)


def _on_vectors(
    sample: Sample, *, depth: int, width: int, skip: tuple[int, int] | None = None
) -> FeedForward:
    vectors = {"n_features": math.prod(sample.shape), "n_classes": sample.n_classes}
    return FeedForward(depth, width=width, skip=skip, **vectors)


FAMILY = Family(
    names=("feedforward16", "feedforward16_skip2_14"),
    kinds=("image", "table"),
    build=_build,
    words="layers of 128 units, for images or tables; any depth, and a skip from any layer to a "
    "later one",
    pattern=NAME,
    forms=("feedforwardDEPTH", "feedforwardDEPTH_skipFIRST_LAST"),
)
SEISMIC = Family(
    names=("seismic1", "seismic3"),
    kinds=("table",),
    build=_build_seismic,
    words="one or three hidden layers of 32 units, for tables",
)
