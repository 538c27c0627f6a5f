"""What a surface run is going to do: read and checked on rank 0, known to every rank."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.weight_decay import weight_decay_term
from landscape_mpi.errors import InputError
from landscape_mpi.job import provenance
from landscape_mpi.job.inputs import Inputs, NetworkSource, read_inputs
from landscape_mpi.job.losses import LossChoice
from landscape_mpi.job.plane.directions import (
    Directions,
    RandomDirections,
    batch_norm_of,
    choose_directions,
    goes_to_checkpoint,
)
from landscape_mpi.job.plane.grid import check_number_of_points
from landscape_mpi.job.plane.path import choose_grid, path_on_surface
from landscape_mpi.options import files_read
from landscape_mpi.output import check_output
from landscape_mpi.store import schema
from landscape_mpi.store.creation import REPEATS, Attributes, SurfaceContent
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.resume import (
    StoredSetting,
    check_replaceable,
    check_same_surface,
    count_pending,
    stored_setting,
)

DEFAULT_TOLERANCE = 1e-3
COMPILED = {"auto": None, "on": True, "off": False}


@dataclass(frozen=True)
class Plan:
    """What every rank knows of the run before it starts; the same on all of them."""

    out: Path
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    source: NetworkSource
    n_samples: dict[str, int]  # by split, in the order of evaluation
    loss: LossChoice
    mean: tuple[float, ...]
    std: tuple[float, ...]
    random: RandomDirections | None  # None where no direction is random
    sent: tuple[str, ...]  # axes whose direction rank 0 sends, the others are made on every rank
    repeats: int | None  # lines along directions of their own; beta is then their number from 0
    reestimates: bool  # whether batch-norm statistics are measured at every point
    device: str  # auto, cpu or cuda, as asked
    precision: str  # auto until it is measured
    tolerance: float  # of auto: largest deviation from fp32, relative
    batch: int | None  # None for the device's default
    compiled: bool | None  # by torch.compile; None for what measures faster
    points_at_once: int | None  # with their weights stacked; None for what measures faster
    ranks_per_point: int | None  # None for what makes the run shortest
    round_seconds: float
    stall_seconds: float
    begun: StoredSetting | None  # what the file that is resumed was begun with
    n_pending: int  # points left to compute

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the values a point has."""
        return schema.quantities_of(tuple(self.n_samples), error=self.loss.error is not None)

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
    _check_batch_norm(options)
    _check_points_at_once(options)
    alpha, beta = choose_grid(options)
    check_output(options.out, inputs=files_read(options))
    if options.out.exists() and options.fresh:
        check_replaceable(options.out)
    inputs = read_inputs(options)
    found = choose_directions(options, inputs, alpha, beta)
    if options.repeats is not None:
        check_number_of_points(len(alpha), options.repeats, option="--repeats")
        beta = np.arange(options.repeats, dtype=np.float64)
    plan = _plan(options, alpha, beta, inputs, found)
    path = path_on_surface(options, inputs.state, found.vectors)
    content = replace(_content(options, plan, inputs, found), path=path)
    if isinstance(path, PlaneCurve):
        content = replace(content, marks=path.marks())
    if options.out.exists() and not options.fresh:
        check_same_surface(options.out, content)
    return plan, RootInputs(inputs.arrays() | found.arrays(), content, options.fresh)


def _check_tolerance(options: argparse.Namespace) -> None:
    if options.tolerance is not None and options.precision != "auto":
        raise InputError(
            f"--tolerance: is what --precision auto may deviate from fp32, and --precision "
            f"{options.precision} is asked for. Leave it out, or pass --precision auto."
        )


def _check_batch_norm(options: argparse.Namespace) -> None:
    if options.batch_norm == "move" and not goes_to_checkpoint(options):
        raise InputError(
            "--batch-norm move: moves the running statistics to those of another checkpoint, and "
            "--to names none. Pass --to, or --batch-norm fixed or reestimate."
        )
    if options.batch_norm != "reestimate":
        return
    if "train" not in options.splits:
        raise InputError(
            f"--batch-norm reestimate: measures on the training set, and --splits "
            f"{','.join(options.splits)} leaves it out. Pass --splits train,test."
        )
    if options.compile == "on":
        raise InputError(
            "--batch-norm reestimate: changes how the layers compute, which compiled code cannot. "
            "Leave --compile out."
        )
    if (options.ranks_per_point or 1) > 1:
        raise InputError(
            f"--batch-norm reestimate: needs the whole training set on one rank, and "
            f"--ranks-per-point {options.ranks_per_point} shares it out. Pass --ranks-per-point 1."
        )


