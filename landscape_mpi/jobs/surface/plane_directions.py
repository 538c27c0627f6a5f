"""Make or read the directions of a plane; each axis has its own kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.choice import choose_alone
from landscape_mpi.compute.devices.repeatability import compute_repeatably
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.interpolation import difference, place_in_plane, turned_orthogonal
from landscape_mpi.compute.layer_kinds import LayerKinds
from landscape_mpi.compute.selection import abbreviated, moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.ties import refuse_overlaps, say_ties
from landscape_mpi.engine.checkpoints import read_weights
from landscape_mpi.engine.direction_kind import AXES, DirectionKind
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.plan import Directions
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.random_directions import RandomDirections, Shaping
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.direction_kinds import CHOSEN, SCALED, kinds_of
from landscape_mpi.jobs.surface.request import PlaneRequest, SurfaceRequest
from landscape_mpi.short_names import short_names
from landscape_mpi.store.directions import kept_vectors, read_directions
from landscape_mpi.store.solution_marks import Mark
from landscape_mpi.tensor_names import is_statistic


@dataclass(frozen=True)
class PlaneDirections:
    """Both directions of a plane, on rank 0, and their origin."""

    vectors: dict[str, Direction]  # by axis
    sources: dict[str, str]  # by axis: random, to FILE, none, or the file they were read from
    shaping: Shaping | None  # of those that are drawn or scaled here; None where none is
    random: RandomDirections | None  # directions that the ranks draw themselves
    sent: tuple[str, ...]  # axes whose vectors rank 0 sends
    kept: bool  # whether a resumed run needs the vectors of the file
    layers: LayerKinds
    marks: tuple[Mark, ...] = field(default=())  # places in the plane

    def known(self, repeats: int | None) -> Directions:
        """Return the part that every rank knows.

        Args:
            repeats: Lines along directions of their own, None for a plane or one line.
        """
        return Directions(
            self.random, self.sent, directions.digest(*self.vectors.values()), repeats
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the vectors that the ranks need, by ``alpha/...`` and ``beta/...``."""
        return {
            f"{axis}/{name}": values
            for axis in self.sent
            for name, values in self.vectors[axis].items()
        }


def choose_directions(
    asked: SurfaceRequest, inputs: Inputs | ProblemInputs, alpha: np.ndarray, beta: np.ndarray
) -> PlaneDirections:
    """Make the requested directions. Local; call it on rank 0.

    Args:
        asked: The surface.
        inputs: Network, weights and data.
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Along the second, float64 [n_beta].

    Raises:
        InputError: If they contradict each other or do not fit the network.
    """
    plane = asked.plane
    kinds = kinds_of(asked, is_line=len(beta) == 1 and not beta.any())
    shaping, layers = _shaping(plane), inputs.layer_kinds()
    drawn = {axis: kind for axis, kind in kinds.items() if kind.name == "random"}
    random = RandomDirections(shaping, drawn, layers) if drawn else None
    vectors = random.make(inputs.network, inputs.state) if random else {}
    maker = _Maker(asked, inputs, shaping, layers)
    for axis, kind in kinds.items():
        if axis not in drawn:
            vectors[axis] = maker.make(axis, kind, needed=axis == "alpha" or bool(beta.any()))
    sources = {axis: kind.words for axis, kind in kinds.items()}
    sent = tuple(axis for axis in AXES if axis not in drawn)
    straight = vectors["beta"]
    if plane.orthogonal:
        both = all(kind.name == "to" for kind in kinds.values())
        length = directions.norm(vectors["alpha"]) if both else None
        vectors["beta"] = turned_orthogonal(straight, vectors["alpha"], length=length)
        sources["beta"] += ", orthogonal"
        sent = tuple(axis for axis in AXES if axis in {*sent, "beta"})
    corners = [(float(a), float(b)) for a in alpha[[0, -1]] for b in beta[[0, -1]]]
    directions.check_variances(inputs.state, vectors, corners)
    names = {kind.name for kind in kinds.values()}
    refuse_overlaps(inputs.network, option=inputs.subject.option)
    for words in (*(layers.notes if names & CHOSEN else ()), *say_ties(inputs.network)):
        print(words, flush=True)
    return PlaneDirections(
        vectors={axis: vectors[axis] for axis in AXES},
        sources=sources,
        shaping=shaping if names & SCALED else None,
        random=random,
        sent=sent,
        kept="gradient" in names,
        layers=layers,
        marks=_marks(asked, kinds, vectors, straight),
    )


