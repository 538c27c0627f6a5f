"""Plan a Hessian run: read the surface file again, and check it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.engine.direction_kind import AXES, DirectionKind
from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.engine.plan import Directions, Plan, plan_on_root
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.random_directions import RandomDirections, Shaping
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.hessian.request import HessianRequest
from landscape_mpi.jobs.hessian.training_data import AnyInputs, TrainingData, read_training_data
from landscape_mpi.output import OutputLock, check_output
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.hessian import (
    check_same_hessian,
    has_hessian,
    pending_eigenvalues,
)
from landscape_mpi.store.repair import describe_repair, repair_eigenvalues
from landscape_mpi.store.spectrum import check_is_spectrum
from landscape_mpi.store.stored_surface import StoredSurface, read_stored_surface

GIGABYTE = 10**9


@dataclass(frozen=True)
class HessianPlan:
    """Hold the plan of a run; the same on every rank."""

    surface: Plan  # request of the plane, its network and its limited data
    parameters: tuple[str, ...]  # names of the parameters to differentiate by
    points: np.ndarray  # flat indices into the grid, in the order of computation, int64 [n]
    total_weight: float | None  # divisor of the sum of the losses; None if points differ
    gauss_newton: bool
    solver: str  # lanczos or arpack
    tolerance: float
    max_products: int
    n_basis: int
    budget_bytes: int | None  # None for a share of the free memory
    identity: dict[str, Any]  # attributes of the eigenvalues, see store.hessian.IDENTITY
    limit: int | None = None  # digest of a problem's training data
    center_outputs: tuple[float, ...] = ()  # losses of the surface, if they are of the same samples

    @property
    def path(self) -> Path:
        """Return the surface file."""
        return self.surface.out


@dataclass(frozen=True)
class HessianInputs:
    """Hold rank 0's inputs until the other ranks need them."""

    arrays: dict[str, np.ndarray]  # see engine.plan.RootInputs
    fresh: bool  # whether existing eigenvalues are computed again
    source: ProblemSource | None = None  # statistics of a problem


def read_plan(ranks: Ranks, asked: HessianRequest) -> tuple[HessianPlan, HessianInputs | None]:
    """Read and check every input on rank 0. Collective over the ranks.

    Returns:
        The plan, on every rank; the inputs that rank 0 has read, on rank 0.
    """
    return plan_on_root(ranks, lambda: _read_on_root(asked))


def _read_on_root(asked: HessianRequest) -> tuple[HessianPlan, HessianInputs]:
    if asked.repair and asked.surface.exists():
        _repair(asked.surface)
    stored = read_stored_surface(asked.surface)
    check_output(asked.surface)
    is_spectrum = asked.spectrum.spectrum is not None
    if is_spectrum:
        check_output(asked.spectrum_out, inputs=[asked.surface])
        check_is_spectrum(asked.spectrum_out)
    _check_kind(stored)
    data = read_training_data(asked, stored)
    inputs = data.inputs
    random = _random_directions(stored, inputs)
    vectors = _directions(asked, stored, inputs, random)
    arrays = inputs.arrays()
    if random is None:
        for axis, direction in vectors.items():
            arrays |= {f"{axis}/{name}": values for name, values in direction.items()}
    plan = _plan(asked, stored, data, random, _parameters(asked, inputs, random, vectors))
    if not is_spectrum and has_hessian(plan.path) and not asked.fresh:
        check_same_hessian(plan.path, plan.identity)
        plan = _with_pending(plan, len(pending_eigenvalues(plan.path, plan.points)))
    return plan, HessianInputs(arrays, asked.fresh, data.source)


def _repair(path: Path) -> None:
    """Mark damaged eigenvalues of a surface file as not computed, and print where they are."""
    lock = OutputLock(path)
    try:
        print(describe_repair(path, repair_eigenvalues(path), noun="eigenvalue pair"), flush=True)
    finally:
        lock.release()


def _with_pending(plan: HessianPlan, n_pending: int) -> HessianPlan:
    return replace(plan, surface=replace(plan.surface, n_pending=n_pending))


def _check_kind(stored: StoredSurface) -> None:
    splits = stored.text("/", "splits")
    if "train" not in splits.split(","):
        raise InputError(
            f"{stored.path}: was computed on the split {splits}, but the Hessian is that of the "
            "training loss. Compute the surface with --splits train, or train,test."
        )
    if stored.text("/", "repeats") != "none":
        raise InputError(
            f"{stored.path}: holds lines along several directions (--repeats), but eigenvalues are "
            "only available for a plane or a single line. Compute the line with --seed instead."
        )
    if stored.text("/", "batch_norm") == "reestimate":
        raise InputError(
            f"{stored.path}: was computed with --batch-norm reestimate, whose statistics depend on "
            "the weights in a way that this Hessian ignores. Compute the surface with "
            "--batch-norm fixed."
        )


