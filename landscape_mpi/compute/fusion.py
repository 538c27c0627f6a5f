"""Fuse convolutions with later operations on the CPU: add bias and residual, ReLU in place.

A separate addition would write and read an activation once more; oneDNN adds while the values are
still in registers. This calls the kernel that torch.compile uses on a CPU, because compiling would
cost a minute in every run. ReLU stays torch's own: oneDNN's turns NaN into 0, and would hide that a
network overflows.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional

from landscape_mpi.compute.shapes import note_shapes

ADDITIONS = (operator.add, operator.iadd, torch.add)
RELU_FUNCTIONS = (functional.relu, torch.relu)

Settings = tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups


@functools.cache
def is_available(dtype: torch.dtype = torch.float32) -> bool:
    """Return whether torch has the fused kernels for a type on this processor.

    The kernels for bfloat16 need instructions that many processors lack; torch's own convolutions
    do not need them.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    values = torch.zeros(1, 1, 2, 2, dtype=dtype)
    weight, bias = torch.zeros(1, 1, 1, 1, dtype=dtype), torch.zeros(1, dtype=dtype)
    try:
        convolution_sum_relu(values, values, weight, bias, ([0, 0], [1, 1], [1, 1], 1))
    except (RuntimeError, AttributeError):
        return False
    return True


def convolution_relu(
    images: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, settings: Settings
) -> torch.Tensor:
    """Return relu(conv(images) + bias)."""
    padding, stride, dilation, groups = settings
    return torch.conv2d(images, weight, bias, stride, padding, dilation, groups).relu_()


def convolution_sum_relu(
    images: torch.Tensor,
    other: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    settings: Settings,
) -> torch.Tensor:
    """Return relu(conv(images) + bias + other)."""
    return torch.ops.mkldnn._convolution_pointwise.binary(
        images, other, weight, bias, *settings, "add", 1.0, None, [], None
    ).relu_()


def fuse(graph: fx.GraphModule, sample: torch.Tensor) -> int:
    """Replace convolutions and the operations after them by fused ones, in place.

    Args:
        graph: Traced network in evaluation mode, on the CPU. It has no gradients afterwards.
        sample: Input of the network, which shows the shapes.

    Returns:
        Number of fused convolutions.
    """
    note_shapes(graph, sample)
    n_fused = 0
    for node in list(graph.graph.nodes):
        if _is_plain_convolution(graph, node):
            n_fused += _fuse_relu(graph, node) or _fuse_sum(graph, node)
    graph.graph.lint()
    graph.recompile()
    return n_fused


def _is_plain_convolution(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module" or len(node.users) != 1:
        return False
    layer = graph.get_submodule(str(node.target))
    return (
        type(layer) is nn.Conv2d
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
    )


def _fuse_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Fuse relu(conv(x))."""
    relu = _only_user(node)
    if not _is_relu(graph, relu):
        return False
    _replace(graph, node, relu, convolution_relu, (node.args[0],))
    graph.graph.erase_node(relu)
    graph.graph.erase_node(node)
    return True


def _fuse_sum(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Fuse relu(conv(x) + y), y of the same shape."""
    total = _only_user(node)
    is_sum = total.op == "call_function" and total.target in ADDITIONS
    if not is_sum or total.kwargs or len(total.args) != 2 or len(total.users) != 1:
        return False
    other = total.args[1] if total.args[0] is node else total.args[0]
    relu = _only_user(total)
    if other is node or not _same_shape(node, other) or not _is_relu(graph, relu):
        return False
    _replace(graph, node, relu, convolution_sum_relu, (node.args[0], other))
    for spent in (relu, total, node):
        graph.graph.erase_node(spent)
    return True


def _only_user(node: fx.Node) -> fx.Node:
    return next(iter(node.users))


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))) is nn.ReLU
    is_function = node.op == "call_function" and node.target in RELU_FUNCTIONS
    return is_function or (node.op == "call_method" and node.target in ("relu", "relu_"))


def _same_shape(node: fx.Node, other: object) -> bool:
    if not isinstance(other, fx.Node):
        return False
    shapes = [each.meta["shape"] for each in (node, other)]
    return shapes[0] is not None and shapes[0] == shapes[1]


def _replace(
    graph: fx.GraphModule, node: fx.Node, last: fx.Node, function: Callable, inputs: tuple
) -> None:
    """Replace ``last`` by a function, with the weights of the convolution at ``node``."""
    layer = cast(nn.Conv2d, graph.get_submodule(str(node.target)))
    stride, dilation = list(layer.stride), list(layer.dilation)
    settings: Any = (list(layer.padding), stride, dilation, layer.groups)
    with graph.graph.inserting_before(last):
        weight = graph.graph.get_attr(f"{node.target}.weight")
        bias = graph.graph.get_attr(f"{node.target}.bias") if layer.bias is not None else None
        fused = graph.graph.call_function(function, (*inputs, weight, bias, settings))
    fused.meta = dict(last.meta)
    last.replace_all_uses_with(fused)