def _check_points_at_once(options: argparse.Namespace) -> None:
    if (options.points_at_once or 1) == 1:
        return
    others = {
        "--ranks-per-point": (options.ranks_per_point or 1) > 1 and options.ranks_per_point,
        "--repeats": options.repeats,
        "--batch-norm": options.batch_norm == "reestimate" and "reestimate",
        "--compile": options.compile == "on" and "on",
    }
    for option, value in others.items():
        if value:
            raise InputError(
                f"--points-at-once {options.points_at_once}: stacks the weights of points that "
                f"differ in nothing else, on one rank, and does not go with {option} {value}. "
                f"Leave one of the two out."
            )


def _plan(
    options: argparse.Namespace,
    alpha: np.ndarray,
    beta: np.ndarray,
    inputs: Inputs,
    found: Directions,
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
    reestimates = options.batch_norm == "reestimate"
    compiled = COMPILED[options.compile] if begun is None else begun.compiled
    at_once = options.points_at_once if begun is None else begun.points_at_once
    if reestimates or options.repeats is not None:
        at_once = 1
    return Plan(
        out=options.out,
        alpha=alpha,
        beta=beta,
        source=inputs.source,
        n_samples={name: len(split.targets) for name, split in dataset.splits.items()},
        loss=inputs.loss,
        mean=dataset.mean,
        std=dataset.std,
        random=found.random,
        sent=found.sent,
        repeats=options.repeats,
        reestimates=reestimates,
        device=options.device,
        precision=precision,
        tolerance=tolerance,
        batch=options.batch or (begun.batch if begun else None),
        compiled=False if reestimates else compiled,
        points_at_once=at_once,
        ranks_per_point=1 if reestimates or (at_once or 1) > 1 else options.ranks_per_point,
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
    options: argparse.Namespace, plan: Plan, inputs: Inputs, found: Directions
) -> SurfaceContent:
    return SurfaceContent(
        alpha=plan.alpha,
        beta=plan.beta,
        quantities=plan.quantities,
        attributes={
            "/": _describe_surface(options, plan),
            "directions": _describe_directions(found),
            "provenance": {
                "checkpoint": str(options.checkpoint or "none"),
                "checkpoint_types": ",".join(inputs.checkpoint.dtypes if inputs.checkpoint else ()),
                "data_dir": str(options.data_dir or "none"),
                **provenance.made_by("landscape_mpi.surface"),
                **inputs.sha256,
                **{f"trivial_error_{k}": v for k, v in inputs.dataset.trivial_errors.items()},
            },
        },
        vectors=found.vectors if options.save_directions or found.kept else {},
        marks=found.marks,
        loss_units=plan.loss.units,
        known=_weight_decay(options, plan, inputs, found.vectors),
        axis_words={} if options.repeats is None else {"beta": REPEATS},
    )


def _weight_decay(
    options: argparse.Namespace, plan: Plan, inputs: Inputs, vectors: dict[str, Direction]
) -> dict[str, np.ndarray]:
    if options.weight_decay is None:
        return {}
    names = [name for name, _ in inputs.network.named_parameters()]
    term = weight_decay_term(
        options.weight_decay, inputs.state, vectors, names, alpha=plan.alpha, beta=plan.beta
    )
    return {schema.WEIGHT_DECAY_TERM: term}


def _describe_surface(options: argparse.Namespace, plan: Plan) -> dict:
    described = {
        "model": options.model,
        "data": options.data,
        "loss": plan.loss.name,
        "error": plan.loss.error or "none",
        "batch_norm": batch_norm_of(options),
        "weight_decay": "none" if options.weight_decay is None else options.weight_decay,
        "splits": ",".join(plan.n_samples),
        "limit": options.limit or "none",
        "mean": list(plan.mean),
        "std": list(plan.std),
    }
    if options.repeats is not None:
        described["repeats"] = options.repeats
    known = {
        "precision": plan.precision,
        "batch": plan.batch,
        "compile": options.compile,
        "points_at_once": options.points_at_once,
    }
    return described | {k: v for k, v in known.items() if v not in {None, "auto"}}


def _describe_directions(found: Directions) -> Attributes:
    vectors, sources = found.vectors, found.sources
    described = {
        "source": "; ".join(dict.fromkeys(words for words in sources.values() if words != "none")),
        "sha256": directions.digest(*vectors.values()),
        "norm_alpha": directions.norm(vectors["alpha"]),
        "norm_beta": directions.norm(vectors["beta"]),
        "cosine": directions.cosine(vectors["alpha"], vectors["beta"]),
        "n_moved": directions.n_moved(*vectors.values()),
    }
    if found.shaping is not None:
        described |= {
            "seed": found.shaping.seed,
            "normalize": found.shaping.normalize,
            "ignore": ",".join(found.shaping.ignore) or "none",
            "only": ",".join(found.shaping.only) or "none",
        }
    return described
