"""The directions of a plane, made or read: every axis has a kind of its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.interpolation import difference, place_in_plane, turned_orthogonal
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.job.plane.direction_kinds import AXES, SCALED, DirectionKind, kinds_of
from landscape_mpi.short_names import short_names
from landscape_mpi.store.directions import kept_vectors, read_directions
from landscape_mpi.store.marks import Mark
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint

DEFAULT_NORMALIZE = "filter"
DEFAULT_IGNORE = ("bias", "bn")
DEFAULT_SEED = 1


@dataclass(frozen=True)
class Shaping:
    """How directions that are made are drawn and scaled, and what they move."""

    seed: int = DEFAULT_SEED
    normalize: str = DEFAULT_NORMALIZE
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    only: tuple[str, ...] = ()  # empty for all


@dataclass(frozen=True)
class RandomDirections:
    """The random directions of a plane, which every rank makes for itself."""

    shaping: Shaping
    kinds: Mapping[str, DirectionKind]  # by axis; the others are not random

    def make(
        self, network: nn.Module, state: Mapping[str, np.ndarray], *, repeat: int = 0
    ) -> dict[str, Direction]:
        """Return the random directions for a network with these weights, float32, by axis.

        Args:
            network: Tells which of its parameters are what.
            state: Its weights.
            repeat: Added to the seeds.
        """
        made = {}
        for axis, kind in self.kinds.items():
            only = self.shaping.only if kind.only is None else kind.only
            moved = set(moved_names(network, ignore=self.shaping.ignore, only=only))
            made[axis] = directions.random_direction(
                {name: values for name, values in state.items() if name in moved},
                seed=repeat + (self.shaping.seed if kind.seed is None else kind.seed),
                axis=kind.axis,
                normalize=self.shaping.normalize,
            )
        return made


@dataclass(frozen=True)
class Directions:
    """Both directions of a plane, on rank 0, and how they came about."""

    vectors: dict[str, Direction]  # by axis
    sources: dict[str, str]  # by axis: random, to FILE, none, or the file they were read from
    shaping: Shaping | None  # of those that are drawn or scaled here; None where none is
    random: RandomDirections | None  # what the ranks make themselves
    sent: tuple[str, ...]  # axes whose vectors rank 0 sends
    kept: bool  # whether a run that goes on needs the vectors of the file
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
    return options.batch_norm or ("move" if goes_to_checkpoint(options) else "fixed")


def goes_to_checkpoint(options: argparse.Namespace) -> bool:
    """Return whether a direction leads to another checkpoint."""
    kinds = (options.x_direction, options.y_direction)
    return options.to is not None or any(kind and kind.name == "to" for kind in kinds)


def choose_directions(
    options: argparse.Namespace, inputs: Inputs, alpha: np.ndarray, beta: np.ndarray
) -> Directions:
    """Make the directions that the options ask for. Local; call it on rank 0.

    Args:
        options: Those of kinds_of, and ``batch_norm``, ``checkpoint``, ``trust_checkpoint``,
            ``model``, ``out`` and ``fresh``.
        inputs: Network, weights and data.
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Along the second, float64 [n_beta].

    Raises:
        InputError: If they contradict each other or do not fit the network.
    """
    kinds = kinds_of(options, is_line=len(beta) == 1 and not beta.any())
    shaping = _shaping(options)
    drawn = {axis: kind for axis, kind in kinds.items() if kind.name == "random"}
    random = RandomDirections(shaping, drawn) if drawn else None
    vectors = random.make(inputs.network, inputs.state) if random else {}
    maker = _Maker(options, inputs, shaping)
    for axis, kind in kinds.items():
        if axis not in drawn:
            vectors[axis] = maker.make(axis, kind, needed=axis == "alpha" or bool(beta.any()))
    sources = {axis: kind.words for axis, kind in kinds.items()}
    sent = tuple(axis for axis in AXES if axis not in drawn)
    straight = vectors["beta"]
    if options.orthogonal:
        both = all(kind.name == "to" for kind in kinds.values())
        length = directions.norm(vectors["alpha"]) if both else None
        vectors["beta"] = turned_orthogonal(straight, vectors["alpha"], length=length)
        sources["beta"] += ", orthogonal"
        sent = tuple(axis for axis in AXES if axis in {*sent, "beta"})
    corners = [(float(a), float(b)) for a in alpha[[0, -1]] for b in beta[[0, -1]]]
    directions.check_variances(inputs.state, vectors, corners)
    names = {kind.name for kind in kinds.values()}
    return Directions(
        vectors={axis: vectors[axis] for axis in AXES},
        sources=sources,
        shaping=shaping if names & SCALED else None,
        random=random,
        sent=sent,
        kept="gradient" in names,
        marks=_marks(options, kinds, vectors, straight),
    )


def _shaping(options: argparse.Namespace) -> Shaping:
    asked = {name: getattr(options, name) for name in ("seed", "normalize", "ignore", "only")}
    return Shaping(**{name: value for name, value in asked.items() if value is not None})


def _marks(
    options: argparse.Namespace,
    kinds: Mapping[str, DirectionKind],
    vectors: Mapping[str, Direction],
    straight: Direction,
) -> tuple[Mark, ...]:
    """Return the center and the checkpoints that directions lead to; none where none does.

    Args:
        options: ``checkpoint``, ``model`` and ``orthogonal``.
        kinds: By axis.
        vectors: By axis.
        straight: The direction along beta before it was turned.
    """
    places = {"alpha": (1.0, 0.0), "beta": (0.0, 1.0)}
    if options.orthogonal and kinds["beta"].name == "to":
        places["beta"] = place_in_plane(straight, vectors["alpha"], vectors["beta"])
    files = {
        axis: kind.file
        for axis, kind in kinds.items()
        if kind.name == "to" and kind.file is not None
    }
    if not files:
        return ()
    center = [] if options.checkpoint is None else [options.checkpoint]
    names = short_names([*center, *files.values()])
    names = names if center else [options.model, *names]
    at = [(0.0, 0.0), *(places[axis] for axis in files)]
    return tuple(Mark(name, *place) for name, place in zip(names, at, strict=True))


class _Maker:
    """Makes directions that are not random."""

    def __init__(self, options: argparse.Namespace, inputs: Inputs, shaping: Shaping) -> None:
        self._options = options
        self._inputs = inputs
        self._shaping = shaping

    def make(self, axis: str, kind: DirectionKind, *, needed: bool) -> Direction:
        """Return a direction.

        Args:
            axis: Along which it lies.
            kind: What it is.
            needed: Whether points lie along it.

        Raises:
            InputError: If there is none.
        """
        if kind.name == "gradient":
            return self._kept_or_new_gradient(axis, kind)
        if kind.file is None:
            return {}
        if kind.name == "to":
            return self._difference(kind.file, kind)
        return self._of_file(kind.file, kind, needed=needed)

    def _difference(self, path: Path, kind: DirectionKind) -> Direction:
        options, inputs = self._options, self._inputs
        network = inputs.source.build()
        load_state(network, read_checkpoint(path, trust=options.trust_checkpoint))
        # A line between solutions moves everything, unless something is to stay.
        only = (options.only or ()) if kind.only is None else kind.only
        names = set(moved_names(network, ignore=options.ignore or (), only=only))
        if batch_norm_of(options) == "move":
            names |= {n for n in inputs.state if n.endswith(("running_mean", "running_var"))}
        found = difference(inputs.state, tensors_of(network), names)
        if not found:
            raise InputError(
                f"{kind.option} {path}: holds the weights of --checkpoint itself, so there is no "
                f"line between them. Name another solution."
            )
        return found

    def _of_file(self, path: Path, kind: DirectionKind, *, needed: bool) -> Direction:
        stored = read_directions(path, option=kind.option, more=True)
        where = f"{kind.option}: {path}: {kind.axis}"
        if kind.axis in stored:
            return directions.matched_direction(
                stored[kind.axis], self._inputs.network, where=where
            )
        if kind.axis not in AXES:
            raise InputError(
                f"{where}: is not there; it holds {', '.join(stored)}, of which alpha is 0 and "
                f"beta is 1. Name one of them."
            )
        if needed:
            raise InputError(
                f"{kind.option}: {path}: holds a direction for alpha only, and --y asks for a "
                f"plane. Leave --y out, or pass a file with two directions."
            )
        return {}

    def _kept_or_new_gradient(self, axis: str, kind: DirectionKind) -> Direction:
        """Return the gradient that a file to be resumed has: threads decide its last bits."""
        options = self._options
        if options.out.exists() and not options.fresh:
            kept = kept_vectors(options.out, axis)
            if kept:
                return kept
        return self._gradient(kind)

    def _gradient(self, kind: DirectionKind) -> Direction:
        inputs, shaping = self._inputs, self._shaping
        if "train" not in inputs.dataset.splits:
            raise InputError(
                f"{kind.option} gradient: is that of the training loss, and --splits "
                f"{','.join(self._options.splits)} leaves the training set out. Pass --splits "
                f"train,test."
            )
        only = shaping.only if kind.only is None else kind.only
        names = moved_names(inputs.network, ignore=shaping.ignore, only=only)
        samples = inputs.resident("train", device="cpu")
        loss = inputs.loss.load()
        _, found = LossGradient(inputs.network_copy(), samples, loss, names).here()
        scaled = {
            name: directions.normalized(
                values, inputs.state[name], normalize=shaping.normalize
            ).astype(np.float32)
            for name, values in found.items()
        }
        if not directions.norm(scaled) > 0:
            raise InputError(
                f"{kind.option} gradient: is 0 or not finite at the center, so it leads nowhere. "
                f"Take another direction."
            )
        return scaled
