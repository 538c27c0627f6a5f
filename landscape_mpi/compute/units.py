"""Find the units of a network whose order is free by following its layers.

The function stays the same if a hidden layer's units change places both where they are computed
(rows of the weight, bias, batch-norm) and where they are read (columns of the next weight). Layers
whose outputs are added share one order. Inputs and outputs of the network keep their order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import fx, nn
from torch.nn import functional

from landscape_mpi.errors import InputError

LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
# Layers and functions that treat all channels equally and keep their order.
SAME: tuple[type[nn.Module], ...] = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.GELU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Dropout,
    nn.Dropout2d,
)
SAME += (nn.Identity, nn.Flatten, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
SAME_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    *(functional.relu, torch.relu, functional.dropout, torch.flatten, functional.gelu),
    *(functional.max_pool2d, functional.avg_pool2d, functional.adaptive_avg_pool2d),
)
SAME_METHODS = ("relu", "flatten", "contiguous")
SUMS: tuple[Callable[..., Any], ...] = (operator.add, operator.iadd, torch.add)
OF_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Place:
    """Name an axis of a tensor along which units lie as blocks of one or more entries."""

    name: str  # name of the tensor
    axis: int


@dataclass
class Units:
    """Hold units that change places together."""

    n: int
    made_by: list[Place] = field(default_factory=list)
    read_by: list[Place] = field(default_factory=list)

    @property
    def places(self) -> list[Place]:
        """Return all places."""
        return [*self.made_by, *self.read_by]


def find_units(network: nn.Module, *, model: str) -> list[Units]:
    """Find the units that may change places, in the order of the layers. Local.

    Args:
        network: Network that torch.fx can trace and whose layers this module knows.
        model: Name of the network, for messages.

    Raises:
        InputError: If it cannot be traced, or contains an unknown operation.
    """
    try:
        graph = fx.symbolic_trace(network)
    except Exception as problem:  # tracing runs the user's code on proxies
        words = " ".join(str(problem).split())[:200]
        raise InputError(_refusal(model, f"it cannot be traced ({words})")) from problem
    return _Walk(graph, model).units()


def _refusal(model: str, why: str) -> str:
    return (
        f"--match weights: the units of --model {model} cannot be permuted, because {why}. The "
        "option works only for plain networks: feed-forward, convolutional, VGG. Leave out "
        "--match."
    )


class _Walk:
    """Walk along the layers; None stands for an order that is not free."""

    def __init__(self, graph: fx.GraphModule, model: str) -> None:
        self._graph, self._model = graph, model
        self._found: list[Units | None] = []
        self._of: dict[fx.Node, int | None] = {}  # index into the found units
        self._modules: set[str] = set()

    def units(self) -> list[Units]:
        for node in self._graph.graph.nodes:
            self._of[node] = getattr(self, f"_{node.op}", self._refuse)(node)
        return [units for units in self._found if units is not None]

    def _refuse(self, node: fx.Node) -> NoReturn:
        target = getattr(node.target, "__name__", node.target)
        raise InputError(_refusal(self._model, f"the effect of {target} on them is not known here"))

    def _placeholder(self, node: fx.Node) -> None:
        return None

    def _output(self, node: fx.Node) -> None:
        if not isinstance(node.args[0], fx.Node):
            self._refuse(node)
        self._fix(self._of[node.args[0]])

    def _call_module(self, node: fx.Node) -> int | None:
        name = str(node.target)
        module = self._graph.get_submodule(name)
        before = self._of[node.all_input_nodes[0]]
        if isinstance(module, SAME) and not _flattens_more(module):
            return before
        if name in self._modules:
            raise InputError(_refusal(self._model, f"{name} is used twice"))
        self._modules.add(name)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # or synchronised batch-norm
            return self._norm(name, module, before)
        if isinstance(module, LAYERS) and getattr(module, "groups", 1) == 1:
            return self._layer(name, module, before)
        raise InputError(
            _refusal(self._model, f"{name}, a {type(module).__name__}, is not known here")
        )

    def _layer(self, name: str, layer: Any, before: int | None) -> int:
        self._add(before, f"{name}.weight", layer.weight, axis=1)
        units = Units(n=len(layer.weight))
        units.made_by.append(Place(f"{name}.weight", 0))
        if layer.bias is not None:
            units.made_by.append(Place(f"{name}.bias", 0))
        self._found.append(units)
        return len(self._found) - 1

    def _norm(self, name: str, norm: nn.Module, before: int | None) -> int | None:
        for tensor in OF_NORM:
            values = getattr(norm, tensor, None)
            if values is not None:
                self._add(before, f"{name}.{tensor}", values, axis=0)
        return before

    def _add(self, index: int | None, name: str, values: torch.Tensor, *, axis: int) -> None:
        units = None if index is None else self._found[index]
        if units is None:
            return
        if values.shape[axis] % units.n:  # units have no separate blocks
            why = f"{name} takes {values.shape[axis]} numbers from {units.n} of them"
            raise InputError(_refusal(self._model, why))
        (units.read_by if axis else units.made_by).append(Place(name, axis))

    def _call_function(self, node: fx.Node) -> int | None:
        if node.target in SUMS:
            return self._tie([self._of[other] for other in node.all_input_nodes])
        if node.target not in SAME_FUNCTIONS or len(node.all_input_nodes) != 1:
            self._refuse(node)
        return self._of[node.all_input_nodes[0]]

    def _call_method(self, node: fx.Node) -> int | None:
        if node.target not in SAME_METHODS or len(node.all_input_nodes) != 1:
            self._refuse(node)
        return self._of[node.all_input_nodes[0]]

    def _tie(self, indices: list[int | None]) -> int | None:
        """Give layers whose outputs are added one order; a fixed layer fixes all."""
        first = indices[0]
        if None in indices:
            for index in indices:
                self._fix(index)
            return None
        assert first is not None
        for other in {*indices} - {first}:
            assert other is not None
            self._merge(first, other)
        return first

    def _merge(self, first: int, other: int) -> None:
        kept, gone = self._found[first], self._found[other]
        assert kept is not None
        assert gone is not None
        kept.made_by += gone.made_by
        kept.read_by += gone.read_by
        self._found[other] = None
        self._of = {node: first if i == other else i for node, i in self._of.items()}

    def _fix(self, index: int | None) -> None:
        if index is None:
            return
        self._found[index] = None
        self._of = {node: None if i == index else i for node, i in self._of.items()}


def _flattens_more(module: nn.Module) -> bool:
    """Return whether a module would merge samples, or merge places only."""
    return isinstance(module, nn.Flatten) and module.start_dim != 1
