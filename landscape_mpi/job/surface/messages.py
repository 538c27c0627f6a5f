"""What rank 0 tells the user before and after a run."""

from __future__ import annotations

import os

import h5py
import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.job.surface.plan import Plan, RootInputs
from landscape_mpi.job.surface.points import PointEvaluator
from landscape_mpi.job.surface.precision import Precision, describe_trials
from landscape_mpi.job.surface.surface_file import Outcome, Start
from landscape_mpi.job.workers import Workers
from landscape_mpi.store.creation import SurfaceContent
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.writer import writer_description
from landscape_mpi.zoo.dataset import NOUNS


def say_start(
    ranks: Ranks,
    plan: Plan,
    root: RootInputs | None,
    evaluator: PointEvaluator,
    precision: Precision,
    start: Start,
) -> None:
    """Say what is about to be computed, on what. Local; rank 0 prints."""
    content = root.content if root else None
    if not ranks.is_root:
        return
    setting = evaluator.setting
    samples = " + ".join(f"{n:,} {name}" for name, n in plan.n_samples.items())
    noun = NOUNS[plan.source.sample.kind]
    n_done = plan.n_points - start.n_pending
    resumed = f"resuming, {n_done:,} of them done" if n_done else "none of them done yet"
    if start.n_pending == 0:
        resumed = f"resuming, {n_done:,} of them done, which are all"
    print(
        f"{plan.source.model}: {len(plan.alpha)} x {len(plan.beta)} points, {samples} {noun} each; "
        f"{resumed}\n"
        f"{_counted(ranks.size, 'rank')}: {start.workers.devices}; {setting.precision}, batch "
        f"{setting.batch}{_at_once(setting)}, {start.workers.threads} a rank"
        f"{_sharing(start.workers)}\n"
        f"weights: {_whose_weights(content, plan)}; network: {evaluator.preparation}; "
        f"{evaluator.launching}\n"
        f"{_precision_line(plan, precision)}"
        f"{_pixels_line(plan)}"
        f"{_loss_line(plan)}"
        f"{plan.out}: {writer_description()}",
        flush=True,
    )
    types = str(content.attributes["provenance"]["checkpoint_types"]) if content else ""
    if types not in {"", "float32"}:
        print(f"the checkpoint holds {types}; its weights were converted to float32", flush=True)
    if setting.device == "cpu":
        _say_binding(ranks)


def _at_once(setting: Setting) -> str:
    return "" if setting.points == 1 else f", {setting.points} points at a time"


def _sharing(workers: Workers) -> str:
    n = workers.ranks_per_point
    return "" if n == "1" else f", {n} ranks sharing each point"


def _precision_line(plan: Plan, precision: Precision) -> str:
    if not precision.trials:
        return ""
    auto = f", auto within {plan.tolerance:g}" if plan.precision == "auto" else ""
    return f"precision {precision.name}{auto}: {describe_trials(precision)}\n"


def _whose_weights(content: SurfaceContent | None, plan: Plan) -> str:
    solutions = content.attributes["/"].get(SOLUTIONS) if content else None
    if isinstance(solutions, list):
        return f"{len(solutions)} solutions, a line between each two"
    checkpoint = str(content.attributes["provenance"]["checkpoint"]) if content else "none"
    return f"{plan.source.model}'s own, no --checkpoint" if checkpoint == "none" else checkpoint


def _pixels_line(plan: Plan) -> str:
    if not plan.mean:  # no images
        return ""
    return f"pixels: mean {_listed(plan.mean)}, std {_listed(plan.std)}\n"


def _loss_line(plan: Plan) -> str:
    if plan.loss.name == "cross_entropy":
        return ""
    errors = {None: "no error beside it", "largest output": "error: another output is the largest"}
    return f"loss: {plan.loss.name}; {errors.get(plan.loss.error, 'error: wrong sign')}\n"


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _say_binding(ranks: Ranks) -> None:
    allowed, present = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    if allowed * ranks.node.size < present:
        print(
            f"the launcher bound rank 0 to {allowed} of {present} cores of its node, which has "
            f"{_counted(ranks.node.size, 'rank')}; mpirun --bind-to none lets them use all",
            flush=True,
        )


def say_end(ranks: Ranks, plan: Plan, outcome: Outcome) -> None:
    """Say what the file holds and what to do next. Local; rank 0 prints."""
    if not ranks.is_root:
        return
    with h5py.File(plan.out, "r", locking=False) as file:
        done = file["done"][...] == 1
        values = {name: file[name][...] for name in plan.quantities}
        trivial = _trivial_errors(file)
    if not outcome.finished:
        print(
            f"stopped by {outcome.signal} with {done.sum():,} of {plan.n_points:,} points done; "
            f"run the same command again to go on",
            flush=True,
        )
        return
    for name, grid in values.items():
        print(_summary(name, grid, plan) + trivial.get(name, ""))
    print("the values at the center should be those you know from training")
    print(f"done: {plan.out}; next: python -m landscape_mpi.plot {plan.out}", flush=True)


def _trivial_errors(file: h5py.File) -> dict[str, str]:
    """Return what stands beside an error: the one that needs no network."""
    start = "trivial_error_"
    return {
        f"{name.removeprefix(start)}_error": f"; {value:.6g} for the commonest class alone"
        for name, value in file["provenance"].attrs.items()
        if name.startswith(start)
    }


def _summary(name: str, grid: np.ndarray, plan: Plan) -> str:
    finite = grid[np.isfinite(grid)]
    words = [f"{name}:"]
    if finite.size:
        words.append(f"{finite.min():.6g} to {finite.max():.6g}")
    rows, columns = np.flatnonzero(plan.alpha == 0), np.flatnonzero(plan.beta == 0)
    if rows.size and columns.size:
        words.append(f"{grid[rows[0], columns[0]]:.6g} at the center")
    if finite.size < grid.size:
        words.append(f"not finite at {grid.size - finite.size} points")
    return words[0] + " " + ", ".join(words[1:])
