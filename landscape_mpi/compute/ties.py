"""Find parameters that are tied by shared memory, or only hold the same values."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from landscape_mpi.compute.tensors import named_tensors
from landscape_mpi.errors import InputError

FEW_VALUES = 8  # a tensor with so few different values, such as zeros, does not count as a copy
N_NAMED = 3  # pairs in a message


def memory_of(tensor: torch.Tensor) -> Hashable:
    """Return the place of a tensor's entries in memory, equal for every view of all of them."""
    if tensor.numel() == 0 or tensor.is_meta:
        return id(tensor)
    steps = sorted((s, n) for n, s in zip(tensor.shape, tensor.stride(), strict=True) if n > 1)
    is_dense = 1 + sum(s * (n - 1) for s, n in steps) == tensor.numel()
    shape = tensor.numel() if is_dense else tuple(steps)
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), shape


@dataclass(frozen=True)
class Tie:
    """Hold two parameters or buffers that share their memory."""

    first: str
    second: str
    order: tuple[int, ...] | None  # order of the first's axes in the second; None if reshaped


def ties_of(network: nn.Module) -> list[Tie]:
    """Return the pairs of tensors of a network that share their memory."""
    tensors = named_tensors(network)
    return [
        Tie(first, second, _order(tensors[first], tensors[second]))
        for second, first in tied_names(network).items()
        if tensors[second] is not tensors[first]
    ]


def _order(first: torch.Tensor, second: torch.Tensor) -> tuple[int, ...] | None:
    from_memory = [_axes_in_memory(tensor) for tensor in (first, second)]
    order = dict(zip(from_memory[1], from_memory[0], strict=False))
    found = tuple(order.get(axis, -1) for axis in range(second.ndim))
    fits = first.ndim == second.ndim and first.permute(found).shape == second.shape
    return found if fits else None


def _axes_in_memory(tensor: torch.Tensor) -> list[int]:
    """Return the axes by falling strides, with axes of length 1 at the end."""
    steps, shape = tensor.stride(), tensor.shape
    return sorted(range(tensor.ndim), key=lambda axis: (shape[axis] == 1, -steps[axis]))


def tie_again(network: nn.Module, ties: Iterable[Tie]) -> None:
    """Put tensors back into the memory of others after a conversion has separated them.

    Args:
        network: Network in which the second tensor of each tie is replaced.
        ties: Result of ties_of before the conversion.
    """
    tensors = named_tensors(network)
    for tie in ties:
        first, second = tensors[tie.first].data, tensors[tie.second]
        if tie.order is None:
            second.data = first.reshape(second.shape)
        else:
            second.data = first.permute(tie.order)


def converted(network: nn.Module, to: torch.dtype | str) -> nn.Module:
    """Convert a network to a type, or move it to a device, and keep its ties."""
    ties = ties_of(network)
    network.to(to)
    tie_again(network, ties)
    return network


def refuse_ties(network: nn.Module, what: str, *, option: str = "--model") -> None:
    """Refuse parameters tied only by their memory, because derivatives do not see such ties.

    Args:
        network: Network that owns the parameters.
        what: Name of the derivatives, for the message.
        option: Option that named the network, for the message.

    Raises:
        InputError: If there are such parameters.
    """
    for tie in ties_of(network):
        raise InputError(
            f"{option}: {tie.first} and {tie.second} share their memory but are two parameters, so "
            f"{what} would miss one of the two places where this weight is used. Build them as one "
            f"Parameter, or use the first in forward: functional.linear(x, self.encoder.weight.T)."
        )


def refuse_overlaps(network: nn.Module, *, option: str = "--model") -> None:
    """Check that no two parameters share a part of their memory.

    Args:
        network: Network on the CPU.
        option: Option that named the network, for the message.

    Raises:
        InputError: If two do, because the movement of that part would depend on their order.
    """
    places: dict[Hashable, tuple[str, torch.Tensor]] = {}
    for name, each in network.named_parameters():
        places.setdefault(memory_of(each), (name, each))
    storages: dict[int, list[tuple[str, torch.Tensor]]] = {}
    for name, parameter in places.values():
        if parameter.numel() and not parameter.is_meta and parameter.layout == torch.strided:
            pointer = parameter.untyped_storage().data_ptr()
            storages.setdefault(pointer, []).append((name, parameter.detach()))
    for inside in storages.values():
        if len(inside) > 1:
            _refuse_overlap(inside, option)


def _refuse_overlap(inside: list[tuple[str, torch.Tensor]], option: str) -> None:
    """Check the parameters in one storage.

    Raises:
        InputError: If two have an element in common.
    """
    n = max(t.untyped_storage().nbytes() // t.element_size() for _, t in inside)
    owner = torch.zeros(n, dtype=torch.int32)
    for number, (name, tensor) in enumerate(inside, start=1):
        own = owner.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        if own.any():
            first = inside[int(own.max()) - 1][0]
            raise InputError(
                f"{option}: {first} and {name} share a part of their memory but are two "
                "parameters, so the movement of that part would depend on their order. Build them "
                "as one Parameter, and let forward use parts of it."
            )
        own.fill_(number)


def tied_names(network: nn.Module) -> dict[str, str]:
    """Return the first name of each tensor with several names, by its other names.

    Two tensors that share all their memory count as one, and so does a parameter with two names.
    """
    first: dict[Hashable, str] = {}
    tied = {}
    for name, tensor in named_tensors(network).items():
        known_as = first.setdefault(memory_of(tensor), name)
        if known_as != name:
            tied[name] = known_as
    return tied


def say_ties(network: nn.Module) -> Iterator[str]:
    """Yield notes for the log on parameters that are tied or look tied.

    Args:
        network: Network at the center, on the CPU.
    """
    parameters = dict(network.named_parameters())
    groups: dict[Hashable, list[str]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(memory_of(parameter), []).append(name)
    shared = [(names[0], name) for names in groups.values() for name in names[1:]]
    if shared:
        yield f"some parameters share their memory, so they move together: {_pairs(shared)}"
    alone = {names[0]: parameters[names[0]] for names in groups.values()}
    copies = list(_copies(alone))
    if copies:
        yield (
            "some parameters have the same values but are separate, so they move independently: "
            f"{_pairs(copies)}. If they are tied in your network, build them as one Parameter"
        )


def _pairs(pairs: list[tuple[str, str]]) -> str:
    words = "; ".join(f"{first} and {second}" for first, second in pairs[:N_NAMED])
    more = len(pairs) - N_NAMED
    return words + (f"; and {more} other pairs" if more > 0 else "")


def _copies(parameters: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, str]]:
    """Yield pairs of parameters that hold the same values, also transposed."""
    alike: dict[Hashable, list[str]] = {}
    for name, values in parameters.items():
        if values.numel() > FEW_VALUES:
            ends = values.detach().reshape(-1)[[0, -1]].tolist()  # as the transpose would be
            alike.setdefault((*sorted(values.shape), *ends), []).append(name)
    for names in alike.values():
        kept: list[str] = []
        for name in names:
            twin = next((k for k in kept if _equal(parameters[k], parameters[name])), None)
            if twin is None:
                kept.append(name)
            else:
                yield twin, name


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    same = torch.equal(first, second)
    if not same and first.ndim == 2:
        same = torch.equal(first, second.T)
    return same and len(first.unique()) > FEW_VALUES
