"""Treat a batch as a tree of tensors: move it to a device, copy it, and digest its bytes.

A tree is made of dicts and similar classes (BatchEncoding, ModelOutput), tuples, named tuples,
lists, dataclasses and objects that can be pickled (torch_geometric's Data and Batch). Its leaves
are tensors; everything else stays on the host. The functions return a new tree of the same types:
changes to its containers do not reach the original tree.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import pickle
import sys
from collections import UserDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from landscape_mpi.errors import InputError, in_one_line

OfTensor = Callable[[torch.Tensor], torch.Tensor]
COPIED = (dict, UserDict)  # types whose copies have their own items
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}  # by type of a part
PLAIN = (type(None), str, bytes, bool, int, float, complex, np.generic, torch.dtype, torch.device)


def mapped(tree: Any, function: OfTensor) -> Any:
    """Return a tree of the same form after applying a function to each tensor.

    Args:
        tree: The tree; it stays unchanged.
        function: Function of a tensor. It is called once for each tensor, even if the tree holds
            the tensor twice.

    Raises:
        InputError: If it holds an object that cannot be copied, or itself.
    """
    made: dict[int, torch.Tensor] = {}

    def once(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in made:
            made[id(tensor)] = function(tensor)
        return made[id(tensor)]

    with _bounded():
        return _mapped(tree, once)


def moved(tree: Any, device: str, dtype: torch.dtype | None = None) -> Any:
    """Return a tree whose tensors have their own memory on a device.

    Args:
        tree: The tree.
        device: Device of the new tensors.
        dtype: Type of the new floating-point tensors, also of the parts of complex ones; None to
            keep theirs.
    """

    def move(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_meta:
            raise InputError(
                f"Problem: a batch holds a tensor {list(tensor.shape)} on the meta device, which "
                "has no values. Return batches whose tensors have values."
            )
        to = tensor.dtype
        if dtype is not None and tensor.is_floating_point():
            to = dtype
        elif dtype is not None and tensor.is_complex():
            to = COMPLEX.get(dtype, to)
        return _as_leaf(tensor.detach().to(device, to, copy=True), tensor)

    return mapped(tree, move)


def cloned(tree: Any) -> Any:
    """Return a copy of a tree; changing its tensors does not change the original's."""
    return mapped(tree, lambda tensor: _as_leaf(tensor.detach().clone(), tensor))


def aliased(tree: Any) -> Any:
    """Return a tree of new tensors in the same memory: only changes of values are shared."""
    return mapped(tree, lambda tensor: _as_leaf(tensor.detach(), tensor))


def tensors_in(tree: Any) -> list[torch.Tensor]:
    """Return the tensors of a tree, each once and without copying."""
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    mapped(tree, note)
    return found


def n_bytes(tree: Any) -> int:
    """Return the size of the tensors of a tree, bytes."""
    return sum(_stored(tensor).nbytes for tensor in tensors_in(tree))


def digest(tree: Any) -> str:
    """Return the SHA-256 of the form of a tree and of the bytes of its tensors."""
    sha256 = hashlib.sha256()
    with _bounded():
        for piece in _pieces(tree):
            sha256.update(piece)
    return sha256.hexdigest()


@contextmanager
def _bounded() -> Iterator[None]:
    """Refuse a tree that is endlessly nested.

    Raises:
        InputError: If it exceeds Python's limit of recursion.
    """
    try:
        yield
    except RecursionError as problem:
        raise InputError(
            "Problem: a batch holds itself (like a list or a dict that is one of its own values), "
            f"or it is nested deeper than Python's {sys.getrecursionlimit():,} calls. Remove the "
            "reference to itself from the batch."
        ) from problem


