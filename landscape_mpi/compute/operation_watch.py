"""Watch the operations of torch that a call performs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Self

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from landscape_mpi.compute.compilation import uncompiled


class OperationWatch(TorchDispatchMode, ABC):
    """See every operation of torch; code compiled by torch.compile runs uncompiled here."""

    def __init__(self) -> None:
        super().__init__()
        self._uncompiled = ExitStack()

    def __enter__(self) -> Self:
        """Start watching."""
        self._uncompiled.enter_context(uncompiled())
        super().__enter__()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Stop watching."""
        super().__exit__(*problem)
        self._uncompiled.close()

    @abstractmethod
    def run(self, operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any]) -> object:
        """Run an operation."""


def _pass_on(
    self: OperationWatch,
    func: OpOverload,
    types: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
) -> object:
    return self.run(func, args, kwargs or {})


# Not in the class: torch wraps methods defined there in a call that imports the compiler.
OperationWatch.__torch_dispatch__ = _pass_on  # type: ignore[assignment]


class WriteWatch(OperationWatch):
    """Detect whether operations write into the memory of some tensors.

    Equal values before and after do not tell: an operation that shortens rows writes only where
    one is too long.
    """

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.written = False
        self._places = {tensor.untyped_storage().data_ptr() for tensor in tensors} - {0}

    def run(self, operation: OpOverload, given: tuple[Any, ...], named: dict[str, Any]) -> object:
        """Run an operation, after a look at the tensors that it writes into."""
        arguments = operation._schema.arguments
        for argument, value in zip(arguments, given, strict=False):
            self._note(argument, value)
        for argument in arguments:
            self._note(argument, named.get(argument.name))
        return operation(*given, **named)

    def _note(self, argument: Any, value: object) -> None:
        if argument.alias_info is None or not argument.alias_info.is_write:
            return
        for tensor in value if isinstance(value, list | tuple) else [value]:
            if isinstance(tensor, torch.Tensor):
                self.written |= tensor.untyped_storage().data_ptr() in self._places
