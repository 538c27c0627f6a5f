"""Span the plane of runs by two directions, and project every checkpoint onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.subspace import Sums, find_components, gram_of, project, sums_of
from landscape_mpi.jobs.trajectory.axes import OPTIONS, PathAxes
from landscape_mpi.jobs.trajectory.runs import Runs
from landscape_mpi.jobs.trajectory.sweep import Stretch, Sweep
from landscape_mpi.zoo.weight_vector import read_stretch


@dataclass(frozen=True)
class PathComponents:
    """Hold principal components of the checkpoints; none if no axis is one."""

    weights: np.ndarray  # float64 [n_files, n_components]: component = vectors.T @ weights
    shares: np.ndarray  # share of the sum of squares, float64 [n_components]
    along: np.ndarray  # coordinates, float64 [n_files, n_components]


@dataclass(frozen=True)
class PathPlane:
    """Hold the final result on rank 0."""

    vectors: np.ndarray  # float32 [2, n_weights]
    center: np.ndarray  # float32 [n_weights]
    components: PathComponents
    coordinates: np.ndarray  # float64 [n_files, 2]
    residual: np.ndarray  # float64 [n_files]
    squares: np.ndarray  # share of the distance from the center, float64 [n_files]

    @property
    def captured(self) -> float:
        """Return the share of the sum of squares that lies in the plane."""
        total = float(self.squares.sum())
        return 1 - float((self.residual**2 * self.squares).sum()) / total if total else 1.0


def span_plane(ranks: Ranks, runs: Runs, axes: PathAxes) -> PathPlane | None:
    """Make the directions, and project every checkpoint. Collective over the ranks.

    Returns:
        The plane, on rank 0.
    """
    sweep = Sweep(ranks, runs)
    center = on_root(ranks, lambda: _read_center(runs))
    fixed = _share_vectors(ranks, runs, axes, center)
    components = _find_components(ranks, runs, sweep, axes)
    vectors = np.empty((2, runs.layout.n_weights), np.float32) if ranks.is_root else None
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

    def finish() -> PathPlane:
        assert vectors is not None
        assert center is not None
        coordinates, residual = project(sums[0], names=OPTIONS)
        return PathPlane(vectors, center, components, coordinates, residual, sums[0].squares)

    return on_root(ranks, finish)


def _read_center(runs: Runs) -> np.ndarray:
    center = np.empty(runs.layout.n_weights, np.float32)
    read_stretch(runs.center, runs.layout, 0, center, trust=runs.trust, key=runs.key)
    return center


def _find_components(ranks: Ranks, runs: Runs, sweep: Sweep, axes: PathAxes) -> PathComponents:
    """Return the components on every rank; the Gram matrix needs an additional sweep."""
    n_files = len(runs.files)
    if not axes.n_components:
        return PathComponents(np.empty((n_files, 0)), np.empty(0), np.empty((n_files, 0)))
    gram = np.zeros((n_files, n_files))

    def take(_: slice, part: np.ndarray) -> None:
        gram[...] += part

    sweep.work_off(lambda stretch: gram_of(stretch.vectors), take, what="inner products")

    def find() -> PathComponents:
        others = runs.others
        within = gram[np.ix_(others, others)]
        found = find_components(within, axes.n_components, mean_centred=axes.mean_centred)
        weights = np.zeros((n_files, axes.n_components))
        weights[others] = found.weights
        along = torch.from_numpy(gram) @ torch.from_numpy(weights)
        return PathComponents(weights, found.shares, along.numpy())

    found: PathComponents = ranks.comm.bcast(on_root(ranks, find), root=ROOT)
    return found


def _share_vectors(
    ranks: Ranks, runs: Runs, axes: PathAxes, center: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Return the directions that are not components, by axis, on every rank."""
    shared = {}
    for axis in (0, 1):
        if axes.component(axis) is None:
            made = on_root(ranks, lambda axis=axis: _make_vector(runs, axes, axis, center))  # type: ignore[misc]
            vector = np.empty(runs.layout.n_weights, np.float32) if made is None else made
            ranks.comm.Bcast(vector, root=ROOT)
            shared[axis] = vector
    return shared


def _make_vector(runs: Runs, axes: PathAxes, axis: int, center: np.ndarray | None) -> np.ndarray:
    assert center is not None
    return axes.vector(axis, center, runs.layout, parameters=runs.parameters)


def _pieces(
    stretch: Stretch, axes: PathAxes, components: PathComponents, fixed: dict[int, np.ndarray]
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