def _as_leaf(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Let a tensor require gradients if another one does: a loss may differentiate by its batch."""
    return tensor.requires_grad_(like.requires_grad)


def _mapped(tree: Any, function: OfTensor) -> Any:
    if isinstance(tree, torch.Tensor):
        return function(tree)
    if isinstance(tree, (*PLAIN, torch.Size)):
        return tree
    if isinstance(tree, np.ndarray):
        return tree.copy()
    if isinstance(tree, PackedSequence):
        return _mapped_sequence(tree, function)
    if isinstance(tree, Mapping):
        return _filled(tree, ((key, _mapped(value, function)) for key, value in tree.items()))
    if isinstance(tree, tuple) and (make := getattr(type(tree), "_make", None)):  # a named tuple
        return make([_mapped(value, function) for value in tree])
    if type(tree) in {tuple, list}:
        return type(tree)(_mapped(value, function) for value in tree)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return _mapped_fields(tree, function)
    structure, tensors = _taken_apart(tree)
    mapped_tensors = [function(tensor) for tensor in tensors]
    with _copied(tree):
        return _put_together(structure, mapped_tensors)


def _filled(tree: Mapping[Any, Any], items: Iterator[tuple[Any, Any]]) -> Any:
    # A copy keeps the attributes that a class adds to a dict. For any other class, the container of
    # the items is copied too, but not the items.
    kept, found = {id(part): part for item in tree.items() for part in item}, list(items)
    with _copied(tree):
        made: Any = copy.copy(tree) if isinstance(tree, COPIED) else copy.deepcopy(tree, kept)
        for key, value in found:
            made[key] = value
    return made


def _mapped_sequence(packed: PackedSequence, function: OfTensor) -> PackedSequence:
    """Return packed sequences whose sizes stay on the host, because torch needs them there."""
    orders = (
        None if order is None else function(order)
        for order in (packed.sorted_indices, packed.unsorted_indices)
    )
    return PackedSequence(function(packed.data), packed.batch_sizes.clone(), *orders)


def _mapped_fields(tree: Any, function: OfTensor) -> Any:
    with _copied(tree):
        made = copy.copy(tree)
    for name, value in _fields(tree).items():
        object.__setattr__(made, name, _mapped(value, function))
    return made


def _fields(tree: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that have values, by name."""
    names = [each.name for each in dataclasses.fields(tree)]
    with _copied(tree):
        return {name: getattr(tree, name) for name in names if hasattr(tree, name)}


@contextmanager
def _copied(tree: object) -> Iterator[None]:
    """Copy an object; report that it cannot be copied if its own methods raise.

    Raises:
        InputError: If they raise.
        RecursionError: If they call themselves without end.
    """
    try:
        yield
    except (InputError, RecursionError):
        raise
    except Exception as problem:
        way_out = (
            "It can be read only once. Return a list of its items."
            if hasattr(type(tree), "__next__")
            else "Return batches of tensors in dicts, tuples, lists and dataclasses, or of objects "
            "that can be pickled."
        )
        raise InputError(
            f"Problem: a batch holds an object of type {type(tree).__name__}, which cannot be "
            f"copied together with its tensors ({in_one_line(problem)}). {way_out}"
        ) from problem


class _Taker(pickle.Pickler):
    """Write an object without its tensors."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.tensors: list[torch.Tensor] = []

    def persistent_id(self, value: object) -> int | str | None:
        """Return the number of a tensor; None for an object that is written."""
        if not isinstance(value, torch.Tensor):
            return None
        self.tensors.append(value)
        return len(self.tensors) - 1


class _Shower(_Taker):
    """Write an object such that other processes can compare it, but not read it."""

    def persistent_id(self, value: object) -> int | str | None:
        """Return the digest of a set, whose order differs in each process; else as _Taker does."""
        if isinstance(value, (set, frozenset)):
            return digest(value)
        return super().persistent_id(value)


class _Putter(pickle.Unpickler):
    """Read an object and insert its tensors."""

    tensors: list[torch.Tensor]

    def persistent_load(self, number: int) -> torch.Tensor:
        """Return the tensor with a number."""
        return self.tensors[number]


def _taken_apart(tree: object, kind: type[_Taker] = _Taker) -> tuple[bytes, list[torch.Tensor]]:
    """Return an object without its tensors, and the tensors.

    Args:
        tree: The object.
        kind: Class of the pickler.
    """
    file = io.BytesIO()
    taker = kind(file)
    with _copied(tree):
        taker.dump(tree)
    return file.getvalue(), taker.tensors


def _put_together(structure: bytes, tensors: list[torch.Tensor]) -> Any:
    putter = _Putter(io.BytesIO(structure))
    putter.tensors = tensors
    return putter.load()


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    """Return the numbers that a tensor stores; the values if it is sparse or nested."""
    if tensor.is_nested:
        return torch.cat([part.detach().reshape(-1) for part in tensor.unbind()])
    return tensor if tensor.layout == torch.strided else tensor.to_sparse_coo().coalesce().values()


def _pieces(tree: Any) -> Iterator[bytes]:
    """Yield bytes that are unique to a tree."""
    kind = type(tree).__qualname__
    if isinstance(tree, torch.Tensor):
        yield from _bytes_of(tree)
    elif isinstance(tree, np.ndarray):
        yield f"{kind} {tree.dtype} {tree.shape}:".encode()
        if tree.dtype.hasobject:
            yield from _pieces(tree.tolist() if tree.ndim else [tree.item()])
        else:
            yield tree.tobytes()
    elif isinstance(tree, PLAIN):
        text = repr(tree).encode()
        yield f"{kind} {len(text)}:".encode() + text
    elif isinstance(tree, Mapping):
        yield f"{kind} {len(tree)}:".encode()
        for key, value in tree.items():
            yield from _pieces(key)
            yield from _pieces(value)
    elif isinstance(tree, (tuple, list)):
        yield f"{kind} {len(tree)}:".encode()
        for value in tree:
            yield from _pieces(value)
    elif isinstance(tree, (set, frozenset)):  # the order of a set differs in each process
        yield f"{kind} {len(tree)}:".encode()
        yield "".join(sorted(map(digest, tree))).encode()
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        yield from _pieces(_fields(tree))
    else:
        structure, tensors = _taken_apart(tree, _Shower)
        yield f"{kind} {len(structure)}:".encode() + structure
        yield from _pieces(tensors)


def _bytes_of(tensor: torch.Tensor) -> Iterator[bytes]:
    if tensor.is_nested:
        parts = tensor.detach().unbind()
        yield f"nested {len(parts)} {tensor.layout}:".encode()
        for part in parts:
            yield from _bytes_of(part)
        return
    yield f"tensor {tensor.dtype} {tuple(tensor.shape)} {tensor.layout}:".encode()
    if tensor.layout != torch.strided:
        tensor = tensor.detach().to_sparse_coo().coalesce()
        yield from _bytes_of(tensor.indices())
        tensor = tensor.values()
    numbers = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    yield numbers.view(torch.uint8).numpy().tobytes()
