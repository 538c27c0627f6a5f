"""Fit the tensors of a checkpoint to those of a network, even under other names.

The network may lie inside another module in the checkpoint, or the other way round, and the
checkpoint may hold other tensors beside it: those of a loss, a metric, an average of the weights.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from landscape_mpi.errors import InputError
from landscape_mpi.tensor_names import (
    NameFit,
    all_fits,
    best_fits,
    is_extra,
    listed,
    plain_names,
)
from landscape_mpi.zoo.weight_choice import N_AVERAGED, is_average

# Outermost modules of a state dict that do not contribute to a network's outputs.
BESIDE = re.compile(
    r"(?:(?:train|val|valid|test)_)?(?:criterion|criteria|loss|losses|loss_fn|loss_func|"
    r"metrics?|acc|accuracy)(?:_?\d+)?"
)


@dataclass(frozen=True)
class NameChoice:
    """Hold the chosen tensors and their names in the network."""

    names: dict[str, str]  # name in the network by name in the checkpoint; the same if unknown
    notes: tuple[str, ...]  # for the log


def choose_names(
    path: Path,
    state: Mapping[str, torch.Tensor],
    extra: Collection[str],
    network: nn.Module,
    *,
    rivals: Collection[str] = (),
) -> NameChoice:
    """Find the names of a checkpoint's tensors in a network.

    Args:
        path: The checkpoint, for messages.
        state: Its tensors.
        extra: Names of the extra state of modules.
        network: Network to load them into.
        rivals: Prefixes of the networks in state, if there are several.
    """
    target = network.state_dict()
    names = [*state, *extra]
    fits = all_fits(names, target)
    whole = _whole_fits(fits, state, target)
    if not whole:
        # The second name of a tensor may lie outside the module of all others.
        fits = all_fits(names, [n for n in target if n not in _second_names(target)]) or fits
        whole = _whole_fits(fits, state, target)
    if not fits:
        return NameChoice({name: name for name in names}, ())
    fit, notes = _one_of(path, whole) if len(whole) > 1 else ((whole or fits)[0], ())
    left = [name for name in names if name not in fit.names]
    if fit in whole:
        dropped = _droppable(fit, left, state, network)
        _refuse_small_part(path, fit, dropped, rivals)
        shown = [name for name in dropped if not _goes_without_saying(name, network)]
        if shown:
            notes += (f"the network has no such tensors, so these are left out: {listed(shown)}",)
        left = [name for name in left if name not in dropped]
    return NameChoice(fit.names | {name: name for name in left}, notes)


def missing_names(names: Collection[str], target: Mapping[str, Any]) -> list[str]:
    """Return the tensors that a network needs but that are missing from the names.

    Counters of batches are not needed, because evaluation does not use them, nor is the second name
    of a tensor with two names.
    """
    there = {_memory(target[name]) for name in target if name in names}
    return [
        name
        for name, value in target.items()
        if name not in names
        and isinstance(value, torch.Tensor)
        and not (is_extra(name) or name.endswith("num_batches_tracked"))
        and (_memory(value) is None or _memory(value) not in there)
    ]


def _second_names(target: Mapping[str, Any]) -> set[str]:
    """Return the names of tensors that the network also has under an earlier name."""
    seen: set[object] = set()
    second = set()
    for name, value in target.items():
        place = _memory(value)
        if place is not None and place in seen:
            second.add(name)
        seen.add(place)
    return second


def _memory(value: Any) -> tuple[int, torch.Size] | None:
    """Return memory and shape, equal for two names of one tensor; None without memory."""
    shape = _shape(value)
    return (value.data_ptr(), shape) if shape is not None and value.numel() else None


def _shape(value: Any) -> torch.Size | None:
    """Return the shape of a tensor; None if a lazy layer does not know it yet."""
    known = isinstance(value, torch.Tensor) and not is_lazy(value)
    return value.shape if known else None


def _whole_fits(
    fits: list[NameFit], state: Mapping[str, torch.Tensor], target: Mapping[str, Any]
) -> list[NameFit]:
    """Return the fits that find every tensor that the network needs, in the right shape."""
    n_needed = len(missing_names((), target)) - len(_second_names(target))
    return [fit for fit in fits if len(fit.names) >= n_needed and _is_whole(fit, state, target)]


def _is_whole(fit: NameFit, state: Mapping[str, torch.Tensor], target: Mapping[str, Any]) -> bool:
    shapes = (
        _shape(target[wanted]) in {None, state[name].shape}
        for name, wanted in fit.names.items()
        if name in state
    )
    return not missing_names(set(fit.names.values()), target) and all(shapes)


def _one_of(path: Path, fits: list[NameFit]) -> tuple[NameFit, tuple[str, ...]]:
    """Return the fit to use, and notes on the others.

    Raises:
        InputError: If several fit without a clear choice.
    """
    raw = [fit for fit in fits if not is_average(fit.prefix)]
    if len(raw) == 1:
        averages = [_key(fit) for fit in fits if fit is not raw[0]]
        under = _key(raw[0]) or "names without a module in front"
        return raw[0], (
            f"it also holds averaged weights, under {', '.join(averages)}; the raw ones under "
            f"{under} are used. Pass --checkpoint-key {averages[0]} for the averaged ones",
        )
    raise InputError(
        f"{path}: holds {len(fits)} sets of weights that fit the network, under "
        f"{', '.join(_key(fit) or 'no module' for fit in fits)}, and it is not clear which of "
        "them to use. Pass --checkpoint-key with one of these names."
    )


def _refuse_small_part(
    path: Path, fit: NameFit, dropped: Collection[str], rivals: Collection[str]
) -> None:
    """Refuse a network that is only a small part of the one in the checkpoint.

    Raises:
        InputError: If more tensors would be left out than taken.
    """
    plain, in_rivals = plain_names(dropped), tuple(f"{rival}." for rival in rivals)
    strays = [
        name
        for name in dropped
        if not _is_beside(plain[name]) and not plain[name].startswith(in_rivals)
    ]
    if len(strays) > len(fit.names):
        raise InputError(
            f"{path}: holds the {len(fit.names)} tensors of the network under {_key(fit)}, and "
            f"{len(strays)} others that the network does not have ({listed(strays)}). Name the "
            f"network that was trained, or pass --checkpoint-key {_key(fit)} if you mean this "
            "part."
        )


def _key(fit: NameFit) -> str:
    return fit.prefix.removesuffix(".")


def beside_network(names: Collection[str]) -> list[str]:
    """Return the names of tensors that do not belong to a network; none if that were all."""
    plain = plain_names(names)
    averages = [name for name in names if is_average(_module_of(plain[name]))]
    others = [name for name in names if name not in averages]
    beside = [name for name in others if _is_beside(plain[name])]
    # A network may have a module named avg or moving; only ema always means an average.
    doubles = best_fits(averages, others)
    if doubles and 2 * len(doubles[0].names) > len(averages):
        beside += averages
    else:
        beside += [name for name in averages if "ema" in re.split("[^a-z]", name.lower())]
    return beside if len(beside) < len(names) else []


def _is_beside(name: str) -> bool:
    module = _module_of(name)
    return name == N_AVERAGED or is_average(module) or BESIDE.fullmatch(module) is not None


def _module_of(name: str) -> str:
    """Return the outermost module of a tensor; empty if it is in none."""
    first, dot, _ = name.partition(".")
    return first if dot else ""


def _droppable(
    fit: NameFit, left: list[str], state: Mapping[str, torch.Tensor], network: nn.Module
) -> list[str]:
    """Return the names missing from the network that may be left out.

    Tensors in the checkpoint's module that fits the network belong to it and are kept.
    """
    plain = plain_names([*fit.names, *left])
    kept = _rebuilt_buffers(network)
    dropped = []
    for name in left:
        outside = fit.prefix and not plain[name].startswith(fit.prefix)
        beside = _is_beside(plain[name])
        inner = plain[name].removeprefix(fit.prefix)
        if outside or (not fit.prefix and beside) or _equal(state.get(name), kept.get(inner)):
            dropped.append(name)
    return dropped


def _goes_without_saying(name: str, network: nn.Module) -> bool:
    return name == N_AVERAGED or name in _rebuilt_buffers(network)


def _rebuilt_buffers(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers that the network makes itself and omits from its state dict."""
    state = network.state_dict()
    return {name: buffer for name, buffer in network.named_buffers() if name not in state}


def _equal(stored: torch.Tensor | None, own: torch.Tensor | None) -> bool:
    if stored is None or own is None or stored.shape != _shape(own):
        return False
    return bool(torch.equal(stored.to(own.dtype), own))
