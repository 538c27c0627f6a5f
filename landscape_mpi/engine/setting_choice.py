"""The batch of a run, the compilation of its network, and the number of points at once.

Each is requested, stored, or measured.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.tuning import (
    BATCHES_TIMED,
    STACKS,
    batch_for_cpu,
    choose_batch_and_code,
    choose_points_at_once,
    is_worth_reordering,
)
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.shared_inputs import SharedInputs


@dataclass(frozen=True)
class Tuned:
    """The choices of rank 0 for all ranks, without those of a single rank, such as its device."""

    batch: int
    compiled: bool
    points: int
    channels_last: bool

    def on(self, setting: Setting) -> Setting:
        """Return a rank's setting with these choices."""
        steps = replace(setting.steps, channels_last=self.channels_last)
        return replace(
            setting, batch=self.batch, compiled=self.compiled, points=self.points, steps=steps
        )


def tune(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Choose the rest of the setting, on GPUs by measurement on rank 0. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting, with the precision.

    Returns:
        The complete setting; each rank keeps its own device and threads.
    """
    setting = replace(
        setting,
        compiled=plan.evaluation.compiled is True,
        points=plan.evaluation.points_at_once or 1,
    )
    if plan.begun is not None or setting.device.is_host:
        return setting
    found = on_root(ranks, lambda: measure(plan, inputs, setting, n_ranks=ranks.size))
    tuned, words = ranks.comm.bcast(found, root=ROOT)
    if ranks.is_root:
        print(words, flush=True)
    return tuned.on(setting)


def with_batch(plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Return a setting with its batch: as requested, that of a CPU, or the first one for a GPU."""
    if plan.evaluation.batch is not None or not setting.device.is_host:
        return setting
    cost = inputs.cost()
    return replace(setting, batch=batch_for_cpu(cost, next(iter(plan.subject.n_samples.values()))))


def measure(
    plan: Plan, inputs: SharedInputs, setting: Setting, *, n_ranks: int
) -> tuple[Tuned, str]:
    """Measure the choices and return the faster ones, with reasons. Local.

    Args:
        plan: The plan; choices that it states are not measured.
        inputs: This rank's inputs.
        setting: The rest of the setting.
        n_ranks: Ranks of the run.
    """
    split, n_samples = next(iter(plan.subject.n_samples.items()))
    layout = ""
    if plan.evaluation.batch is None:  # a given one fixes the last bits
        setting, layout = _with_layout(inputs, setting, split, n_samples)

    def make_plane(batch: int, compiled: bool, n_timed: int) -> PointLosses:
        samples = inputs.samples(split, slice(0, n_timed), setting.device)
        return inputs.plane({split: samples}, replace(setting, batch=batch, compiled=compiled))

    batch, compiled, words = choose_batch_and_code(
        make_plane,
        n_samples=n_samples,
        precision=setting.precision,
        n_points=-(-plan.n_pending // n_ranks),
        batch=plan.evaluation.batch,
        compiled=plan.evaluation.compiled if setting.points == 1 else False,
    )
    last = setting.steps.channels_last
    tuned, words = Tuned(batch, compiled, setting.points, last), f"batch {batch}, {words}{layout}"
    most = plan.n_pending // n_ranks
    if (
        plan.evaluation.points_at_once is not None
        or (plan.evaluation.ranks_per_point or 1) > 1
        or most < STACKS[0]
    ):
        return tuned, words
    samples = inputs.samples(split, slice(0, min(n_samples, BATCHES_TIMED * batch)), setting.device)
    points, why = choose_points_at_once(
        lambda: inputs.plane({split: samples}, tuned.on(setting)),
        lambda n: inputs.stacked_plane({split: samples}, replace(tuned, points=n).on(setting)),
        most=most,
    )
    if points > 1:
        tuned = replace(tuned, points=points, compiled=False)
    return tuned, f"{words}; {why}"


def _with_layout(
    inputs: SharedInputs, setting: Setting, split: str, n_samples: int
) -> tuple[Setting, str]:
    """Return a setting with the faster order of channels in memory, and the measurement.

    Tensor cores need channels last; only kernels of plain float32 leave the choice open.
    """
    if setting.precision != "fp32" or not setting.steps.channels_last:
        return setting, ""

    def setting_with(is_last: bool) -> Setting:
        return replace(setting, steps=replace(setting.steps, channels_last=is_last))

    def make_plane(is_last: bool) -> PointLosses:
        n_timed = min(n_samples, BATCHES_TIMED * setting.batch)
        samples = inputs.samples(split, slice(0, n_timed), setting.device)
        return inputs.plane({split: samples}, setting_with(is_last))

    try:
        is_last, words = is_worth_reordering(make_plane)
    except torch.OutOfMemoryError:  # a smaller batch is found later
        return setting, ""
    return setting_with(is_last), f"; {words}"
