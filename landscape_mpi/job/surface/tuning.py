"""The batch of a run, whether its network is compiled, and how many points it takes at once.

Asked for, stored, or measured.
"""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.cost import sample_cost
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.tuning import (
    BATCHES_TIMED,
    STACKS,
    batch_for_cpu,
    choose_batch_and_code,
    choose_points_at_once,
)
from landscape_mpi.job.surface.plan import Plan
from landscape_mpi.job.surface.shared import SharedInputs


def tune(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Choose the rest of the setting, on GPUs by measurement on rank 0. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        inputs: What this rank has of the inputs.
        setting: How to compute, with the precision.

    Returns:
        The setting with all of it.
    """
    setting = replace(setting, compiled=plan.compiled is True, points=plan.points_at_once or 1)
    if plan.begun is not None:
        return setting
    if setting.kind == "cpu":
        return replace(setting, batch=plan.batch or _batch_for_cpu(plan, inputs))
    found = on_root(ranks, lambda: measure(plan, inputs, setting, n_ranks=ranks.size))
    setting, words = ranks.comm.bcast(found, root=ROOT)
    if ranks.is_root:
        print(words, flush=True)
    return setting


def _batch_for_cpu(plan: Plan, inputs: SharedInputs) -> int:
    cost = sample_cost(inputs.build(), inputs.sample)
    return batch_for_cpu(cost, next(iter(plan.n_samples.values())))


def measure(
    plan: Plan, inputs: SharedInputs, setting: Setting, *, n_ranks: int
) -> tuple[Setting, str]:
    """Return the setting with what measures faster, and why. Local.

    Args:
        plan: What is asked; what it asks for is not measured.
        inputs: What this rank has of the inputs.
        setting: How to compute otherwise.
        n_ranks: Ranks of the run.
    """
    split, n_samples = next(iter(plan.n_samples.items()))

    def make_plane(batch: int, compiled: bool, n_timed: int) -> PointLosses:
        samples = inputs.samples(split, slice(0, n_timed), setting.device)
        return inputs.plane({split: samples}, replace(setting, batch=batch, compiled=compiled))

    batch, compiled, words = choose_batch_and_code(
        make_plane,
        n_samples=n_samples,
        precision=setting.precision,
        batch=plan.batch,
        compiled=plan.compiled if setting.points == 1 else False,
    )
    setting, words = replace(setting, batch=batch, compiled=compiled), f"batch {batch}, {words}"
    most = plan.n_pending // n_ranks
    if plan.points_at_once is not None or (plan.ranks_per_point or 1) > 1 or most < STACKS[0]:
        return setting, words
    samples = inputs.samples(split, slice(0, min(n_samples, BATCHES_TIMED * batch)), setting.device)
    points, why = choose_points_at_once(
        lambda: inputs.plane({split: samples}, setting),
        lambda n: inputs.stacked_plane({split: samples}, replace(setting, points=n)),
        most=most,
    )
    if points > 1:
        setting = replace(setting, points=points, compiled=False)
    return setting, f"{words}; {why}"
