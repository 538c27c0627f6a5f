"""The messages of rank 0 before and after a run."""

from __future__ import annotations

import os
from collections.abc import Mapping

import h5py
import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.launcher import way_to_more_cores
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.engine.adaptive.points import AdaptivePoints
from landscape_mpi.engine.filling import Outcome, RankEvaluator, Start
from landscape_mpi.engine.plan import Plan, RootInputs
from landscape_mpi.engine.precision_choice import Precision, describe_trials
from landscape_mpi.engine.quantities.quantity import find_quantity
from landscape_mpi.engine.rank_settings import RankSummary
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.invocation import typed
from landscape_mpi.store.creation import SurfaceContent
from landscape_mpi.store.interpolation import describe_check
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.sampling import read_sampling
from landscape_mpi.store.writer import describe_writers
from landscape_mpi.zoo.subset import describe


def say_start(
    ranks: Ranks,
    plan: Plan,
    root: RootInputs | None,
    evaluator: RankEvaluator,
    precision: Precision,
    start: Start,
) -> None:
    """Describe the coming computation and its devices. Local; rank 0 prints."""
    content = root.content if root else None
    if not ranks.is_root:
        return
    setting = evaluator.setting
    samples = plan.subject.sizes
    noun = plan.subject.noun
    n_done = plan.n_points - start.n_pending
    resumed = f"resuming, {n_done:,} of them done" if n_done else "none of them done yet"
    if start.n_open:
        resumed = f"resuming, {n_done:,} of them done, {start.n_open:,} take further samples"
    if start.n_pending == 0:
        resumed = f"all {n_done:,} points are done, nothing is left to compute"
    print(
        f"{plan.subject.model}: {len(plan.alpha)} x {len(plan.beta)} points, {samples} {noun} "
        f"each; {resumed}\n"
        f"{counted(ranks.size, 'rank')}: {start.rank_summary.devices}; "
        f"{plan.subject.computed_in(setting.precision)}, batch "
        f"{setting.batch}{_at_once(setting)}, {start.rank_summary.threads} a rank"
        f"{sharing(start.rank_summary)}\n"
        f"weights: {_whose_weights(content, plan)}; network: {evaluator.preparation}; "
        f"{evaluator.launching}\n"
        f"{_precision_line(plan, precision)}"
        f"{_subset_line(content, plan)}"
        f"{_lines(plan)}"
        f"{plan.out}: {describe_writers(start.n_writers)}",
        flush=True,
    )
    if content is not None:
        _say_types(content.attributes["provenance"])
    if setting.device.is_host:
        _say_binding(ranks)


def _say_types(known: Mapping[str, object]) -> None:
    """Print the types of the weights, if not all are float32."""
    types, computed_in = str(known["checkpoint_types"]), str(known.get("computed_in", "float32"))
    if types in {"", "float32"}:
        return
    if computed_in == types:
        print(f"the weights are in {types}, and the network is evaluated in it", flush=True)
    else:
        print(f"the weights are in {types}; they were converted to {computed_in}", flush=True)


def _at_once(setting: Setting) -> str:
    return "" if setting.points == 1 else f", {setting.points} points at a time"


def sharing(rank_summary: RankSummary) -> str:
    """Return the number of ranks that share a point, as the end of a sentence."""
    n = rank_summary.ranks_per_point
    return "" if n == "1" else f", {n} ranks sharing each point"


def _precision_line(plan: Plan, precision: Precision) -> str:
    if not precision.trials:
        return _precision_warning(plan, precision)
    auto = (
        f", auto within {plan.evaluation.largest_deviation:g}"
        if plan.evaluation.precision == "auto"
        else ""
    )
    tried = f"precision {precision.name}{auto}: {describe_trials(precision)}\n"
    return tried + _precision_warning(plan, precision)


def _precision_warning(plan: Plan, precision: Precision) -> str:
    if not precision.warning:
        return ""
    way_out = "--precision fp32" + (" --fresh" if plan.begun is not None else "")
    return (
        f"warning: {precision.warning}. The file, its pictures and its summary also say so. For "
        f"the values of the network itself, pass {way_out}\n"
    )


