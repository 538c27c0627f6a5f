"""Find the filters of weights: the entries that make one output channel, by kind of layer.

If one channel is multiplied by a number and a later layer undoes it, the function stays the same.
Directions that are normalised filter by filter then show the same surface. So a filter must contain
all entries that make one output channel, along whichever axis the layer keeps its channels.

Source: Li et al. 2018, arXiv:1712.09913, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils.parametrize import ParametrizationList

from landscape_mpi.compute.norms import class_of, is_vector, layer_name

CHANNELS, UNITS, ROWS, FEATURES = "output channels", "output units", "rows", "output features"
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
ALONG_FIRST: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.conv._ConvNd, CHANNELS),  # checked after the transposed ones
    (nn.Linear, UNITS),
    (nn.Bilinear, UNITS),
    (nn.MultiheadAttention, UNITS),  # separate rows for query, key and value
    (nn.RNNBase, UNITS),  # separate rows for each gate
    (nn.RNNCellBase, UNITS),
    (nn.Embedding, ROWS),
    (nn.EmbeddingBag, ROWS),
)
# Weights that layers compute from other parameters: weight norm, spectral norm, pruning.
SUFFIXES = ("_orig", "_g", "_v")


@dataclass(frozen=True)
class Filters:
    """Describe how the entries of a tensor are divided into filters."""

    axes: tuple[int, ...]  # axes that index the filters; empty if the tensor is one filter
    groups: int = 1  # number of parts of the first axis with separate filters
    words: str = ""

    @property
    def description(self) -> str:
        """Describe the filters and their axes in words."""
        axes = " and ".join(str(axis) for axis in self.axes)
        groups = "" if self.groups == 1 else f" in {self.groups} groups"
        return f"{self.words}, {'axes' if len(self.axes) > 1 else 'axis'} {axes}{groups}"

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Return the Euclidean norm of each entry's filter, shaped to broadcast to the values."""
        if self.groups == 1:
            others = tuple(axis for axis in range(values.ndim) if axis not in self.axes)
            found: np.ndarray = np.sqrt((values**2).sum(axis=others, keepdims=True))
            return found
        parts = values.reshape(self.groups, -1, *values.shape[1:])
        inner = Filters((0, *(axis + 1 for axis in self.axes))).lengths(parts)
        return np.broadcast_to(inner, (*parts.shape[:2], *inner.shape[2:])).reshape(
            values.shape[0], *inner.shape[2:]
        )

    def with_lengths(self, values: np.ndarray, lengths: np.ndarray | float) -> np.ndarray:
        """Scale each filter to a norm; a filter of zeros stays zero.

        Args:
            values: Float64, any shape.
            lengths: Norms as lengths() returns them, or one norm for all.
        """
        own = self.lengths(values)
        return values * np.divide(lengths, own, out=np.zeros_like(own), where=own > 0)

    @property
    def whole(self) -> Filters:
        """Return the description of a tensor that is one filter."""
        return WHOLE


WHOLE = Filters(())
FIRST = Filters((0,), words="its first axis")


def filters_like(values: np.ndarray) -> Filters:
    """Return the filters of a tensor of unknown kind: along its first axis; none for a vector."""
    return FIRST if values.ndim > 1 else WHOLE


@dataclass(frozen=True)
class LayerFilters:
    """Hold the filters of a parameter, and the layer that owns it."""

    layer: str  # class of the layer
    filters: Filters


def find_filters(network: nn.Module, tried: Mapping[str, Filters]) -> dict[str, LayerFilters]:
    """Return the filters of every parameter.

    Args:
        network: Network that owns the parameters.
        tried: Filters that a trial has found for parameters that no known layer owns.

    Returns:
        Filters by the first name of the parameter; a shared parameter has its first owner's.
    """
    found: dict[str, LayerFilters] = {}
    for name, weight, layer, tensor in owned_parameters(network):
        filters = of_known_layer(layer, tensor, weight) or tried.get(name) or _of_unknown(weight)
        found[name] = LayerFilters(layer_name(layer), filters)
    return found


def _of_unknown(weight: torch.Tensor) -> Filters:
    return WHOLE if is_vector(weight) or weight.shape[0] == 1 else FIRST


def owned_parameters(
    network: nn.Module,
) -> Iterator[tuple[str, nn.Parameter, nn.Module, str]]:
    """Yield each parameter with its first name, the layer that owns it, and its name there.

    A parameter from which a weight is computed (weight norm, spectral norm, pruning) counts as
    that weight.
    """
    modules = dict(network.named_modules())
    for name, parameter in network.named_parameters():
        prefix, _, tensor = name.rpartition(".")
        layer = modules[prefix]
        if isinstance(layer, ParametrizationList):
            owner, _, tensor = prefix.rpartition(".")
            layer = modules[owner.rpartition(".")[0] if "." in owner else ""]
        yield name, parameter, layer, _without_suffix(tensor, layer)


def _without_suffix(tensor: str, layer: nn.Module) -> str:
    for suffix in SUFFIXES:
        plain = tensor.removesuffix(suffix)
        if plain != tensor and hasattr(layer, plain):
            return plain
    return tensor


def of_known_layer(layer: nn.Module, tensor: str, weight: torch.Tensor) -> Filters | None:
    """Return the filters of a weight by the kind of its layer; None if the kind has none.

    Args:
        layer: The layer.
        tensor: Name of the weight in it.
        weight: The weight, or the parameter that it is computed from.
    """
    if "weight" not in tensor or weight.ndim < 2:
        return None
    if issubclass(class_of(layer), TRANSPOSED):
        groups = int(layer.groups)  # type: ignore[arg-type]
        return Filters((1,), groups if weight.shape[0] % groups == 0 else 1, CHANNELS)
    if layer_name(layer) == "Conv1D" and hasattr(layer, "nf"):  # GPT-2's layer in transformers
        return Filters((1,), words=FEATURES)
    for kind, words in ALONG_FIRST:
        if issubclass(class_of(layer), kind):
            return Filters((0,), words=words)
    return None
