"""Trained weights from a file: read, checked, and put into a network, all of them or none."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from landscape_mpi.errors import InputError, MissingInputError, nearest_name
from landscape_mpi.output import whole_file

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "net")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
N_LISTED = 5


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one file, on the CPU, as they were stored."""

    path: Path
    sha256: str  # of the file
    state: dict[str, torch.Tensor]  # names without the prefixes of wrappers
    dtypes: tuple[str, ...]  # of the floating-point tensors, e.g. ("bfloat16",)
    record: dict[str, Any]  # what lies beside a state dict, e.g. epoch and lr of one of ours


def read_checkpoint(path: str | Path, *, trust: bool = False) -> Checkpoint:
    """Read a state dict, bare or wrapped, from a torch or a .safetensors file.

    Args:
        path: The file.
        trust: Unpickle whatever the file holds, which can run code.

    Raises:
        InputError: If the file is damaged, is no checkpoint, needs trust that was not given,
            or holds weights that are NaN or infinite.
        MissingInputError: If there is no such file.
    """
    path = Path(path)
    _check_file(path)
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _load_torch(path, trust)
    state = _without_prefixes(_find_state(path, loaded))
    refuse_non_finite(path, state)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    floats = {str(t.dtype).removeprefix("torch.") for t in state.values() if t.is_floating_point()}
    return Checkpoint(path, sha256, state, tuple(sorted(floats)), _record_of(loaded))


def map_checkpoint(
    path: Path, *, trust: bool = False
) -> tuple[dict[str, torch.Tensor], Mapping[str, Any]]:
    """Return the tensors of a file and the notes beside them, without reading the tensors.

    What is used of a tensor is read then, as long as the tensor lives; only the torch files of
    before 2020, which are no zip archives, are read whole. Weights are not checked.

    Args:
        path: The file.
        trust: Unpickle whatever the file holds, which can run code.

    Returns:
        Tensors by name, without the prefixes of wrappers; what else the file holds.
    """
    _check_file(path)
    if path.suffix == ".safetensors":
        return _without_prefixes(_find_state(path, _load_safetensors(path))), {}
    loaded = _load_torch(path, trust, mapped=zipfile.is_zipfile(path))
    notes = loaded if isinstance(loaded, Mapping) else {}
    return _without_prefixes(_find_state(path, loaded)), notes


