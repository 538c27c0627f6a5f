"""Fold batch-norm, and the directions, into the convolution or linear layer before it.

With batch-norm fixed, conv + batch-norm is linear in the conv's weight w and bias b:

    s * (conv(x, w) + b - mean) + shift = conv(x, s * w) + s * (b - mean) + shift,
    s = scale / sqrt(variance + eps),

so the folded center and the folded directions are computed once, and a point of the plane is folded
center + alpha * folded direction + beta * folded direction. If a direction moves the batch-norm
itself, this no longer holds, and that pair of layers is not folded.
"""

from __future__ import annotations

import inspect
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.norms import has_statistics
from landscape_mpi.compute.shapes import note_shapes
from landscape_mpi.compute.tensors import tensors_named
from landscape_mpi.compute.ties import memory_of
from landscape_mpi.compute.tracing import traced

FOLDED_INTO = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class FoldedNetwork:
    """Hold the same function with fewer layers, and the matching directions."""

    network: nn.Module  # a GraphModule, or the network itself if it cannot be traced
    directions: dict[str, Direction]  # by axis
    n_folded: int
    n_left: int  # number of batch-norms that are not folded
    problem: str | None  # reason why it could not be traced


def fold(
    network: nn.Module, directions: dict[str, Direction], sample: torch.Tensor | None = None
) -> FoldedNetwork:
    """Fold every batch-norm that can be folded.

    Args:
        network: Network of float32 or float64, in evaluation mode, on the CPU; it is changed and
            belongs to the result.
        directions: Directions by axis, in the network's type, for its parameters and buffers.
        sample: Some inputs. They show whether a linear layer sees rows or tokens. For tokens,
            batch-norm has its channels on another axis and is not folded. None if all inputs are
            rows.

    Returns:
        Folded network with its directions; a network that cannot be traced is returned unchanged.
    """
    n_norms = sum(map(has_statistics, network.modules()))
    moved = {name for direction in directions.values() for name in direction}
    moving = [*network.parameters(), *tensors_named(network, moved).values()]
    try:
        graph = traced(_of_one_input(network), moving)
    except Exception as problem:  # tracing runs the user's code on proxies
        words = " ".join(str(problem).split())
        return FoldedNetwork(network, directions, 0, n_norms, f"{type(problem).__name__}: {words}")
    if sample is not None:
        note_shapes(graph, sample)
    folded = {axis: dict(direction) for axis, direction in directions.items()}
    n_folded, shared = 0, _shared_memory(graph)
    for node in list(graph.graph.nodes):
        layer, norm = _foldable(graph, node, moved, shared)
        if layer and norm:
            _fold_pair(graph, layer, norm, folded)
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
            n_folded += 1
    graph.delete_all_unused_submodules()
    graph.recompile()
    return FoldedNetwork(graph.eval(), folded, n_folded, n_norms - n_folded, None)


def _of_one_input(network: nn.Module) -> nn.Module:
    """Fix a network's other arguments at their defaults; tracing would treat them as tensors."""
    kind = type(network)
    if "forward" in vars(network) or len(inspect.signature(kind.forward).parameters) == 2:
        return network

    def forward(self: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = kind.forward(self, inputs)
        return found

    network.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return network


def _foldable(
    graph: fx.GraphModule, node: fx.Node, moved: set[str], shared: set[object]
) -> tuple[str, str]:
    """Return the names of layer and batch-norm if a node is a batch-norm that can be folded."""
    if node.op != "call_module" or not isinstance(node.args[0], fx.Node):
        return "", ""
    before = node.args[0]
    norm = graph.get_submodule(str(node.target))
    if before.op != "call_module" or type(norm) not in BATCH_NORMS:
        return "", ""
    layer = graph.get_submodule(str(before.target))
    used_elsewhere = len(before.users) > 1 or any(
        other is not node and other is not before and other.target in (node.target, before.target)
        for other in graph.graph.nodes
    )
    if type(layer) not in FOLDED_INTO or used_elsewhere or norm.running_mean is None:
        return "", ""
    shape = before.meta.get("shape")
    if type(layer) is nn.Linear and shape is not None and len(shape) != 2:
        return "", ""
    moves = any(name.startswith(f"{node.target}.") for name in moved)
    if moves or any(memory_of(parameter) in shared for parameter in layer.parameters()):
        return "", ""
    return str(before.target), str(node.target)


def _shared_memory(network: nn.Module) -> set[object]:
    """Return the memory addresses of parameters that several modules share."""
    places = [memory_of(p) for m in network.modules() for p in m.parameters(recurse=False)]
    return {place for place, n in Counter(places).items() if n > 1}


def _fold_pair(
    graph: fx.GraphModule, layer_name: str, norm_name: str, directions: dict[str, Direction]
) -> None:
    layer: Any = graph.get_submodule(layer_name)
    scale, shift = _scale_and_shift(graph.get_submodule(norm_name))
    bias = 0.0 if layer.bias is None else _exact(layer.bias)
    dtype = layer.weight.dtype
    layer.weight = _parameter(_times(scale, _exact(layer.weight)), dtype)
    layer.bias = _parameter(scale * bias + shift, dtype)
    for direction in directions.values():
        for tensor in ("weight", "bias"):
            values = direction.get(f"{layer_name}.{tensor}")
            if values is not None:
                scaled = _times(scale, values.astype(np.float64))
                direction[f"{layer_name}.{tensor}"] = scaled.astype(values.dtype)


def _scale_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and shift of batch-norm in evaluation mode, float64 [n_channels]."""
    scale = 1 / np.sqrt(_exact(norm.running_var) + norm.eps)
    shift = -_exact(norm.running_mean) * scale
    if norm.weight is not None:
        scale, shift = scale * _exact(norm.weight), shift * _exact(norm.weight)
    return scale, shift if norm.bias is None else shift + _exact(norm.bias)


def _exact(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _times(scale: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Multiply each output channel by its scale."""
    return scale.reshape(-1, *[1] * (values.ndim - 1)) * values


def _parameter(values: np.ndarray, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(values).to(dtype))
