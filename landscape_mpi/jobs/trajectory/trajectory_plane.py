"""Span the plane of trainings by two directions, and project every checkpoint onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.subspace import Sums, find_components, gram_of, project, sums_of
from landscape_mpi.jobs.trajectory.axes import OPTIONS, TrajectoryAxes
from landscape_mpi.jobs.trajectory.sweep import Stretch, Sweep
from landscape_mpi.jobs.trajectory.trainings import Trainings
from landscape_mpi.zoo.weight_vector import read_stretch


@dataclass(frozen=True)
class TrajectoryComponents:
    """Hold principal components of the checkpoints; none if no axis is one."""

    weights: np.ndarray  # float64 [n_files, n_components]: component = vectors.T @ weights
    shares: np.ndarray  # share of the sum of squares, float64 [n_components]
    along: np.ndarray  # coordinates, float64 [n_files, n_components]


@dataclass(frozen=True)
class TrajectoryPlane:
    """Hold the final result on rank 0."""

    vectors: np.ndarray  # float32 [2, n_weights]
    center: np.ndarray  # float32 [n_weights]
    components: TrajectoryComponents
    coordinates: np.ndarray  # float64 [n_files, 2]
    residual: np.ndarray  # float64 [n_files]
    squares: np.ndarray  # share of the distance from the center, float64 [n_files]

    @property
    def captured(self) -> float:
        """Return the share of the sum of squares that lies in the plane."""
        total = float(self.squares.sum())
        return 1 - float((self.residual**2 * self.squares).sum()) / total if total else 1.0


def span_plane(ranks: Ranks, trainings: Trainings, axes: TrajectoryAxes) -> TrajectoryPlane | None:
    """Make the directions, and project every checkpoint. Collective over the ranks.

    Returns:
        The plane, on rank 0.
    """
    sweep = Sweep(ranks, trainings)
    center = on_root(ranks, lambda: _read_center(trainings))
    fixed = _share_vectors(ranks, trainings, axes, center)
    components = _find_components(ranks, trainings, sweep, axes)
    vectors = np.empty((2, trainings.layout.n_weights), np.float32) if ranks.is_root else None
    sums: list[Sums] = []

    def work(stretch: Stretch) -> tuple[np.ndarray, Sums]:
        # Projected on the float32 values that the file will hold.
        pieces = _pieces(stretch, axes, components, fixed).astype(np.float32)
        return pieces, sums_of(stretch.vectors, torch.from_numpy(pieces).double())

    def take(place: slice, done: tuple[np.ndarray, Sums]) -> None:
        assert vectors is not None
        vectors[:, place], part = done
        sums[:] = [sums[0] + part] if sums else [part]

    sweep.work_off(work, take, what="projection")

    def finish() -> TrajectoryPlane:
        assert vectors is not None
        assert center is not None
        coordinates, residual = project(sums[0], names=OPTIONS)
        return TrajectoryPlane(vectors, center, components, coordinates, residual, sums[0].squares)

    return on_root(ranks, finish)


def _read_center(trainings: Trainings) -> np.ndarray:
    center = np.empty(trainings.layout.n_weights, np.float32)
    read_stretch(
        trainings.center, trainings.layout, 0, center, trust=trainings.trust, key=trainings.key
    )
    return center


def _find_components(
    ranks: Ranks, trainings: Trainings, sweep: Sweep, axes: TrajectoryAxes
) -> TrajectoryComponents:
    """Return the components on every rank; the Gram matrix needs an additional sweep."""
    n_files = len(trainings.files)
    if not axes.n_components:
        return TrajectoryComponents(np.empty((n_files, 0)), np.empty(0), np.empty((n_files, 0)))
    gram = np.zeros((n_files, n_files))

    def take(_: slice, part: np.ndarray) -> None:
        gram[...] += part

    sweep.work_off(lambda stretch: gram_of(stretch.vectors), take, what="inner products")

    def find() -> TrajectoryComponents:
        others = trainings.others
        within = gram[np.ix_(others, others)]
        found = find_components(within, axes.n_components, mean_centred=axes.mean_centred)
        weights = np.zeros((n_files, axes.n_components))
        weights[others] = found.weights
        along = torch.from_numpy(gram) @ torch.from_numpy(weights)
        return TrajectoryComponents(weights, found.shares, along.numpy())

    found: TrajectoryComponents = ranks.comm.bcast(on_root(ranks, find), root=ROOT)
    return found


def _share_vectors(
    ranks: Ranks, trainings: Trainings, axes: TrajectoryAxes, center: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Return the directions that are not components, by axis, on every rank."""
    shared = {}
    for axis in (0, 1):
        if axes.component(axis) is None:
            made = on_root(ranks, lambda axis=axis: _make_vector(trainings, axes, axis, center))  # type: ignore[misc]
            vector = np.empty(trainings.layout.n_weights, np.float32) if made is None else made
            ranks.comm.Bcast(vector, root=ROOT)
            shared[axis] = vector
    return shared


def _make_vector(
    trainings: Trainings, axes: TrajectoryAxes, axis: int, center: np.ndarray | None
) -> np.ndarray:
    assert center is not None
    return axes.vector(axis, center, trainings.layout, parameters=trainings.parameters)


def _pieces(
    stretch: Stretch,
    axes: TrajectoryAxes,
    components: TrajectoryComponents,
    fixed: dict[int, np.ndarray],
) -> np.ndarray:
    """Return both directions on a stretch of the weights, float [2, n]."""
    pieces = []
    for axis in (0, 1):
        number = axes.component(axis)
        if number is None:
            pieces.append(fixed[axis][stretch.place].astype(np.float64))
        else:
            weights = torch.from_numpy(np.ascontiguousarray(components.weights[:, number]))
            pieces.append((stretch.vectors.T @ weights).numpy())
    return np.stack(pieces)
