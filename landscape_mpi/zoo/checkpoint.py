"""Read trained weights from a file, check them, and load all or none into a network."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.node_memory import check_fits
from landscape_mpi.output import whole_file
from landscape_mpi.tensor_names import N_LISTED, is_extra, listed, plain_names
from landscape_mpi.zoo.weight_choice import Choice, choose_weights, record_of
from landscape_mpi.zoo.weight_files import (
    WeightFiles,
    find_weights,
    first_sentence,
    load_files,
    record_beside,
)
from landscape_mpi.zoo.weight_fit import choose_names, missing_names

ADAPTERS = ("lora_", "ia3_", "adalora", "prompt_embeddings", "modules_to_save", "oft_", "hada_")


@dataclass(frozen=True)
class Checkpoint:
    """Hold the weights of one checkpoint, on the CPU, as stored."""

    path: Path
    sha256: str  # digest of its files
    state: dict[str, torch.Tensor]  # by name without the words of wrappers
    dtypes: tuple[str, ...]  # types of the floating-point tensors, e.g. ("bfloat16",)
    record: dict[str, Any]  # entries beside the state dict, e.g. epoch and lr
    extra: dict[str, object] = field(default_factory=dict)  # extra state of modules, by name
    notes: tuple[str, ...] = ()  # for the log: the origin of the weights
    rivals: tuple[str, ...] = ()  # prefixes of the networks in state, if there are several
    versions: Mapping[str, Any] = field(default_factory=dict)  # by module, as torch stores them


def read_checkpoint(path: str | Path, *, trust: bool = False, key: str | None = None) -> Checkpoint:
    """Read a state dict, bare or wrapped, from a file or a folder of weights.

    Args:
        path: A torch or .safetensors file, the index.json of shards, or a folder.
        trust: Unpickle any object in the file, which can run code.
        key: Name of the weights in it; None if only one choice is possible.
    """
    path = Path(path)
    found = find_weights(path)
    loaded = load_files(found, trust=trust)
    choice = choose_weights(path, loaded, key)
    state, extra = _parted(choice)
    _check_repeated(path, state)
    refuse_non_finite(path, state)
    floats = {str(t.dtype).removeprefix("torch.") for t in state.values() if t.is_floating_point()}
    return Checkpoint(
        path,
        found.sha256,
        state,
        tuple(sorted(floats)),
        record_of(loaded) | record_beside(found),
        extra,
        (*_folder_notes(found), *choice.notes),
        choice.rivals,
        _versions_of(loaded, choice.state),
    )


def map_checkpoint(
    path: Path, *, trust: bool = False, key: str | None = None
) -> tuple[dict[str, torch.Tensor], Mapping[str, Any], tuple[str, ...]]:
    """Return the tensors of a checkpoint, still unread, and the entries beside them.

    Parts of a tensor are read from the file when they are used. Two formats are read whole: torch
    files from before 2020, which are not zip archives, and folders of torch.distributed.checkpoint.
    Weights are not checked.

    Args:
        path: The file or folder.
        trust: Unpickle any object in the file, which can run code.
        key: Name of the weights in it; None if only one choice is possible.

    Returns:
        Tensors by name, without the words of wrappers; the other entries of the checkpoint; notes
        for the log on the origin of the weights.

    Raises:
        InputError: If the choice between several weights needs the network.
    """
    found = find_weights(path)
    loaded = load_files(found, trust=trust, mapped=True)
    choice = choose_weights(path, loaded, key)
    if choice.rivals:
        raise InputError(
            f"{path}: holds several networks, under {', '.join(choice.rivals)}. Pass "
            "--checkpoint-key with the name of one of them."
        )
    notes = loaded if isinstance(loaded, Mapping) else {}
    said = (*_folder_notes(found), *choice.notes)
    state, _ = _parted(choice)
    _check_repeated(path, state)
    return state, {**notes, **record_beside(found)}, said


def _check_repeated(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Check that memory holds the numbers that tensors claim beyond those in the file.

    A tensor with a stride of 0 repeats its numbers, so it can claim any size in a small file.

    Raises:
        InputError: If it does not.
    """
    dense = [t for t in state.values() if t.layout is torch.strided and not t.is_meta]
    stored = ((t.numel() * t.element_size(), t.untyped_storage().nbytes()) for t in dense)
    check_fits(str(path), sum(max(0, claimed - held) for claimed, held in stored))


