"""Trace a network, and refuse a trace that holds for some weights or some inputs only.

Tracing calls forward once with stand-ins for tensors. What forward computes from a real tensor in
this call becomes a constant, and a decision that it makes then holds for every later call. Both are
right as long as they depend on the architecture alone. A comparison at two points does not find a
decision that only other points, or other samples, would change.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import fx, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from landscape_mpi.compute.operation_watch import OperationWatch

ASKED = "forward asks for the type or for values of its input"
OF_TORCH = str(Path(torch.__file__).parent)
READ = "forward reads values of its weights outside its layers"


def traced(network: nn.Module, moved: Iterable[torch.Tensor]) -> fx.GraphModule:
    """Return the graph of a network.

    Args:
        network: Network of one input.
        moved: Its tensors whose values may change.

    Raises:
        fx.proxy.TraceError: If the graph would depend on values of the input or of these tensors.
        Exception: If forward fails on stand-ins; any error from the user's own code.
    """
    tracer, watch = _Tracer(), _ReadWatch(moved)
    with watch:
        graph = tracer.trace(network)
    for found, words in ((tracer.asked, ASKED), (watch.read, READ)):
        if found:  # also if the user's code has caught the error
            raise fx.proxy.TraceError(words)
    return fx.GraphModule(tracer.root, graph, type(network).__name__)


class _StandIn(fx.Proxy):
    """A tensor without type and values; it notes who asks for them."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(x, Tensor) reads it, and says no of a stand-in. (A yes would be a crash of
        # torch, whose C code then takes it for a tensor.)
        if _is_users(sys._getframe(1)):
            self._note()
        return _StandIn

    def _note(self) -> None:
        assert isinstance(self.tracer, _Tracer)
        self.tracer.asked = True

    def _refuse(self, *_: Any) -> NoReturn:
        self._note()
        raise fx.proxy.TraceError(ASKED)

    __len__ = __float__ = __int__ = __index__ = __complex__ = __array__ = __contains__ = _refuse


class _Tracer(fx.Tracer):
    """Note whether forward asks for a value of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _StandIn(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        self.asked = True
        return super().to_bool(obj)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        try:
            return super().iter(obj)
        except fx.proxy.TraceError:
            self.asked = True
            raise


def _is_users(frame: FrameType) -> bool:
    """Return whether code asks for a type that is not torch's own."""
    code = frame.f_code
    return not code.co_filename.startswith(OF_TORCH) or code.co_name == "is_tensor"


class _ReadWatch(OperationWatch):
    """Note whether an operation takes one of some tensors, or a view of it."""

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.read = False
        self._places = {tensor.untyped_storage().data_ptr() for tensor in tensors} - {0}

    def run(self, operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any]) -> object:
        """Run an operation, after a look at the tensors that it takes."""
        self.read |= any(
            isinstance(each, torch.Tensor) and each.untyped_storage().data_ptr() in self._places
            for each in tree_leaves((given, named))
        )
        return operation(*given, **named)
