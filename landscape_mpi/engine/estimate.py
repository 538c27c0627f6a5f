"""An estimate of a run, measured on the ranks that it would use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.cost import MachineRates, measure_machine
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.engine.adaptive.self_check import least_points
from landscape_mpi.engine.forecast import (
    Measured,
    Work,
    describe,
    describe_adaptive,
    describe_both,
    describe_sampling,
    seconds_per_point,
)
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.point_evaluator import fit_evaluator, group_ranks
from landscape_mpi.engine.sampling.order import least_samples
from landscape_mpi.engine.shared_inputs import SharedInputs

MEASURED_SAMPLES = 2000  # a point of this few samples is measured in seconds


def say_estimate(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> int:
    """Print an estimate of a run on rank 0. Collective over the ranks.

    Returns:
        Exit status 0.
    """
    if plan.n_pending == 0:
        if ranks.is_root:
            print(f"{plan.out}: all {plan.n_points:,} points are done; nothing is left to compute")
        return 0
    of_rank = group_ranks(ranks, plan, setting).of_rank
    few = {name: min(n, MEASURED_SAMPLES) for name, n in plan.subject.n_samples.items()}
    measured = measure_ranks(
        ranks, replace(plan, subject=replace(plan.subject, n_samples=few)), inputs, setting
    )
    if ranks.is_root:
        work = Work(
            grid=(len(plan.alpha), len(plan.beta)),
            n_pending=plan.n_pending,
            n_samples=sum(plan.subject.n_samples.values()),
            noun=plan.subject.noun,
            quantities=plan.subject.quantities,
        )
        print(describe(measured, work, of_rank), flush=True)
        _say_what_values_decide(plan, setting, measured, work, of_rank)
    return 0


def _say_what_values_decide(
    plan: Plan, setting: Setting, measured: Measured, work: Work, of_rank: Sequence[int]
) -> None:
    """Print what a run with tolerances may cost."""
    points = least_points(*work.grid)
    samples = sum(least_samples(plan.subject.n_samples, setting.batch))
    if plan.tolerance is not None:
        tolerance = plan.tolerance.text
        print(describe_adaptive(measured, work, of_rank, least=points, tolerance=tolerance))
    if plan.sampling is not None:
        rule = plan.sampling.text
        print(describe_sampling(measured, work, of_rank, least=samples, rule=rule))
    if plan.tolerance is not None and plan.sampling is not None:
        print(describe_both(measured, work, of_rank, points=points, samples=samples), flush=True)


def measure_ranks(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Measured:
    """Evaluate separate points on every rank at the same time. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting of the evaluation.
    """
    evaluation = replace(plan.evaluation, ranks_per_point=1)
    alone = replace(plan, evaluation=evaluation, sampling=None)  # every sample of the few
    evaluator = fit_evaluator(ranks, alone, inputs, setting)
    ranks.comm.Barrier()  # ranks that share a node slow one another down, as in the run
    rates = measure_machine(evaluator.setting)
    ranks.comm.Barrier()
    n = evaluator.setting.points

    def one_pass(number: int) -> None:
        evaluator.evaluate_points((number * n + np.arange(n)) % plan.n_points)

    seconds = seconds_per_point(one_pass, -(-plan.n_points // n)) / n
    cost = inputs.cost()
    told = (
        seconds / sum(plan.subject.n_samples.values()),
        rates.operations_per_s,
        rates.bytes_per_s,
    )
    sample_seconds, operations, n_bytes = np.array(ranks.comm.allgather(told)).T
    rates = MachineRates(operations.mean(), n_bytes.mean())
    return Measured(setting.precision, sample_seconds, cost, rates)
