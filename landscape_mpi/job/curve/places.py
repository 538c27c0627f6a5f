"""Places t on paths between solutions, evaluated like the points of a surface: plan and file.

Alpha of such a file is the place, from 0 to 1, beta the number of the path.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.job import provenance
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.job.plane.grid import check_number_of_points
from landscape_mpi.job.surface.plan import Plan
from landscape_mpi.store.creation import SurfaceContent
from landscape_mpi.store.resume import count_pending, stored_setting

COMMAND = "landscape_mpi.curve"


def check_splits(options: argparse.Namespace) -> None:
    """Check that the training set is among the splits.

    Raises:
        InputError: If it is not.
    """
    if "train" not in options.splits:
        raise InputError(
            "--splits test: batch-norm's statistics are measured on the training set at every "
            "place, so it is read anyway. Pass --splits train,test."
        )


def check_number_of_places(options: argparse.Namespace, n: int) -> None:
    """Check that a file that is there has as many places as are asked for.

    Raises:
        InputError: If it has n, and ``points`` says another number.
    """
    if n != options.points:
        raise InputError(
            f"{options.out}: has {n} places, --points asks for {options.points}. A resumed run "
            f"needs the same: pass --points {n}, or a new --out, or --fresh to start over."
        )


def make_plan(options: argparse.Namespace, inputs: Inputs, *, n_paths: int) -> Plan:
    """Return what is to be evaluated, and how. Local; call it on one rank.

    Args:
        options: ``points``, ``out``, ``fresh``, ``device``, ``batch`` and those of rounds.
        inputs: Network and data.
        n_paths: How many paths there are.

    Raises:
        InputError: If the places on all of them are too many.
    """
    check_number_of_points(options.points, n_paths, option="--points")
    begun, n_pending = None, options.points * n_paths
    if options.out.exists() and not options.fresh:
        begun, n_pending = stored_setting(options.out), count_pending(options.out)
    dataset = inputs.dataset
    return Plan(
        out=options.out,
        alpha=np.linspace(0.0, 1.0, options.points),
        beta=np.arange(n_paths, dtype=np.float64),
        source=inputs.source,
        n_samples={name: len(split.targets) for name, split in dataset.splits.items()},
        loss=inputs.loss,
        mean=dataset.mean,
        std=dataset.std,
        random=None,
        sent=(),
        repeats=None,
        reestimates=True,
        device=options.device,
        precision="fp32",
        tolerance=0.0,
        batch=options.batch or (begun.batch if begun else None),
        compiled=False,
        points_at_once=1,
        ranks_per_point=1,
        round_seconds=options.round_seconds,
        stall_seconds=options.stall_seconds,
        begun=begun,
        n_pending=n_pending,
    )


def make_content(
    plan: Plan,
    options: argparse.Namespace,
    inputs: Inputs,
    *,
    about: Mapping[str, Any],
    source: str,
    origin: Mapping[str, Any],
    **more: Any,
) -> SurfaceContent:
    """Return what the file holds before anything is evaluated. Local.

    Args:
        plan: What is to be evaluated.
        options: ``limit``.
        inputs: Network and data.
        about: What the paths are, for the root's attributes.
        source: What they are, in words.
        origin: Where their ends came from, for the provenance.
        more: Other fields of SurfaceContent.
    """
    how = {
        "loss": plan.loss.name,
        "error": plan.loss.error or "none",
        "batch_norm": "reestimate",
        "weight_decay": "none",
        "splits": ",".join(plan.n_samples),
        "limit": options.limit or "none",
        "mean": list(plan.mean),
        "std": list(plan.std),
        "precision": plan.precision,
        "compile": "off",
    }
    if plan.batch:
        how["batch"] = plan.batch
    made_by = {
        **provenance.made_by(COMMAND),
        **inputs.sha256,
        **{f"trivial_error_{k}": v for k, v in inputs.dataset.trivial_errors.items()},
    }
    return SurfaceContent(
        alpha=plan.alpha,
        beta=plan.beta,
        quantities=plan.quantities,
        attributes={
            "/": {**about, **how},
            "directions": {"source": source},
            "provenance": {**origin, **made_by},
        },
        **more,
    )
