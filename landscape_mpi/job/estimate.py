"""What a run is going to take, measured on the ranks it would run on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.groups import make_groups
from landscape_mpi.cluster.progress import describe_duration
from landscape_mpi.cluster.shards import shard_sizes
from landscape_mpi.compute.cost import MachineRates, SampleCost, measure_machine, sample_cost
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.job.plan import Plan
from landscape_mpi.job.points import PointEvaluator
from landscape_mpi.job.shared import SharedInputs

MEASURE_S = 3.0
MIN_POINTS = 2
MEASURED_SAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """What the ranks measured, all of them at once as in a run."""

    image_seconds: np.ndarray  # time of an image on each rank, s, float64 [n_ranks]
    cost: SampleCost
    rates: MachineRates  # of a rank, mean over the ranks


def with_few_samples(plan: Plan) -> Plan:
    """Return the plan with so few samples that a point is measured in seconds."""
    few = {name: min(n, MEASURED_SAMPLES) for name, n in plan.n_samples.items()}
    return replace(plan, n_samples=few)


def say_estimate(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> int:
    """Print on rank 0 what the run of a plan will take. Collective over the ranks.

    Returns:
        Exit status 0.
    """
    few = with_few_samples(plan)
    evaluator = PointEvaluator(ranks, few, inputs, setting, make_groups(ranks, 1))
    measured = measure_points(ranks, few, evaluator, inputs.sample)
    if ranks.is_root:
        print(describe(measured, plan, setting), flush=True)
    return 0


def measure_points(
    ranks: Ranks, plan: Plan, evaluator: PointEvaluator, sample: torch.Tensor
) -> Estimate:
    """Evaluate points on every rank at once. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: Plan of the evaluator.
        evaluator: This rank's.
        sample: Some samples, float32, on the CPU.
    """
    ranks.comm.Barrier()  # ranks that share a node slow one another down, as in the run
    rates = measure_machine(evaluator.setting)
    evaluator.evaluate_point(0)  # the first one allocates
    ranks.comm.Barrier()
    seconds = _seconds_per_point(evaluator, plan.n_points) / sum(plan.n_samples.values())
    cost = sample_cost(plan.source.build(), sample)
    everyone = ranks.comm.allgather((seconds, rates.operations_per_s, rates.bytes_per_s))
    image_seconds, operations, n_bytes = np.array(everyone).T
    return Estimate(image_seconds, cost, MachineRates(operations.mean(), n_bytes.mean()))


def _seconds_per_point(evaluator: PointEvaluator, n_points: int) -> float:
    n_done, began = 0, time.perf_counter()
    while n_done < MIN_POINTS or time.perf_counter() - began < MEASURE_S:
        evaluator.evaluate_point(n_done % n_points)
        n_done += 1
    return (time.perf_counter() - began) / n_done


def describe(estimate: Estimate, plan: Plan, setting: Setting) -> str:
    """Return what was measured and what the run of a plan will take, line by line."""
    n_images = sum(plan.n_samples.values())
    n_ranks = len(estimate.image_seconds)
    image_s = float(estimate.image_seconds.mean())
    one_round = plan.n_points * estimate.image_seconds.max()
    sizes = shard_sizes(estimate.image_seconds, n_points=plan.n_points, round_seconds=one_round)
    run_s = float((sizes * estimate.image_seconds).max()) * n_images
    operations_s, moved_s = _ideal_seconds(estimate, setting)
    shares = operations_s / image_s, moved_s / image_s
    limit = "matrix products" if operations_s >= moved_s else "memory traffic"
    return "\n".join(
        (
            f"{1 / image_s:,.0f} images/s a rank, {image_s * n_images:.4g} s a point of "
            f"{n_images:,} images",
            f"arithmetic: {operations_s / image_s:.0%} of the matrix products this machine does "
            f"({estimate.rates.operations_per_s / 1e9:,.0f} GFLOP/s a rank, {setting.precision})",
            f"memory: {moved_s / image_s:.0%} of its copies "
            f"({estimate.rates.bytes_per_s / 1e9:,.1f} GB/s a rank), were every activation written "
            f"and read once",
            f"what limits it is {limit}: {max(operations_s, moved_s) * n_images:.4g} s a point"
            + (", as measured while other jobs disturbed it" if max(shares) > 1.1 else ""),
            f"{len(plan.alpha)} x {len(plan.beta)} points on {n_ranks} "
            f"rank{'s' if n_ranks > 1 else ''}: about {describe_duration(run_s)}",
        )
    )


def _ideal_seconds(estimate: Estimate, setting: Setting) -> tuple[float, float]:
    """Return what an image would take by arithmetic alone and by memory traffic alone, s."""
    n_bytes = 2 if setting.precision == "bf16" else 4
    cost, rates = estimate.cost, estimate.rates
    return (
        cost.operations / rates.operations_per_s,
        cost.values_moved * n_bytes / rates.bytes_per_s,
    )
