"""Choose the type of a run's matrix products: as requested, or the fastest suitable one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.precision import Trial, fastest, try_precisions
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.errors import InputError
from landscape_mpi.store.resume import USUAL_SUBSET
from landscape_mpi.zoo.subset import rows_of

TRIED_SAMPLES = 512


@dataclass(frozen=True)
class Precision:
    """The type of a run's computation, and its measured deviation."""

    name: str
    trials: tuple[Trial, ...]  # trials made before this run; empty for fp32 and on resuming
    deviation: float  # deviation from fp32, relative
    n_points: int  # number of points of the measurement
    n_samples: int
    warning: str = ""  # warning about a deviation beyond the tolerance


def choose_precision(
    ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting
) -> tuple[Setting, Precision]:
    """Measure the types on this surface on rank 0, and choose one. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting without the precision.

    Returns:
        The setting with the precision, the same on all ranks, and the reasons for it.
    """
    if plan.begun is not None:
        begun = plan.begun
        known = Precision(
            plan.evaluation.precision, (), begun.deviation, 0, 0, begun.precision_warning
        )
    elif plan.evaluation.precision == "fp32":
        known = Precision("fp32", (), 0.0, 0, 0)
    else:
        measured = on_root(ranks, lambda: measure_in_memory(plan, inputs, setting))
        known = ranks.comm.bcast(measured, root=ROOT)
    return replace(setting, precision=known.name), known


def measure_in_memory(plan: Plan, inputs: SharedInputs, setting: Setting) -> Precision:
    """Measure, with smaller batches if one does not fit; the run finds its own batch later.

    Raises:
        InputError: If a single sample does not fit.
    """
    while True:
        try:
            return _measure(plan, inputs, setting)
        except torch.OutOfMemoryError as error:
            if setting.batch == 1:
                raise InputError(
                    "--model: a single sample does not fit into the memory of the device "
                    f"({error}). Pass --device cpu, or use a device with more memory."
                ) from error
            setting = replace(setting, batch=setting.batch // 2)


def _measure(plan: Plan, inputs: SharedInputs, setting: Setting) -> Precision:
    is_free = plan.evaluation.precision == "auto"
    names = setting.device.precisions() if is_free else (plan.evaluation.precision,)
    split, n_samples = next(iter(plan.subject.n_samples.items()))
    n_tried = min(n_samples, max(TRIED_SAMPLES, setting.batch))
    rows = rows_of(USUAL_SUBSET, n_tried, n_samples)  # the first samples may all be of one class
    samples = inputs.samples(split, rows, setting.device)

    def make_plane(precision: str) -> PointLosses:
        return inputs.plane({split: samples}, replace(setting, precision=precision))

    points = points_to_try(plan.alpha, plan.beta)
    trials = try_precisions(make_plane, names, points)
    taken = fastest(trials, tolerance=plan.evaluation.largest_deviation) if is_free else trials[-1]
    if taken.problem is not None:
        raise InputError(
            f"--precision {taken.precision}: the network cannot compute in it: {taken.problem}. "
            "Pass --precision fp32, or auto, which chooses one that works."
        )
    warning = describe_deviation(
        trials[0], taken, points, n_tried, tolerance=plan.evaluation.largest_deviation
    )
    return Precision(taken.precision, tuple(trials), taken.deviation, len(points), n_tried, warning)


def describe_deviation(
    fp32: Trial,
    taken: Trial,
    points: Sequence[tuple[float, float]],
    n_samples: int,
    *,
    tolerance: float,
) -> str:
    """Describe the deviation of a type on a surface in a sentence; empty within the tolerance.

    Args:
        fp32: The trial of fp32, for comparison.
        taken: The trial of the type.
        points: Alpha and beta of the points tried, the last one nearest to the center.
        n_samples: Samples evaluated at each of them.
        tolerance: Largest relative deviation that needs no warning.
    """
    if math.isnan(taken.deviation) or taken.deviation <= tolerance:
        return ""
    name, (alpha, beta) = taken.precision, points[-1]
    if math.isinf(taken.deviation):
        change = f"{name} gives losses that are not finite where those of fp32 are, or vice versa"
    else:
        change = f"{name} changes the loss by up to {100 * taken.deviation:.3g} %"
    n_points = "1 point" if len(points) == 1 else f"{len(points)} points"
    where = "at the center" if alpha == beta == 0 else f"at ({alpha:.4g}, {beta:.4g})"
    return (
        f"{change}: {where} it is {taken.last:.4g}, and {fp32.last:.4g} in fp32 "
        f"({n_points} and {n_samples:,} samples compared)"
    )


def points_to_try(alpha: np.ndarray, beta: np.ndarray) -> list[tuple[float, float]]:
    """Return the corners of a grid, points halfway to them, and the point nearest to the center.

    Points halfway help if far corners have no finite loss.

    Args:
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Coordinates along the second direction, float64 [n_beta].
    """
    rows, columns = (_places(axis) for axis in (alpha, beta))
    ends = [(a, b) for a in (rows[0], rows[-1]) for b in (columns[0], columns[-1])]
    halves = [(a, b) for a in (rows[1], rows[3]) for b in (columns[1], columns[3])]
    middle = (rows[2], columns[2])
    others = dict.fromkeys(place for place in (*ends, *halves) if place != middle)
    return [(float(alpha[a]), float(beta[b])) for a, b in (*others, middle)]


def _places(axis: np.ndarray) -> tuple[int, int, int, int, int]:
    """Return the first place of an axis, the one nearest to 0, the last, and those halfway."""
    last, middle = len(axis) - 1, int(np.abs(axis).argmin())
    return 0, middle // 2, middle, (middle + last + 1) // 2, last


def describe_trials(precision: Precision) -> str:
    """Describe the trials, e.g. ``bf16 deviates by 0.0004 and is 3.1 times as fast; ...``."""
    if not precision.trials:
        return "none"
    words = [_describe(trial) for trial in precision.trials[1:]]
    n_finite, n_points = precision.trials[0].n_finite, precision.n_points
    points = f"{n_points}" if n_finite == n_points else f"{n_finite} of {n_points}"
    where = f"at {points} points, {precision.n_samples:,} samples, beside fp32"
    return f"{'; '.join(words)} ({where})"


def _describe(trial: Trial) -> str:
    if trial.problem is not None:
        return f"{trial.precision} cannot compute this network ({trial.problem[:100]})"
    if trial.n_finite == 0:
        return f"{trial.precision} cannot be compared, because no loss here is finite"
    return f"{trial.precision} deviates by {trial.deviation:.2g}, {trial.speed:.2g} times as fast"
