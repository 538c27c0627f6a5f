"""The batch of a run, and whether its network is compiled: asked for, stored, or measured."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.tuning import BATCHES_TIMED, fastest_batch, is_worth_compiling
from landscape_mpi.job.plan import Plan
from landscape_mpi.job.shared import SharedInputs


def tune(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Choose batch and compilation on rank 0, on GPUs by measurement. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        inputs: What this rank has of the inputs.
        setting: How to compute, with the precision.

    Returns:
        The setting with both.
    """
    if plan.begun is not None or setting.kind == "cpu":
        return replace(setting, compiled=plan.compiled is True)
    found = on_root(ranks, lambda: measure(plan, inputs, setting))
    batch, compiled, words = ranks.comm.bcast(found, root=ROOT)
    if ranks.is_root:
        print(f"batch {batch}, {words}", flush=True)
    return replace(setting, batch=batch, compiled=compiled)


def measure(plan: Plan, inputs: SharedInputs, setting: Setting) -> tuple[int, bool, str]:
    """Return the batch, whether to compile, and why. Local.

    Args:
        plan: What is asked; what it asks for is not measured.
        inputs: What this rank has of the inputs.
        setting: How to compute otherwise.
    """
    split, n_samples = next(iter(plan.n_samples.items()))

    def make_plane(batch: int, compiled: bool) -> LossPlane:
        samples = inputs.samples(split, slice(0, n_timed(batch)), setting.device)
        asked = replace(setting, batch=batch, compiled=compiled)
        sample = inputs.sample
        return LossPlane(inputs.build(), inputs.directions, {split: samples}, sample, asked)

    def n_timed(batch: int) -> int:
        return min(n_samples, BATCHES_TIMED * batch)

    def seconds_per_sample(batch: int) -> float:
        return make_plane(batch, plan.compiled is True).shortest_seconds(0.0, 0.0) / n_timed(batch)

    batch = plan.batch or fastest_batch(seconds_per_sample)
    if plan.compiled is not None:
        return (
            batch,
            plan.compiled,
            "compiled as asked" if plan.compiled else "not compiled as asked",
        )
    worth, words = is_worth_compiling(partial(make_plane, batch), setting.precision)
    return batch, worth, words