def _shaping(plane: PlaneRequest) -> Shaping:
    asked = {name: getattr(plane, name) for name in ("seed", "normalize", "ignore", "only")}
    return Shaping(**{name: value for name, value in asked.items() if value is not None})


def _marks(
    asked: SurfaceRequest,
    kinds: Mapping[str, DirectionKind],
    vectors: Mapping[str, Direction],
    straight: Direction,
) -> tuple[Mark, ...]:
    """Return the center and the checkpoints to which directions lead; empty if none does.

    Args:
        asked: The surface.
        kinds: By axis.
        vectors: By axis.
        straight: The direction along beta before it was turned.
    """
    places = {"alpha": (1.0, 0.0), "beta": (0.0, 1.0)}
    if asked.plane.orthogonal and kinds["beta"].name == "to":
        places["beta"] = place_in_plane(straight, vectors["alpha"], vectors["beta"])
    files = {
        axis: kind.file
        for axis, kind in kinds.items()
        if kind.name == "to" and kind.file is not None
    }
    if not files:
        return ()
    network = asked.inputs.network
    center = [] if network.checkpoint is None else [network.checkpoint]
    names = short_names([*center, *files.values()])
    names = names if center else [asked.inputs.center_name, *names]
    at = [(0.0, 0.0), *(places[axis] for axis in files)]
    return tuple(Mark(name, *place) for name, place in zip(names, at, strict=True))


def _buffers_that_differ(
    here: Mapping[str, np.ndarray], there: Mapping[str, np.ndarray], network: nn.Module
) -> tuple[set[str], list[str]]:
    """Return the buffers that differ between two solutions.

    Returns:
        Those that can move, such as the scale of a frozen batch-norm; those of whole numbers, which
        cannot, except for counters of batches.
    """
    buffers = {name for name, _ in network.named_buffers(remove_duplicate=False)} & here.keys()
    differ = sorted(name for name in buffers if not np.array_equal(here[name], there[name]))
    floats = {name for name in differ if here[name].dtype.kind == "f"}
    counters = {name for name in differ if name.endswith("num_batches_tracked")}
    return floats, [name for name in differ if name not in floats | counters]


