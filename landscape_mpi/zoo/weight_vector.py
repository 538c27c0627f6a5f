"""Read the weights of a checkpoint as one long vector, or any stretch of it alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from landscape_mpi.errors import InputError
from landscape_mpi.tensor_names import is_statistic, last_word, listed
from landscape_mpi.zoo.checkpoint import map_checkpoint
from landscape_mpi.zoo.training_place import TrainingPlace, place_of
from landscape_mpi.zoo.weight_files import find_weights
from landscape_mpi.zoo.weight_fit import beside_network


@dataclass(frozen=True)
class Header:
    """Hold a checkpoint's information about itself, without its weights."""

    path: Path
    sha256: str  # digest of its files
    shapes: dict[str, tuple[int, ...]]  # shapes of the floating-point tensors, shared ones once
    place: TrainingPlace
    lr: float  # recorded learning rate, else NaN
    notes: tuple[str, ...]  # for the log: the origin of the weights

    @property
    def epoch(self) -> float:
        """Return the recorded epoch, else the epoch in the file's name, else NaN."""
        return self.place.epoch


@dataclass(frozen=True)
class Layout:
    """Describe tensors one after another in a vector."""

    shapes: dict[str, tuple[int, ...]]

    @property
    def n_weights(self) -> int:
        """Return the number of weights in the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def places(self) -> Iterator[tuple[str, int, int]]:
        """Yield each tensor's name, its begin and its end in the vector."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        ends = list(itertools.accumulate(sizes))
        for name, size, end in zip(self.shapes, sizes, ends, strict=True):
            yield name, end - size, end

    def flatten(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return tensors as a vector, float32 [n_weights], zero for missing ones."""
        vector = np.zeros(self.n_weights, np.float32)
        for name, begin, end in self.places():
            if name in tensors:
                vector[begin:end] = np.ravel(tensors[name])
        return vector

    def unflatten(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """Return a vector [n_weights] as tensors by name, which are views of it."""
        return {
            name: vector[begin:end].reshape(self.shapes[name]) for name, begin, end in self.places()
        }


def read_header(path: Path, *, trust: bool = False, key: str | None = None) -> Header:
    """Read a checkpoint's information about itself. Local.

    Args:
        path: A file or folder of weights.
        trust: Unpickle any content, which can run code.
        key: Place of the weights in it; None if only one choice is possible.
    """
    state, notes, said = map_checkpoint(path, trust=trust, key=key)
    beside = [name for name in beside_network(state) if state[name].is_floating_point()]
    if beside:
        said = (
            *said,
            f"these tensors do not belong to the network and are left out: {listed(beside)}",
        )
    seen, shapes = set(), {}
    for name, tensor in state.items():
        place = (tensor.data_ptr(), tuple(tensor.shape))
        is_weight = tensor.is_floating_point() and name not in beside
        if is_weight and (tensor.numel() == 0 or place not in seen):
            shapes[name] = tuple(tensor.shape)
            seen.add(place)
    lr = notes.get("lr")
    known = isinstance(lr, int | float) and not isinstance(lr, bool)
    return Header(
        path,
        find_weights(path).sha256,
        shapes,
        place_of(path, notes),
        float(lr) if known else math.nan,  # type: ignore[arg-type]
        said,
    )


def same_weights(first: Path, second: Path, *, trust: bool = False, key: str | None = None) -> bool:
    """Return whether two checkpoints hold the same tensors. Local.

    Args:
        first: First checkpoint.
        second: Second checkpoint.
        trust: Unpickle any content, which can run code.
        key: Place of the weights in both.
    """
    states = [map_checkpoint(path, trust=trust, key=key)[0] for path in (first, second)]
    return states[0].keys() == states[1].keys() and all(
        torch.equal(tensor, states[1][name]) for name, tensor in states[0].items()
    )


def choose_layout(header: Header, *, ignore: tuple[str, ...], states: bool) -> Layout:
    """Choose the tensors of a checkpoint that move, by their names and shapes alone.

    A layer counts as a normalisation if its ``weight`` is a vector or if it has running statistics;
    its weight and bias are ``bn``. Any other name with bias in its last word is ``bias``.

    Args:
        header: Header of the checkpoint.
        ignore: Kinds that do not move: ``bias`` and ``bn``.
        states: Whether running means and variances move as well.

    Raises:
        InputError: If nothing is left to move.
    """
    shapes = {
        name: shape
        for name, shape in header.shapes.items()
        if (states if is_statistic(name) else _kind(name, header.shapes) not in ignore)
    }
    if not Layout(shapes).n_weights:
        raise InputError(
            f"--ignore {','.join(ignore)} leaves none of the {len(header.shapes)} tensors of "
            f"{header.path} to move. Pass --ignore none."
        )
    return Layout(shapes)


def _kind(name: str, shapes: Mapping[str, tuple[int, ...]]) -> str:
    prefix = name.removesuffix(last_word(name))
    weight = shapes.get(f"{prefix}weight")
    normalises = f"{prefix}running_var" in shapes or (weight is not None and len(weight) == 1)
    if normalises and last_word(name) in {"weight", "bias"}:
        return "bn"
    return "bias" if "bias" in last_word(name) else "weight"


def check_layout(header: Header, layout: Layout, *, like: Path) -> None:
    """Check that a checkpoint has the tensors of another one.

    Args:
        header: Header of the checkpoint.
        layout: Moved tensors of the other checkpoint.
        like: The other checkpoint, for the message.

    Raises:
        InputError: If a tensor is missing or has another shape.
    """
    for name, shape in layout.shapes.items():
        found = header.shapes.get(name)
        if found != shape:
            has = "does not have" if found is None else f"has with shape {list(found)}"
            raise InputError(
                f"{header.path}: {has} {name}, which has shape {list(shape)} in {like}. All "
                "checkpoints of a plane must belong to the same network. Leave this one out."
            )


def read_stretch(
    path: Path,
    layout: Layout,
    start: int,
    out: np.ndarray,
    *,
    trust: bool,
    key: str | None = None,
) -> None:
    """Read a stretch of a checkpoint's vector. Local.

    Args:
        path: The checkpoint.
        layout: Tensors of the vector.
        start: Begin of the stretch.
        out: Result, float32 [n], filled in place.
        trust: Unpickle any content, which can run code.
        key: Place of the weights in it.

    Raises:
        InputError: If a weight is NaN or infinite, or if the file has changed in the meantime.
    """
    state, _, _ = map_checkpoint(path, trust=trust, key=key)
    stop = start + len(out)
    for name, begin, end in layout.places():
        first, last = max(start, begin), min(stop, end)
        if first >= last:
            continue
        tensor = state.get(name)
        if tensor is None or tuple(tensor.shape) != layout.shapes[name]:
            raise InputError(
                f"{path}: was replaced while it was read. Start again when no program writes to it."
            )
        piece = tensor.reshape(-1)[first - begin : last - begin].to(torch.float32).numpy()
        if not np.isfinite(piece).all():
            raise InputError(
                f"{path}: {name} holds NaN or infinite weights: the training diverged there, so a "
                "trajectory cannot pass through it. Leave out this checkpoint and the later ones."
            )
        out[first - start : last - start] = piece