def load_state(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy all weights and buffers of checkpoint into network, converted to its types.

    Either all of them are loaded or, with an error, none. A checkpoint may lack
    ``num_batches_tracked``, which evaluation does not use, and the second name of a tensor that
    the network has under two names. All its names may begin with a module that the network is
    not in, as ``model.``; or the network's own names with one that the checkpoint is not in.

    Args:
        network: Network to fill, in place.
        checkpoint: What to fill it with.

    Raises:
        InputError: If names or shapes differ, or a weight is infinite in the network's type.
    """
    target = _without_prefixes(network.state_dict())
    checkpoint = replace(checkpoint, state=_renamed(checkpoint.state, target))
    _compare_names(checkpoint, target)
    _compare_shapes(checkpoint, target)
    converted = {name: t.to(target[name].dtype) for name, t in checkpoint.state.items()}
    refuse_non_finite(checkpoint.path, converted)
    with torch.no_grad():
        for name, tensor in converted.items():
            target[name].copy_(tensor)


def write_checkpoint(path: Path, network: nn.Module, notes: Mapping[str, Any]) -> None:
    """Write a network's state dict and notes beside it; path holds all of it or what it held.

    Args:
        path: File to write or replace.
        network: On any device.
        notes: Of plain types, so that the file can be read without trust.
    """
    write_state(path, network.state_dict(), notes)


def write_state(path: Path, state: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> None:
    """Write a state dict and notes as write_checkpoint does."""
    content = {name: tensor.cpu() for name, tensor in state.items()}
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save({"state_dict": content, **notes}, file)
        file.flush()
        os.fsync(file.fileno())


def classifier_size(state: Mapping[str, torch.Tensor]) -> int | None:
    """Return the rows of the last two-dimensional weight, or None if there is none."""
    sizes = [len(t) for name, t in state.items() if name.endswith("weight") and t.ndim == 2]
    return sizes[-1] if sizes else None


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory; name the checkpoint file in it.")
    if not path.exists():
        near = nearest_name(path.name, _names_beside(path))
        hint = f" Did you mean {path.parent / near}?" if near else ""
        raise MissingInputError(f"{path}: no such checkpoint.{hint}")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty; the program that wrote it was probably cut off.")


def _names_beside(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []


def _load_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as problem:
        raise InputError(
            f"{path}: is not a safetensors file, or is truncated: {_sentence(problem)}"
        ) from problem


def _load_torch(path: Path, trust: bool, *, mapped: bool = False) -> object:
    try:
        return torch.load(path, weights_only=not trust, map_location="cpu", mmap=mapped)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {_sentence(problem)}") from problem
    except Exception as problem:  # a damaged pickle can raise anything
        raise _refused(path, problem, trust) from problem


def _refused(path: Path, problem: Exception, trust: bool) -> InputError:
    """Return the error for a file that torch.load refused."""
    unsafe = re.search(r"GLOBAL ([\w.]+)|(TorchScript)", str(problem))
    if unsafe and not trust:
        return InputError(
            f"{path}: holds {unsafe[1] or 'a TorchScript program'}, not only tensors, and loading "
            "that can run code. Save network.state_dict() alone or, if you trust whoever wrote "
            "the file, pass --trust-checkpoint."
        )
    if isinstance(problem, AttributeError | ImportError):
        return InputError(
            f"{path}: holds an object whose class cannot be imported here: {_sentence(problem)} "
            "Save network.state_dict() alone where it can."
        )
    return _damaged(path, problem)


def _damaged(path: Path, problem: Exception) -> InputError:
    """Return the error for a file without sense: cut off, or never a checkpoint."""
    with path.open("rb") as file:
        start = file.read(16)
    cut_zip = start.startswith(b"PK") and not zipfile.is_zipfile(path)
    foreign_pickle = re.search("Unsupported operand|magic number", str(problem))
    if cut_zip or (start.startswith(b"\x80") and not foreign_pickle):
        return InputError(
            f"{path}: is truncated or damaged, {path.stat().st_size:,} bytes "
            f"({type(problem).__name__}: {_sentence(problem)}) Copy it again, or take another."
        )
    return InputError(
        f"{path}: is not a checkpoint of torch.save or safetensors, or is damaged; it begins with "
        f"{start!r}."
    )


def _find_state(path: Path, loaded: object) -> dict[str, torch.Tensor]:
    if isinstance(loaded, Mapping):
        inner = [loaded[name] for name in WRAPPERS if name in loaded]
        states = [value for value in inner if isinstance(value, Mapping)]
        networks = [value for value in inner if isinstance(value, nn.Module)]
        loaded = (states + networks + [loaded])[0]
    if isinstance(loaded, nn.Module):  # a whole pickled network, which needed trust
        loaded = loaded.state_dict()
    if not isinstance(loaded, Mapping):
        raise InputError(
            f"{path}: holds a {type(loaded).__name__}, not a state dict. Save network.state_dict()."
        )
    return _tensors_of(path, loaded)


def _record_of(loaded: object) -> dict[str, Any]:
    """Return what a file holds besides the state dict in it, nothing where it is one itself."""
    if not isinstance(loaded, Mapping):
        return {}
    states = [name for name in WRAPPERS if isinstance(loaded.get(name), Mapping | nn.Module)]
    others = {str(name): value for name, value in loaded.items() if name not in states}
    return others if states else {}


def _tensors_of(path: Path, loaded: Mapping[Any, Any]) -> dict[str, torch.Tensor]:
    others = [str(name) for name, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if len(others) == len(loaded):
        raise InputError(
            f"{path}: holds no tensors, neither at the top nor under {', '.join(WRAPPERS)}; it "
            f"has: {_listed(others) or 'nothing'}. Save network.state_dict()."
        )
    if others:
        raise InputError(
            f"{path}: not all of it are tensors: {_listed(others)}. Save network.state_dict() "
            'alone, or as {"state_dict": network.state_dict(), ...}.'
        )
    return {str(name): tensor.detach() for name, tensor in loaded.items()}


def _without_prefixes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return state without the prefixes of wrappers that all its names share."""
    names = list(state)
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in names)), ""):
        names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, state.values(), strict=True))