def _folder_notes(found: WeightFiles) -> tuple[str, ...]:
    if not found.others:
        return ()
    return (
        f"the weights of {found.main.name} are used, not those of {', '.join(found.others)} in "
        "the same folder. To use others, name their file",
    )


def _parted(choice: Choice) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """Return tensors and extra state of modules, by name without the words of wrappers."""
    plain = plain_names(choice.state)
    named = {plain[name]: value for name, value in choice.state.items()}
    extra = {name: value for name, value in named.items() if is_extra(name)}
    return {n: value.detach() for n, value in named.items() if n not in extra}, extra


def _versions_of(loaded: object, state: Mapping[str, object]) -> dict[str, Any]:
    """Return what a state dict says of the versions of its modules, by module.

    A module of a later version may convert tensors that an earlier one has saved.

    Args:
        loaded: The content of the file.
        state: The chosen tensors, one of the mappings in it.
    """
    if isinstance(loaded, nn.Module):
        loaded = loaded.state_dict()
    if not isinstance(loaded, Mapping):
        return {}
    versions = getattr(loaded, "_metadata", None)
    first = next(iter(state), None)
    if versions is not None and first is not None and first in loaded:
        mine = loaded[first] is state[first]
        return {_plain_module(name): found for name, found in versions.items()} if mine else {}
    inner = (_versions_of(value, state) for value in loaded.values())
    return next((found for found in inner if found), {})


def _plain_module(name: str) -> str:
    (plain,) = plain_names([f"{name}.tensor" if name else "tensor"]).values()
    return plain.rpartition(".")[0]


