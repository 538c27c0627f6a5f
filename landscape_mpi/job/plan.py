"""What a surface run is going to do: read and checked on rank 0, known to every rank."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.errors import InputError
from landscape_mpi.job import provenance
from landscape_mpi.job.grid import parse_axis
from landscape_mpi.job.inputs import Inputs, NetworkSource, read_inputs
from landscape_mpi.options import files_read
from landscape_mpi.output import check_output
from landscape_mpi.store import schema
from landscape_mpi.store.creation import Attributes, SurfaceContent
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.resume import (
    StoredSetting,
    check_replaceable,
    check_same_surface,
    count_pending,
    stored_setting,
)

DEFAULT_NORMALIZE = "filter"
DEFAULT_IGNORE = ("bias", "bn")
DEFAULT_SEED = 1
DEFAULT_TOLERANCE = 1e-3
COMPILED = {"auto": None, "on": True, "off": False}
AXES = ("alpha", "beta")


@dataclass(frozen=True)
class RandomDirections:
    """How random directions are made."""

    seed: int
    normalize: str
    ignore: tuple[str, ...]
    axes: tuple[str, ...]  # the others have a direction that moves nothing

    def make(self, network: nn.Module, state: Mapping[str, np.ndarray]) -> dict[str, Direction]:
        """Return both directions for a network with these weights, float32, by axis."""
        moved = set(directions.moved_names(network, ignore=self.ignore))
        center = {name: values for name, values in state.items() if name in moved}
        made: dict[str, Direction] = {axis: {} for axis in AXES}
        for axis in self.axes:
            made[axis] = directions.random_direction(
                center, seed=self.seed, axis=axis, normalize=self.normalize
            )
        return made


@dataclass(frozen=True)
class Plan:
    """What every rank knows of the run before it starts; the same on all of them."""

    out: Path
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    source: NetworkSource
    n_samples: dict[str, int]  # by split, in the order of evaluation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    random: RandomDirections | None  # None where the directions come from a file
    device: str  # auto, cpu or cuda, as asked
    precision: str  # auto until it is measured
    tolerance: float  # of auto: largest deviation from fp32, relative
    batch: int | None  # None for the device's default
    compiled: bool | None  # by torch.compile; None for what measures faster
    ranks_per_point: int | None  # None for what makes the run shortest
    round_seconds: float
    stall_seconds: float
    begun: StoredSetting | None  # what the file that is resumed was begun with
    n_pending: int  # points left to compute

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the values a point has."""
        return schema.quantities_of(tuple(self.n_samples))

    @property
    def n_points(self) -> int:
        """Points of the grid."""
        return len(self.alpha) * len(self.beta)


@dataclass(frozen=True)
class RootInputs:
    """What rank 0 keeps for itself until the others need it."""

    arrays: dict[str, np.ndarray]  # ``state/...``, ``<split>/...``, ``alpha/...``, ``beta/...``
    content: SurfaceContent  # of the file, but for what is known once the ranks are bound
    fresh: bool  # whether a file that is there is replaced


def read_plan(ranks: Ranks, options: argparse.Namespace) -> tuple[Plan, RootInputs | None]:
    """Read and check every input on rank 0. Collective over the ranks.

    Returns:
        The plan, on every rank; what rank 0 has read, on rank 0.
    """
    read = on_root(ranks, lambda: _read_on_root(options))
    plan, root = read if read is not None else (None, None)
    return ranks.comm.bcast(plan, root=ROOT), root


def _read_on_root(options: argparse.Namespace) -> tuple[Plan, RootInputs]:
    _check_tolerance(options)
    alpha = parse_axis(options.x, option="--x")
    beta = parse_axis(options.y, option="--y") if options.y is not None else np.zeros(1)
    check_output(options.out, inputs=files_read(options))
    if options.out.exists() and options.fresh:
        check_replaceable(options.out)
    random = _random_directions(options, is_line=not beta.any() and len(beta) == 1)
    inputs = read_inputs(options)
    arrays = inputs.arrays()
    if random is not None:
        vectors = random.make(inputs.network, inputs.state)
    else:
        vectors = _read_directions(options.directions, inputs, alpha, beta)
        for axis, direction in vectors.items():
            arrays |= {f"{axis}/{name}": values for name, values in direction.items()}
    plan = _plan(options, alpha, beta, inputs, random)
    content = _content(options, plan, inputs, vectors)
    if options.out.exists() and not options.fresh:
        check_same_surface(options.out, content)
    return plan, RootInputs(arrays, content, options.fresh)


def _check_tolerance(options: argparse.Namespace) -> None:
    if options.tolerance is not None and options.precision != "auto":
        raise InputError(
            f"--tolerance: is what --precision auto may deviate from fp32, and --precision "
            f"{options.precision} is asked for. Leave it out, or pass --precision auto."
        )