def _renamed(
    state: dict[str, torch.Tensor], target: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return state with the names of target, where they differ by what all of one begin with."""
    if state.keys() & target.keys():
        return state
    for prefix in _beginnings(state):
        short = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
        if short.keys() & target.keys():
            return short
    for prefix in _beginnings(target):
        if any(f"{prefix}{name}" in target for name in state):
            return {f"{prefix}{name}": tensor for name, tensor in state.items()}
    return state


def _beginnings(names: Iterable[str]) -> list[str]:
    """Return the modules that all names are in: ``a.`` and ``a.b.``."""
    modules = [name.split(".")[:-1] for name in names]
    same = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*modules, strict=False))
    return list(itertools.accumulate(f"{level[0]}." for level in same))


def refuse_non_finite(where: Path | str, state: Mapping[str, torch.Tensor]) -> None:
    """Check that weights are numbers.

    Args:
        where: File or model they are of, for the message.
        state: Weights by name.

    Raises:
        InputError: If one of them is NaN or infinite.
    """
    counts = {name: _count_non_finite(where, name, tensor) for name, tensor in state.items()}
    bad = [f"{name} ({n:,} of {state[name].numel():,})" for name, n in counts.items() if n]
    if bad:
        raise InputError(
            f"{where}: NaN or infinite weights in {_listed(bad)}: the training diverged, and no "
            "loss can be computed from them. Take an earlier checkpoint."
        )


def _count_non_finite(where: Path | str, name: str, tensor: torch.Tensor) -> int:
    try:
        return int((~torch.isfinite(tensor)).sum())
    except (RuntimeError, TypeError) as problem:  # sparse, quantized, meta, 8-bit, or no tensor
        raise InputError(
            f"{where}: {name} is no plain dense tensor of numbers ({_sentence(problem)}) Save it "
            "as float32, float16 or bfloat16."
        ) from problem


def _compare_names(checkpoint: Checkpoint, target: Mapping[str, torch.Tensor]) -> None:
    there = {_memory(tensor) for name, tensor in target.items() if name in checkpoint.state}
    missing = [
        name
        for name, tensor in target.items()
        if name not in checkpoint.state
        and not _is_counter(name)
        and (tensor.numel() == 0 or _memory(tensor) not in there)
    ]
    extra = [name for name in checkpoint.state if name not in target]
    parts = []
    if missing:
        parts.append(f"missing from it: {_listed(_with_nearest(missing, extra))}")
    if extra:
        parts.append(f"not in the network: {_listed(_with_nearest(extra, missing))}")
    if parts:
        only_shortcuts = all(".shortcut." in name for name in missing + extra)
        hint = ": shortcuts of names that end in _pad or _noshort have no weights"
        raise InputError(
            f"{checkpoint.path}: does not fit the network; {'; '.join(parts)}. "
            "Name the network it was trained with by --model"
            f"{hint * only_shortcuts}."
        )


def _memory(tensor: torch.Tensor) -> tuple[int, torch.Size]:
    """Return what two names of one tensor have in common."""
    return tensor.data_ptr(), tensor.shape


def _compare_shapes(checkpoint: Checkpoint, target: Mapping[str, torch.Tensor]) -> None:
    pairs = [
        f"{name} {_kind(tensor)} there, {_kind(target[name])} in the network"
        for name, tensor in checkpoint.state.items()
        if _kind(tensor) != _kind(target[name]) and not _is_counter(name)
    ]
    if pairs:
        raise InputError(
            f"{checkpoint.path}: tensors differ: {_listed(pairs)}. The network needs the widths, "
            "channels and classes it was trained with."
        )


def _kind(tensor: torch.Tensor) -> str:
    """Return the shape, and the type where it is no floating-point one."""
    plain = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{plain}{list(tensor.shape)}"


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _with_nearest(names: list[str], others: list[str]) -> Iterable[str]:
    """Return each name with the nearest of the others beside it; only those to be listed."""
    for i, name in enumerate(names):
        near = nearest_name(name, others) if i < N_LISTED else None
        yield f"{name} (nearest: {near})" if near else name


def _listed(items: Iterable[str]) -> str:
    """Return the first items, and how many more there are."""
    items = list(items)
    more = f" and {len(items) - N_LISTED:,} more" if len(items) > N_LISTED else ""
    return ", ".join(items[:N_LISTED]) + more


def _sentence(problem: BaseException) -> str:
    """Return the first sentence of what a library said."""
    return str(problem).strip().split("\n")[0].split(". ")[0].rstrip(".") + "."