def _random_directions(stored: StoredSurface, inputs: AnyInputs) -> RandomDirections | None:
    if stored.text("directions", "source") != "random":
        return None
    ignore, only = stored.text("directions", "ignore"), stored.text("directions", "only")
    is_line = len(stored.beta) == 1 and not stored.beta.any()
    shaping = Shaping(
        seed=int(stored.text("directions", "seed")),
        normalize=stored.text("directions", "normalize"),
        ignore=() if ignore == "none" else tuple(ignore.split(",")),
        only=() if only == "none" else tuple(only.split(",")),
    )
    axes = AXES[:1] if is_line else AXES
    kinds = {axis: DirectionKind("random", axis=axis) for axis in axes}
    return RandomDirections(shaping, kinds, inputs.layer_kinds())


def _directions(
    asked: HessianRequest,
    stored: StoredSurface,
    inputs: AnyInputs,
    random: RandomDirections | None,
) -> dict[str, Direction]:
    """Return the surface's directions; make or read them again.

    Raises:
        InputError: If they differ.
    """
    vectors: dict[str, Direction] = {axis: {} for axis in AXES}  # a line has no direction beta
    if random is not None:
        vectors |= random.make(inputs.network, inputs.state)
    else:
        path = asked.directions or _file_of_directions(stored)
        for axis, tensors in read_directions(path).items():
            where = f"--directions: {path}: {axis}"
            vectors[axis] = directions.matched_direction(tensors, inputs.network, where=where)
    known, found = stored.text("directions", "sha256"), directions.digest(*vectors.values())
    if known != found:
        raise InputError(
            f"{stored.path}: lies along directions of SHA-256 {known[:16]}, but those found now "
            f"have {found[:16]}. Its eigenvalues must be of the same points: pass --directions "
            "with the file of its directions, or run on the machine where the surface was "
            "computed."
        )
    return vectors


def _file_of_directions(stored: StoredSurface) -> Path:
    """Return the file that holds the directions of a surface.

    Raises:
        InputError: If they were made from checkpoints but not saved.
    """
    source = stored.text("directions", "source")
    if stored.has_vectors:
        return stored.path
    if source.startswith(("to ", "random")) or "; " in source or "orthogonal" in source:
        raise InputError(
            f"{stored.path}: lies along directions that were made for it ({source}) but are not "
            "stored in it. Compute the surface with --save-directions."
        )
    return Path(source)


def _parameters(
    asked: HessianRequest,
    inputs: AnyInputs,
    random: RandomDirections | None,
    vectors: dict[str, Direction],
) -> tuple[str, ...]:
    if asked.parameters == "all":
        return tuple(dict(inputs.network.named_parameters()))
    if random is not None:
        shaping, norms = random.shaping, random.layers.norms
        return tuple(
            moved_names(inputs.network, ignore=shaping.ignore, only=shaping.only, norms=norms)
        )
    moved = {name for direction in vectors.values() for name in direction}
    names = tuple(name for name, _ in inputs.network.named_parameters() if name in moved)
    if not names:
        raise InputError(
            "--parameters moved: the directions of this surface move only buffers and no "
            "parameters, so there is nothing to differentiate by. Pass --parameters all."
        )
    return names


def _plan(
    asked: HessianRequest,
    stored: StoredSurface,
    data: TrainingData,
    random: RandomDirections | None,
    parameters: tuple[str, ...],
) -> HessianPlan:
    points = points_of_stride(len(stored.alpha), len(stored.beta), asked.stride)
    surface = Plan(
        out=stored.path,
        alpha=stored.alpha,
        beta=stored.beta,
        subject=data.inputs.subject,
        n_pending=len(points),
        evaluation=data.evaluation,
        rounds=asked.rounds,
        directions=Directions(random, () if random else AXES, stored.text("directions", "sha256")),
    )
    return HessianPlan(
        surface=surface,
        parameters=parameters,
        points=points,
        total_weight=data.total_weight,
        gauss_newton=asked.gauss_newton,
        solver=asked.solver.solver,
        tolerance=asked.solver.tolerance,
        max_products=asked.solver.max_products,
        n_basis=asked.solver.basis,
        budget_bytes=int(asked.solver.memory * GIGABYTE) if asked.solver.memory else None,
        identity={
            **data.identity,
            "parameters": asked.parameters,
            "matrix": "Gauss-Newton" if asked.gauss_newton else "Hessian",
            "solver": asked.solver.solver,
            "tolerance": asked.solver.tolerance,
        },
        limit=data.limit,
        center_outputs=data.center_outputs,
    )


def points_of_stride(n_alpha: int, n_beta: int, stride: int) -> np.ndarray:
    """Return every stride-th point of both axes, counted from the middle, from coarse to fine.

    Returns:
        Flat indices, int64 [n].
    """
    order = coarse_to_fine(n_alpha, n_beta)
    rows, columns = np.divmod(order, n_beta)
    taken = ((rows - n_alpha // 2) % stride == 0) & ((columns - n_beta // 2) % stride == 0)
    return order[taken]
