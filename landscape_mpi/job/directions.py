"""The directions of a plane: random, to other checkpoints, or those of a file; one kind an axis."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.interpolation import difference, place_in_plane, turned_orthogonal
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.marks import Mark
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint

AXES = ("alpha", "beta")
DEFAULT_NORMALIZE = "filter"
DEFAULT_IGNORE = ("bias", "bn")
DEFAULT_SEED = 1


@dataclass(frozen=True)
class RandomDirections:
    """How random directions are made."""

    seed: int
    normalize: str
    ignore: tuple[str, ...]
    only: tuple[str, ...]  # empty for all
    axes: tuple[str, ...]  # the others have another direction, or one that moves nothing

    def make(self, network: nn.Module, state: Mapping[str, np.ndarray]) -> dict[str, Direction]:
        """Return the random directions for a network with these weights, float32, by axis."""
        moved = set(moved_names(network, ignore=self.ignore, only=self.only))
        center = {name: values for name, values in state.items() if name in moved}
        return {
            axis: directions.random_direction(
                center, seed=self.seed, axis=axis, normalize=self.normalize
            )
            for axis in self.axes
        }


@dataclass(frozen=True)
class Directions:
    """Both directions of a plane, on rank 0, and how they came about."""

    vectors: dict[str, Direction]  # by axis
    sources: dict[str, str]  # by axis: random, to FILE, none, or the file they were read from
    random: RandomDirections | None  # what the ranks make themselves
    sent: tuple[str, ...]  # axes whose vectors rank 0 sends
    marks: tuple[Mark, ...] = field(default=())  # what lies where in the plane

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the vectors that the ranks need, by ``alpha/...`` and ``beta/...``."""
        return {
            f"{axis}/{name}": values
            for axis in self.sent
            for name, values in self.vectors[axis].items()
        }


def batch_norm_of(options: argparse.Namespace) -> str:
    """Return what happens to running statistics, where nothing is asked what users expect."""
    return options.batch_norm or ("fixed" if options.to is None else "move")


def choose_directions(
    options: argparse.Namespace, inputs: Inputs, alpha: np.ndarray, beta: np.ndarray
) -> Directions:
    """Make the directions that the options ask for. Local; call it on rank 0.

    Args:
        options: ``directions``, ``to``, ``to_y``, ``orthogonal``, ``seed``, ``normalize``,
            ``ignore``, ``only``, ``batch_norm``, ``checkpoint`` and ``model``.
        inputs: Network and weights.
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Along the second, float64 [n_beta].

    Raises:
        InputError: If they contradict each other or do not fit the network.
    """
    is_line = len(beta) == 1 and not beta.any()
    _check_options(options, is_line=is_line)
    if options.directions is not None:
        found = _of_file(options.directions, inputs, beta)
    elif options.to is not None:
        found = _to_checkpoints(options, inputs, is_line=is_line)
    else:
        found = _random(options, inputs, AXES[:1] if is_line else AXES)
    corners = [(float(a), float(b)) for a in alpha[[0, -1]] for b in beta[[0, -1]]]
    directions.check_variances(inputs.state, found.vectors, corners)
    return found


def _check_options(options: argparse.Namespace, *, is_line: bool) -> None:
    if options.directions is not None:
        for name in ("to", "to_y", "normalize", "ignore", "only", "seed"):
            if getattr(options, name) is not None:
                raise InputError(
                    f"--{name.replace('_', '-')}: shapes directions that are made, and "
                    f"--directions {options.directions} takes those of a file as they are. Leave "
                    f"one of the two out."
                )
    if options.to_y is not None and options.to is None:
        raise InputError(
            f"--to-y {options.to_y}: is the second solution to go to, and --to names no first. "
            f"Pass --to for a line, and both for a plane through three solutions."
        )
    if options.to_y is not None and is_line:
        raise InputError(
            f"--to-y {options.to_y}: lies at beta = 1, and without --y there is only a line. Pass "
            f"--y, for example --y=-0.5:1.5:41."
        )
    if options.orthogonal and (is_line or options.directions is not None):
        raise InputError(
            "--orthogonal: turns the direction along beta that is made here, and there is none. "
            "Leave it out, or pass --y and no --directions."
        )