def _random_directions(options: argparse.Namespace, *, is_line: bool) -> RandomDirections | None:
    if options.directions is None:
        return RandomDirections(
            seed=DEFAULT_SEED if options.seed is None else options.seed,
            normalize=options.normalize or DEFAULT_NORMALIZE,
            ignore=DEFAULT_IGNORE if options.ignore is None else options.ignore,
            axes=AXES[:1] if is_line else AXES,
        )
    for name in ("normalize", "ignore", "seed"):
        if getattr(options, name) is not None:
            raise InputError(
                f"--{name}: shapes random directions, and --directions {options.directions} takes "
                f"those of a file as they are. Leave one of the two out."
            )
    return None


def _read_directions(
    path: Path, inputs: Inputs, alpha: np.ndarray, beta: np.ndarray
) -> dict[str, Direction]:
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
    corners = [(float(a), float(b)) for a in alpha[[0, -1]] for b in beta[[0, -1]]]
    directions.check_variances(inputs.state, matched, corners)
    return matched


def _plan(
    options: argparse.Namespace,
    alpha: np.ndarray,
    beta: np.ndarray,
    inputs: Inputs,
    random: RandomDirections | None,
) -> Plan:
    begun, n_pending = None, len(alpha) * len(beta)
    if options.out.exists() and not options.fresh:
        # What a run began with decides its last bits.
        begun, n_pending = stored_setting(options.out), count_pending(options.out)
    precision, tolerance = options.precision, options.tolerance or DEFAULT_TOLERANCE
    if precision == "auto" and begun is not None:
        precision = begun.precision
        _check_deviation(options.out, begun, tolerance)
    dataset = inputs.dataset
    return Plan(
        out=options.out,
        alpha=alpha,
        beta=beta,
        source=inputs.source,
        n_samples={name: len(split.targets) for name, split in dataset.splits.items()},
        mean=dataset.mean,
        std=dataset.std,
        random=random,
        device=options.device,
        precision=precision,
        tolerance=tolerance,
        batch=options.batch or (begun.batch if begun else None),
        compiled=COMPILED[options.compile] if begun is None else begun.compiled,
        ranks_per_point=options.ranks_per_point,
        round_seconds=options.round_seconds,
        stall_seconds=options.stall_seconds,
        begun=begun,
        n_pending=n_pending,
    )


def _check_deviation(path: Path, begun: StoredSetting, tolerance: float) -> None:
    if begun.deviation > tolerance:
        raise InputError(
            f"{path}: was computed in {begun.precision}, which deviates from fp32 by "
            f"{begun.deviation:.2g} here; --tolerance {tolerance:g} allows less. A resumed run "
            f"must be the same run: pass --precision {begun.precision}, or a new --out, or --fresh "
            f"to start over."
        )


def _content(
    options: argparse.Namespace, plan: Plan, inputs: Inputs, vectors: dict[str, Direction]
) -> SurfaceContent:
    return SurfaceContent(
        alpha=plan.alpha,
        beta=plan.beta,
        quantities=plan.quantities,
        attributes={
            "/": _describe_surface(options, plan),
            "directions": _describe_directions(options, plan, vectors),
            "provenance": {
                "checkpoint": str(options.checkpoint or "none"),
                "checkpoint_types": ",".join(inputs.checkpoint.dtypes if inputs.checkpoint else ()),
                "command": provenance.command_line("landscape_mpi.surface"),
                "data_dir": str(options.data_dir or "none"),
                "git_commit": provenance.git_commit(),
                "versions": provenance.versions(),
                **inputs.sha256,
            },
        },
        vectors=vectors if options.save_directions else {},
    )


def _describe_surface(options: argparse.Namespace, plan: Plan) -> dict:
    described = {
        "model": options.model,
        "data": options.data,
        "loss": "cross_entropy",
        "splits": ",".join(plan.n_samples),
        "limit": options.limit or "none",
        "mean": list(plan.mean),
        "std": list(plan.std),
    }
    known = {"precision": plan.precision, "batch": plan.batch, "compile": options.compile}
    return described | {k: v for k, v in known.items() if v not in {None, "auto"}}


def _describe_directions(
    options: argparse.Namespace, plan: Plan, vectors: dict[str, Direction]
) -> Attributes:
    described = {
        "source": str(options.directions or "random"),
        "sha256": directions.digest(*vectors.values()),
        "norm_alpha": directions.norm(vectors["alpha"]),
        "norm_beta": directions.norm(vectors["beta"]),
        "cosine": directions.cosine(vectors["alpha"], vectors["beta"]),
    }
    if plan.random is not None:
        described |= {
            "seed": plan.random.seed,
            "normalize": plan.random.normalize,
            "ignore": ",".join(plan.random.ignore) or "none",
        }
    return described