class _Maker:
    """Makes directions that are not random."""

    def __init__(
        self,
        asked: SurfaceRequest,
        inputs: Inputs | ProblemInputs,
        shaping: Shaping,
        layers: LayerKinds,
    ) -> None:
        self._asked = asked
        self._inputs = inputs
        self._shaping = shaping
        self._layers = layers

    def make(self, axis: str, kind: DirectionKind, *, needed: bool) -> Direction:
        """Return a direction.

        Args:
            axis: Its axis.
            kind: Kind of the direction.
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
        inputs, plane, asked = self._inputs, self._asked.plane, self._asked.inputs.network
        trust, key = asked.trust_checkpoint, asked.checkpoint_key
        network = inputs.with_weights(read_weights(path, trust=trust, key=key))
        # A line between solutions moves all parameters, unless options keep some fixed.
        only = (plane.only or ()) if kind.only is None else kind.only
        norms = self._layers.norms
        names = set(moved_names(network, ignore=plane.ignore or (), only=only, norms=norms))
        there = tensors_of(network)
        statistics = {name for name in inputs.state if is_statistic(name)}
        if self._asked.running_statistics == "move":
            names |= statistics
        if not (plane.ignore or only):
            floats, whole = _buffers_that_differ(inputs.state, there, inputs.network)
            names |= floats - statistics
            if whole:
                self._check_whole(path, kind, {name: there[name] for name in whole})
        found = difference(inputs.state, there, names)
        if not found:
            raise InputError(
                f"{kind.option} {path}: holds the weights of --checkpoint itself, so there is no "
                f"line between them. Name another solution."
            )
        return found

    def _check_whole(self, path: Path, kind: DirectionKind, whole: dict[str, np.ndarray]) -> None:
        """Check that whole numbers of another solution do not change the outputs.

        Raises:
            InputError: If they do, so that no line leads to that solution.
        """
        inputs = self._inputs
        outputs = inputs.outputs_with(inputs.state)
        of_other = inputs.outputs_with({**inputs.state, **whole})
        names = abbreviated(list(whole))
        if not torch.equal(outputs, of_other):
            raise InputError(
                f"{kind.option} {path}: {names}: these whole numbers (a pruning mask, for "
                "example) differ from those at the center and change the outputs. They cannot "
                "move along a line, so the line would not end at that checkpoint. Name a solution "
                "with equal values."
            )
        print(
            f"{names}: these whole numbers differ between the two solutions and stay as they are "
            f"at the center; the outputs of the network do not depend on them",
            flush=True,
        )

    def _of_file(self, path: Path, kind: DirectionKind, *, needed: bool) -> Direction:
        stored = read_directions(path, option=kind.option, more=True)
        where = f"{kind.option}: {path}: {kind.axis}"
        if kind.axis in stored:
            return directions.matched_direction(
                stored[kind.axis], self._inputs.network, where=where
            )
        if kind.axis not in AXES:
            raise InputError(
                f"{where} does not exist; the file holds {', '.join(stored)}, where 0 is alpha "
                "and 1 is beta. Name one of them."
            )
        if needed:
            raise InputError(
                f"{kind.option}: {path}: holds a direction for alpha only, but --y requests a "
                "plane. Leave out --y, or pass a file with two directions."
            )
        return {}

    def _kept_or_new_gradient(self, axis: str, kind: DirectionKind) -> Direction:
        """Return the gradient that a file to be resumed has: threads decide its last bits."""
        file = self._asked.file
        kept = kept_vectors(file.out, axis) if file.resumes else None
        if kept:
            return kept
        return self._gradient(kind)

    def _gradient(self, kind: DirectionKind) -> Direction:
        inputs, shaping = self._inputs, self._shaping
        assert isinstance(inputs, Inputs)
        if "train" not in inputs.dataset.splits:
            raise InputError(
                f"{kind.option} gradient: is the gradient of the training loss, but --splits "
                f"{','.join(self._asked.inputs.data.splits or ())} leaves the training set out. "
                "Pass --splits train,test."
            )
        only = shaping.only if kind.only is None else kind.only
        norms, filters = self._layers.norms, self._layers.filters_of
        names = moved_names(inputs.network, ignore=shaping.ignore, only=only, norms=norms)
        device = choose_alone(self._asked.evaluation.device)  # rank 0's, before ranks are bound
        compute_repeatably()
        samples = inputs.resident("train", device=device.name)
        losses = OutputLosses(samples, inputs.loss.load(), batch=device.gradient_batch)
        network = inputs.network_copy().to(device.place)
        _, found = LossGradient(network, losses, names).here()
        scaled = {
            name: directions.normalized(
                values,
                inputs.state[name],
                normalize=shaping.normalize,
                filters=filters.get(name),
            ).astype(np.float32)
            for name, values in found.items()
        }
        if not directions.norm(scaled) > 0:
            raise InputError(
                f"{kind.option} gradient: is 0 or not finite at the center, so it is not a "
                "direction. Choose another kind."
            )
        return scaled