def _random(options: argparse.Namespace, inputs: Inputs, axes: tuple[str, ...]) -> Directions:
    random = RandomDirections(
        seed=DEFAULT_SEED if options.seed is None else options.seed,
        normalize=options.normalize or DEFAULT_NORMALIZE,
        ignore=DEFAULT_IGNORE if options.ignore is None else options.ignore,
        only=options.only or (),
        axes=axes,
    )
    made = random.make(inputs.network, inputs.state)
    vectors = {axis: made.get(axis, {}) for axis in AXES}
    sources = {axis: "random" if axis in axes else "none" for axis in AXES}
    if options.orthogonal and axes == AXES:
        vectors["beta"] = turned_orthogonal(vectors["beta"], vectors["alpha"])
        return Directions(vectors, sources | {"beta": "random, orthogonal"}, random, ("beta",))
    return Directions(vectors, sources, random, ())


def _to_checkpoints(options: argparse.Namespace, inputs: Inputs, *, is_line: bool) -> Directions:
    first = _difference(options.to, "--to", options, inputs)
    marks = [Mark(_name(options.checkpoint or options.model), 0.0, 0.0)]
    marks.append(Mark(_name(options.to), 1.0, 0.0))
    sources = {"alpha": f"to {options.to}", "beta": "none"}
    if is_line:
        return Directions({"alpha": first, "beta": {}}, sources, None, AXES, tuple(marks))
    if options.to_y is None:
        made = _random(options, inputs, ("beta",))
        sources["beta"], second, random = "random", made.vectors["beta"], made.random
    else:
        second, random = _difference(options.to_y, "--to-y", options, inputs), None
        sources["beta"] = f"to {options.to_y}"
    third = second
    if options.orthogonal:
        second = turned_orthogonal(
            second, first, length=directions.norm(first) if options.to_y else None
        )
        sources["beta"] += ", orthogonal"
    if options.to_y is not None:
        marks.append(Mark(_name(options.to_y), *place_in_plane(third, first, second)))
    vectors = {"alpha": first, "beta": second}
    return Directions(vectors, sources, random, AXES, tuple(marks))


def _difference(path: Path, option: str, options: argparse.Namespace, inputs: Inputs) -> Direction:
    network = inputs.source.build()
    load_state(network, read_checkpoint(path, trust=options.trust_checkpoint))
    # A line between solutions moves everything, unless something is to stay.
    names = set(moved_names(network, ignore=options.ignore or (), only=options.only or ()))
    if batch_norm_of(options) == "move":
        names |= {name for name in inputs.state if name.endswith(("running_mean", "running_var"))}
    found = difference(inputs.state, tensors_of(network), names)
    if not found:
        raise InputError(
            f"{option} {path}: holds the weights of --checkpoint itself, so there is no line "
            f"between them. Name another solution."
        )
    return found


def _name(source: Path | str) -> str:
    return Path(source).stem if isinstance(source, Path) else source


def _of_file(path: Path, inputs: Inputs, beta: np.ndarray) -> Directions:
    stored = read_directions(path)
    matched: dict[str, Direction] = {axis: {} for axis in AXES}
    for axis, tensors in stored.items():
        where = f"--directions: {path}: {axis}"
        matched[axis] = directions.matched_direction(tensors, inputs.network, where=where)
    if "beta" not in stored and beta.any():
        raise InputError(
            f"--directions: {path}: holds a direction for alpha only, and --y asks for a plane. "
            f"Leave --y out, or pass a file with two directions."
        )
    return Directions(matched, dict.fromkeys(AXES, str(path)), None, AXES)
