"""What a run over the Hessian is going to do: the surface file read again and checked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.job.plane.direction_kinds import AXES, DirectionKind
from landscape_mpi.job.plane.directions import RandomDirections, Shaping
from landscape_mpi.job.plane.grid import coarse_to_fine
from landscape_mpi.job.stored_inputs import first_samples, read_stored_inputs
from landscape_mpi.job.surface.plan import Plan
from landscape_mpi.output import check_output
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.hessian import (
    check_same_hessian,
    has_hessian,
    pending_eigenvalues,
)
from landscape_mpi.store.spectrum import check_is_spectrum
from landscape_mpi.store.stored_surface import StoredSurface, read_stored_surface

DEFAULT_LIMIT = 5000
GIGABYTE = 10**9


@dataclass(frozen=True)
class HessianPlan:
    """What every rank knows of the run before it starts; the same on all of them."""

    surface: Plan  # the plane, its network and its data, limited
    parameters: tuple[str, ...]  # names of those the Hessian is taken with respect to
    points: np.ndarray  # flat indices into the grid, in the order to compute them, int64 [n]
    gauss_newton: bool
    solver: str  # lanczos or arpack
    tolerance: float
    max_products: int
    n_basis: int
    budget_bytes: int | None  # None for a share of what is free
    identity: dict[str, Any]  # attributes of the eigenvalues, see store.hessian.IDENTITY

    @property
    def path(self) -> Path:
        """Return the surface file."""
        return self.surface.out


@dataclass(frozen=True)
class HessianInputs:
    """What rank 0 keeps for itself until the others need it."""

    arrays: dict[str, np.ndarray]  # see job.plan.RootInputs
    fresh: bool  # whether eigenvalues that are there are computed anew


def read_plan(
    ranks: Ranks, options: argparse.Namespace
) -> tuple[HessianPlan, HessianInputs | None]:
    """Read and check every input on rank 0. Collective over the ranks.

    Returns:
        The plan, on every rank; what rank 0 has read, on rank 0.
    """
    read = on_root(ranks, lambda: _read_on_root(options))
    plan, root = read if read is not None else (None, None)
    return ranks.comm.bcast(plan, root=ROOT), root


def _read_on_root(options: argparse.Namespace) -> tuple[HessianPlan, HessianInputs]:
    stored = read_stored_surface(options.surface)
    check_output(options.surface)
    if options.spectrum is not None:
        out = spectrum_output(options)
        check_output(out, inputs=[options.surface])
        check_is_spectrum(out)
    _check_kind(stored)
    inputs = read_stored_inputs(options, stored)
    random = _random_directions(stored)
    vectors = _directions(options, stored, inputs, random)
    limit = options.limit or min(DEFAULT_LIMIT, inputs.n_training)
    limited = first_samples(inputs, limit, stored.path)
    arrays = limited.arrays()
    if random is None:
        for axis, direction in vectors.items():
            arrays |= {f"{axis}/{name}": values for name, values in direction.items()}
    plan = _plan(options, stored, limited, random, _parameters(options, limited, random, vectors))
    if options.spectrum is None and has_hessian(plan.path) and not options.fresh:
        check_same_hessian(plan.path, plan.identity)
        plan = _with_pending(plan, len(pending_eigenvalues(plan.path, plan.points)))
    return plan, HessianInputs(arrays, options.fresh)


def spectrum_output(options: argparse.Namespace) -> Path:
    """Return the file of --spectrum: the one that is named, or one beside the surface."""
    alpha, beta = options.spectrum
    name = f"{options.surface.stem}.spectrum_{alpha:g}_{beta:g}.h5"
    out: Path = options.out or options.surface.with_name(name)
    return out


def _with_pending(plan: HessianPlan, n_pending: int) -> HessianPlan:
    return replace(plan, surface=replace(plan.surface, n_pending=n_pending))


def _check_kind(stored: StoredSurface) -> None:
    splits, loss = stored.text("/", "splits"), stored.text("/", "loss")
    if "train" not in splits.split(","):
        raise InputError(
            f"{stored.path}: was computed on the split {splits}, and the Hessian is that of the "
            f"training loss. Compute the surface with --splits train, or train,test."
        )
    if stored.text("/", "repeats") != "none":
        raise InputError(
            f"{stored.path}: holds lines along several directions (--repeats), and eigenvalues are "
            f"known here for a plane or one line. Compute the line with --seed instead."
        )
    if loss != "cross_entropy":
        raise InputError(
            f"{stored.path}: is a surface of the loss {loss}; eigenvalues are known here for "
            f"cross_entropy alone."
        )
    if stored.text("/", "batch_norm") == "reestimate":
        raise InputError(
            f"{stored.path}: was computed with --batch-norm reestimate, whose statistics depend on "
            f"the weights in a way that the Hessian here leaves out. Compute the surface with "
            f"--batch-norm fixed."
        )


def _random_directions(stored: StoredSurface) -> RandomDirections | None:
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
    return RandomDirections(shaping, {axis: DirectionKind("random", axis=axis) for axis in axes})


def _directions(
    options: argparse.Namespace,
    stored: StoredSurface,
    inputs: Inputs,
    random: RandomDirections | None,
) -> dict[str, Direction]:
    """Return the surface's directions, made or read again.

    Raises:
        InputError: If they are others.
    """
    vectors: dict[str, Direction] = {axis: {} for axis in AXES}  # a line has nothing along beta
    if random is not None:
        vectors |= random.make(inputs.network, inputs.state)
    else:
        path = options.directions or _file_of_directions(stored)
        for axis, tensors in read_directions(path).items():
            where = f"--directions: {path}: {axis}"
            vectors[axis] = directions.matched_direction(tensors, inputs.network, where=where)
    known, found = stored.text("directions", "sha256"), directions.digest(*vectors.values())
    if known != found:
        raise InputError(
            f"{stored.path}: lies along directions of SHA-256 {known[:16]}, those found now have "
            f"{found[:16]}. Its eigenvalues must be of the same points: pass --directions with the "
            f"file they were taken from, or run where the surface was computed."
        )
    return vectors


def _file_of_directions(stored: StoredSurface) -> Path:
    """Return the file that holds the directions of a surface.

    Raises:
        InputError: If they were made from checkpoints, and not kept.
    """
    source = stored.text("directions", "source")
    if stored.has_vectors:
        return stored.path
    if source.startswith(("to ", "random")) or "; " in source or "orthogonal" in source:
        raise InputError(
            f"{stored.path}: lies along directions that were made for it ({source}) and are not "
            f"in it. Compute the surface with --save-directions."
        )
    return Path(source)


def _parameters(
    options: argparse.Namespace,
    inputs: Inputs,
    random: RandomDirections | None,
    vectors: dict[str, Direction],
) -> tuple[str, ...]:
    if options.parameters == "all":
        return tuple(dict(inputs.network.named_parameters()))
    if random is not None:
        shaping = random.shaping
        return tuple(moved_names(inputs.network, ignore=shaping.ignore, only=shaping.only))
    moved = {name for direction in vectors.values() for name in direction}
    names = tuple(name for name, _ in inputs.network.named_parameters() if name in moved)
    if not names:
        raise InputError(
            "--parameters moved: the directions of this surface move no parameter, only buffers, "
            "so there is nothing to take derivatives in. Pass --parameters all."
        )
    return names


def _plan(
    options: argparse.Namespace,
    stored: StoredSurface,
    inputs: Inputs,
    random: RandomDirections | None,
    parameters: tuple[str, ...],
) -> HessianPlan:
    points = points_of_stride(len(stored.alpha), len(stored.beta), options.stride)
    n_samples = len(inputs.dataset.splits["train"].targets)
    surface = Plan(
        out=stored.path,
        alpha=stored.alpha,
        beta=stored.beta,
        source=inputs.source,
        n_samples={"train": n_samples},
        loss=inputs.loss,
        mean=inputs.dataset.mean,
        std=inputs.dataset.std,
        random=random,
        sent=() if random else AXES,
        repeats=None,
        reestimates=False,
        device=options.device,
        precision="fp32",
        tolerance=options.tolerance,
        batch=options.batch,
        compiled=False,
        points_at_once=1,
        ranks_per_point=options.ranks_per_point,
        round_seconds=options.round_seconds,
        stall_seconds=options.stall_seconds,
        begun=None,
        n_pending=len(points),
    )
    return HessianPlan(
        surface=surface,
        parameters=parameters,
        points=points,
        gauss_newton=options.gauss_newton,
        solver=options.solver,
        tolerance=options.tolerance,
        max_products=options.max_products,
        n_basis=options.basis,
        budget_bytes=int(options.memory * GIGABYTE) if options.memory else None,
        identity={
            "samples": n_samples,
            "parameters": options.parameters,
            "matrix": "Gauss-Newton" if options.gauss_newton else "Hessian",
            "solver": options.solver,
            "tolerance": options.tolerance,
        },
    )


def points_of_stride(n_alpha: int, n_beta: int, stride: int) -> np.ndarray:
    """Return every stride-th point of both axes, counted from the middle, coarse to fine.

    Returns:
        Flat indices, int64 [n].
    """
    order = coarse_to_fine(n_alpha, n_beta)
    rows, columns = np.divmod(order, n_beta)
    taken = ((rows - n_alpha // 2) % stride == 0) & ((columns - n_beta // 2) % stride == 0)
    return order[taken]