def _whose_weights(content: SurfaceContent | None, plan: Plan) -> str:
    solutions = content.attributes["/"].get(SOLUTIONS) if content else None
    if isinstance(solutions, list):
        return f"{len(solutions)} solutions, a line between each pair"
    checkpoint = str(content.attributes["provenance"]["checkpoint"]) if content else "none"
    return f"{plan.subject.model}'s own, no --checkpoint" if checkpoint == "none" else checkpoint


def _subset_line(content: SurfaceContent | None, plan: Plan) -> str:
    known = content.attributes["/"] if content else {}
    if "subset" not in known:
        return ""
    what = plan.subject.limited
    return f"training {what}: {known['limit']}, {describe(str(known['subset']))}\n"


def _lines(plan: Plan) -> str:
    subject = plan.subject
    beside = [f"also: {name}, the {find_quantity(name).words}" for name in subject.also]
    return "".join(f"{line}\n" for line in (*subject.lines, *beside))


def counted(n: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _say_binding(ranks: Ranks) -> None:
    allowed, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    if allowed * ranks.node.size < present:
        print(
            f"the launcher bound rank 0 to {allowed} of {present} cores of its node, which has "
            f"{counted(ranks.node.size, 'rank')}; {way_to_more_cores(os.environ)} to use all of "
            "them",
            flush=True,
        )


def say_end(
    ranks: Ranks, plan: Plan, outcome: Outcome, adaptive: AdaptivePoints | None = None
) -> None:
    """Describe the contents of the file and the next step. Local; rank 0 prints.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        outcome: The end of the run.
        adaptive: On rank 0, if the plan has a tolerance: the points that it chose.
    """
    if not ranks.is_root:
        return
    with h5py.File(plan.out, "r", locking=False) as file:
        done = file["done"][...] == 1
        values = {name: file[name][...] for name in plan.subject.quantities}
        trivial = _trivial_errors(file)
        sampling = read_sampling(file)
    if not outcome.finished:
        say_stopped(outcome.signal, done.sum(), plan.n_points, "points")
        return
    if adaptive is not None:
        print(_adaptive_words(plan, adaptive))
    if sampling is not None:
        print(sampling.words)
    for name, grid in values.items():
        words = summary(name, grid.ravel(), np.arange(grid.size), plan)
        print(words + trivial.get(name, ""))
    print("compare the values at the center with those of your training")
    print(f"done: {plan.out}; next: {typed('plot')} {plan.out}", flush=True)


def _adaptive_words(plan: Plan, adaptive: AdaptivePoints) -> str:
    n, n_points = adaptive.n_done, plan.n_points
    check, tolerance = adaptive.last_check(), adaptive.tolerance
    if n == n_points or check is None:
        return f"all {n_points:,} points were computed: {tolerance.text} needs them all"
    return (
        f"{n:,} of {n_points:,} points computed ({100 * n / n_points:.0f} %), the others are "
        f"interpolated to {tolerance.words}\n"
        f"{describe_check(check.errors, check.estimates, tolerance.unit)}"
    )


def _trivial_errors(file: h5py.File) -> dict[str, str]:
    """Return the text beside an error: the error without any network."""
    start, words = "trivial_error_", "for always answering the commonest class"
    return {
        f"{name.removeprefix(start)}_error": f"; {value:.6g} {words}"
        for name, value in file["provenance"].attrs.items()
        if name.startswith(start)
    }


def summary(name: str, values: np.ndarray, points: np.ndarray, plan: Plan) -> str:
    """Describe the range of values in one line.

    Args:
        name: Name of the quantity.
        values: Values at some points, float64 [n].
        points: Flat indices of these points in the grid, int64 [n].
        plan: The plan, with the grid.
    """
    finite = values[np.isfinite(values)]
    words = []
    if finite.size and values.size > 1:
        words.append(f"{finite.min():.6g} to {finite.max():.6g}")
    rows, columns = np.divmod(points, len(plan.beta))
    center = (plan.alpha[rows] == 0) & (plan.beta[columns] == 0)
    if center.any():
        words.append(f"{values[center][0]:.6g} at the center")
    elif values.size == 1:
        words.append(f"{values[0]:.6g}")
    if finite.size < values.size:
        words.append(f"not finite at {values.size - finite.size} points")
    return f"{name}: {', '.join(words)}"