def _renamed(versions: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return versions by the network's names of modules.

    Args:
        versions: By the names of modules in the checkpoint.
        names: Names of tensors in the network by those in the checkpoint.
    """
    found: dict[str, Any] = {}
    for stored, wanted in names.items():
        here, there = stored.split(".")[:-1], wanted.split(".")[:-1]
        while True:
            if (known := versions.get(".".join(here))) is not None:
                found.setdefault(".".join(there), known)
            if not here or not there or here.pop() != there.pop():
                break
    return found


def fitted(checkpoint: Checkpoint, network: nn.Module) -> Checkpoint:
    """Rename the tensors of a checkpoint to a network's names, and drop tensors beside it.

    Tensors that the network does not have are kept, unless they may be left out.

    Args:
        checkpoint: Checkpoint as read.
        network: Network to load it into; it stays unchanged.
    """
    choice = choose_names(
        checkpoint.path, checkpoint.state, checkpoint.extra, network, rivals=checkpoint.rivals
    )
    names = choice.names
    return replace(
        checkpoint,
        state={names[name]: t for name, t in checkpoint.state.items() if name in names},
        extra={names[name]: v for name, v in checkpoint.extra.items() if name in names},
        notes=(*checkpoint.notes, *choice.notes),
        versions=_renamed(checkpoint.versions, names),
    )


def load_state(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Load all weights and buffers of a checkpoint by the network's own load_state_dict.

    The network is in training mode while it loads, because some layers merge weights on eval();
    afterwards it returns to its previous mode. A checkpoint may lack ``num_batches_tracked``, which
    evaluation does not use, and the second name of a tensor that the network has under two names.
    All names of either side may begin with a module that the other does not have, such as
    ``model.``.

    Args:
        network: Network to fill, in place; after an error it may be half filled.
        checkpoint: Checkpoint to fill it with.

    Raises:
        InputError: If names or shapes differ, a weight is infinite in the network's type, or the
            network does not hold the checkpoint's weights afterwards.
    """
    was_training = network.training
    network.train()
    fitting = fitted(checkpoint, network)
    target = {k: v for k, v in network.state_dict().items() if isinstance(v, torch.Tensor)}
    try:
        _compare_names(fitting, target)
        _compare_shapes(fitting, target)
    except InputError as problem:
        if not _loads_by_itself(network):
            raise
        stored = _with_versions({**checkpoint.state, **checkpoint.extra}, checkpoint.versions)
        _load(network, checkpoint.path, stored, problem)
    else:
        converted = {name: _converted(t, target[name]) for name, t in fitting.state.items()}
        refuse_non_finite(checkpoint.path, converted)
        stored = _with_versions({**converted, **fitting.extra}, fitting.versions)
        _load(network, checkpoint.path, stored)
        _check_loaded(network, checkpoint.path, converted)
    network.train(was_training)


def _with_versions(state: dict[str, Any], versions: Mapping[str, Any]) -> OrderedDict[str, Any]:
    """Return a state dict as torch writes it."""
    ordered = OrderedDict(state)
    if versions:
        ordered._metadata = OrderedDict(versions)  # type: ignore[attr-defined]
    return ordered


def _converted(tensor: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return tensor.to(own.dtype)


def _loads_by_itself(network: nn.Module) -> bool:
    """Return whether a network may accept names and shapes that its state dict does not have."""
    own = (nn.Module._load_from_state_dict, nn.Module.load_state_dict)
    return any(
        module._load_state_dict_pre_hooks
        or (type(module)._load_from_state_dict, type(module).load_state_dict) != own
        for module in network.modules()
        if not type(module).__module__.startswith("torch.nn.")
    )


def _load(
    network: nn.Module,
    path: Path,
    state: Mapping[str, object],
    problem: InputError | None = None,
) -> None:
    """Let a network load a state dict.

    Args:
        network: Network in training mode.
        path: The file, for the message.
        state: Tensors by the network's own names.
        problem: Reason why names or shapes do not fit; None if they fit, and then the network must
            accept every entry.

    Raises:
        InputError: If the network refuses it.
    """
    try:
        network.load_state_dict(state, strict=problem is not None)
    except Exception as refusal:  # the network's own code
        if problem is not None:
            raise problem from refusal
        raise InputError(
            f"{path}: the network's load_state_dict refuses it: {first_sentence(refusal)} Name "
            "the network that was trained."
        ) from refusal


def _check_loaded(network: nn.Module, path: Path, loaded: Mapping[str, torch.Tensor]) -> None:
    """Check that a network holds the weights that were loaded.

    Raises:
        InputError: If a tensor of its state dict differs.
    """
    now = network.state_dict()
    others = [
        name
        for name, tensor in loaded.items()
        if isinstance(now.get(name), torch.Tensor)
        and not _is_counter(name)
        and not torch.equal(now[name], tensor)
    ]
    if others:
        raise InputError(
            f"{path}: after load_state_dict some tensors of the network differ from the file: "
            f"{listed(others)}. The surface would belong to other weights. Make the network's own "
            "load_state_dict and state_dict restore the saved values."
        )


def write_checkpoint(path: Path, network: nn.Module, notes: Mapping[str, Any]) -> None:
    """Write a network's state dict with notes; after a failure, path keeps its old content.

    Args:
        path: File to write or replace.
        network: Network on any device.
        notes: Notes of plain types, so that the file can be read without trust.
    """
    write_state(path, network.state_dict(), notes)


def write_state(path: Path, state: Mapping[str, torch.Tensor], notes: Mapping[str, Any]) -> None:
    """Write a state dict and notes like write_checkpoint."""
    content = {name: tensor.cpu() for name, tensor in state.items()}
    with whole_file(path) as partial, partial.open("wb") as file:
        torch.save({"state_dict": content, **notes}, file)
        file.flush()
        os.fsync(file.fileno())


def classifier_size(state: Mapping[str, torch.Tensor]) -> int | None:
    """Return the number of rows of the last two-dimensional weight; None if there is none."""
    sizes = [len(t) for name, t in state.items() if name.endswith("weight") and t.ndim == 2]
    return sizes[-1] if sizes else None


def refuse_non_finite(where: Path | str, state: Mapping[str, torch.Tensor]) -> None:
    """Check that weights are finite numbers.

    Args:
        where: File or model of the weights, for the message.
        state: Weights by name.

    Raises:
        InputError: If one of them is NaN or infinite.
    """
    counts = {name: _count_non_finite(where, name, tensor) for name, tensor in state.items()}
    bad = [f"{name} ({n:,} of {state[name].numel():,})" for name, n in counts.items() if n]
    if bad:
        raise InputError(
            f"{where}: NaN or infinite weights in {listed(bad)}: the training diverged, and these "
            "weights have no loss. Take an earlier checkpoint."
        )


def _count_non_finite(where: Path | str, name: str, tensor: torch.Tensor) -> int:
    try:
        return int((~torch.isfinite(tensor)).sum())
    except (RuntimeError, TypeError) as problem:  # sparse, quantized, meta, 8-bit, or not a tensor
        raise InputError(
            f"{where}: {name} is not a dense tensor of numbers ({first_sentence(problem)}) Save it "
            "as float32, float16 or bfloat16."
        ) from problem


def _compare_names(checkpoint: Checkpoint, target: Mapping[str, torch.Tensor]) -> None:
    missing = missing_names(checkpoint.state, target)
    extra = [name for name in checkpoint.state if name not in target]
    parts = []
    if missing:
        parts.append(f"missing from it: {listed(_with_nearest(missing, extra))}")
    if extra:
        parts.append(f"not in the network: {listed(_with_nearest(extra, missing))}")
    if parts:
        raise InputError(
            f"{checkpoint.path}: does not fit the network; {'; '.join(parts)}. "
            f"{_way_out(checkpoint, missing, extra)}"
        )


def _way_out(checkpoint: Checkpoint, missing: list[str], extra: list[str]) -> str:
    if missing and any(word in name for name in checkpoint.state for word in ADAPTERS):
        return (
            "It holds only the adapters that PEFT trains on top of a base model. Let the function "
            "that builds the network return the base model with the adapters in it "
            "(PeftModel.from_pretrained(base, FOLDER), optionally followed by "
            "merge_and_unload()), and leave out --checkpoint."
        )
    only_shortcuts = all(".shortcut." in name for name in missing + extra)
    hint = ": shortcuts of names that end in _pad or _noshort have no weights"
    return f"Name the network that was trained{hint * only_shortcuts}."


def _compare_shapes(checkpoint: Checkpoint, target: Mapping[str, torch.Tensor]) -> None:
    pairs = [
        f"{name} {_kind(tensor)} there, {_kind(target[name])} in the network"
        for name, tensor in checkpoint.state.items()
        if not (is_lazy(target[name]) or _is_counter(name)) and _kind(tensor) != _kind(target[name])
    ]
    if pairs:
        raise InputError(
            f"{checkpoint.path}: tensors differ: {listed(pairs)}. Build the network with the "
            "widths, channels and classes with which it was trained."
        )


def _kind(tensor: torch.Tensor) -> str:
    """Return the shape, and the type unless it is floating-point."""
    plain = "" if tensor.is_floating_point() else f"{str(tensor.dtype).removeprefix('torch.')} "
    return f"{plain}{list(tensor.shape)}"


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _with_nearest(names: list[str], others: list[str]) -> Iterable[str]:
    """Return the names to list, each with the nearest of the others beside it."""
    for i, name in enumerate(names):
        near = nearest_name(name, others) if i < N_LISTED else None
        yield f"{name} (nearest: {near})" if near else name
