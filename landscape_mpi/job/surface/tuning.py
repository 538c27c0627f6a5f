"""The batch of a run, and whether its network is compiled: asked for, stored, or measured."""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.cost import sample_cost
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.tuning import batch_for_cpu, choose_batch_and_code
from landscape_mpi.job.surface.plan import Plan
from landscape_mpi.job.surface.shared import SharedInputs


def tune(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Choose batch and compilation, on GPUs by measurement on rank 0. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        inputs: What this rank has of the inputs.
        setting: How to compute, with the precision.

    Returns:
        The setting with both.
    """
    if plan.begun is not None:
        return replace(setting, compiled=plan.compiled is True)
    if setting.kind == "cpu":
        batch = plan.batch or _batch_for_cpu(plan, inputs)
        return replace(setting, batch=batch, compiled=plan.compiled is True)
    found = on_root(ranks, lambda: measure(plan, inputs, setting))
    batch, compiled, words = ranks.comm.bcast(found, root=ROOT)
    if ranks.is_root:
        print(f"batch {batch}, {words}", flush=True)
    return replace(setting, batch=batch, compiled=compiled)


def _batch_for_cpu(plan: Plan, inputs: SharedInputs) -> int:
    cost = sample_cost(inputs.build(), inputs.sample)
    return batch_for_cpu(cost, next(iter(plan.n_samples.values())))


def measure(plan: Plan, inputs: SharedInputs, setting: Setting) -> tuple[int, bool, str]:
    """Return the batch, whether to compile, and why. Local.

    Args:
        plan: What is asked; what it asks for is not measured.
        inputs: What this rank has of the inputs.
        setting: How to compute otherwise.
    """
    split, n_samples = next(iter(plan.n_samples.items()))

    def make_plane(batch: int, compiled: bool, n_timed: int) -> PointLosses:
        samples = inputs.samples(split, slice(0, n_timed), setting.device)
        return inputs.plane({split: samples}, replace(setting, batch=batch, compiled=compiled))

    return choose_batch_and_code(
        make_plane,
        n_samples=n_samples,
        precision=setting.precision,
        batch=plan.batch,
        compiled=plan.compiled,
    )
