"""The choice of steps that make a run's network faster without changing its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.agreement import Chosen
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.steps import steps_of
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.errors import InputError

SAME_OUTPUTS = 1e-3  # relative; a resumed run may be on another machine, which rounds differently


def choose_steps(ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting) -> Setting:
    """Compare the fast evaluation with the plain one on rank 0. Collective over the ranks.

    A resumed run uses the steps of its file.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting, with a batch that fits; it may differ from that of the run.

    Returns:
        The setting with the steps; ``inputs.chosen`` then has them too, with the reasons.

    Raises:
        InputError: If the network is not a function of its weights and its input, or is not the
            one that the file was started with.
    """
    chosen = ranks.comm.bcast(on_root(ranks, lambda: _choose(plan, inputs, setting)), root=ROOT)
    inputs.chosen = chosen
    if ranks.is_root:
        for words in chosen.left_out:
            print(f"this step would change the numbers, so it is left out: {words}", flush=True)
    return replace(setting, steps=chosen.steps)


def _choose(plan: Plan, inputs: SharedInputs, setting: Setting) -> Chosen:
    while True:
        try:
            return _choose_in_memory(plan, inputs, setting)
        except torch.OutOfMemoryError as error:
            if setting.batch == 1:
                words = str(error).split(". ")[0]
                raise InputError(plan.subject.too_large_words(1, words)) from error
            setting = replace(setting, batch=setting.batch // 2)


def _choose_in_memory(plan: Plan, inputs: SharedInputs, setting: Setting) -> Chosen:
    agreement = inputs.agreement(setting)
    agreement.check_plain()
    begun = plan.begun
    if begun is None or begun.steps is None:
        chosen = agreement.choose()
        # The comparison is in fp32: a run in another type needs its own plane.
        inputs.keep(agreement.agreeing, replace(setting, precision="fp32"))
        return chosen
    outputs, scale = agreement.center_outputs(), agreement.center_scale()
    check_center(plan, begun.center_outputs, outputs, scale)
    steps = steps_of(begun.steps.split(","))
    return Chosen(steps, begun.left_out, begun.center_outputs, center_scale=scale)


def check_center(plan: Plan, stored: Sequence[float], found: Sequence[float], scale: float) -> None:
    """Check that a network's outputs at the center are those stored when its file was started.

    Args:
        plan: The plan of the run, with the file.
        stored: Chosen.center_outputs in the file.
        found: Chosen.center_outputs now.
        scale: Chosen.center_scale now.

    Raises:
        InputError: If they differ.
    """
    if not stored:
        return
    before, now = np.array(stored), np.array(found)
    apart = np.abs(now - before).max() if len(now) == len(before) else math.inf
    if apart > _allowed(before, scale):
        raise InputError(
            f"{plan.out}: was started with {plan.subject.what_changed(stored, found)}. Points of "
            "both do not belong in one file. Restore the code, pass a new --out, or pass --fresh "
            "to start over."
        )


def check_end(
    ranks: Ranks,
    plan: Plan,
    inputs: SharedInputs,
    setting: Setting,
    discard: Callable[[], None],
) -> None:
    """Check that the first samples still give what they gave before the run. Collective.

    A counter in a network or a loss may begin to matter only after many calls.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting of the run.
        discard: Marks the points of the file as not computed; called on rank 0 before the error.

    Raises:
        InputError: If they give something else.
    """
    on_root(ranks, lambda: _check_end(plan, inputs, setting, discard))


def _check_end(
    plan: Plan, inputs: SharedInputs, setting: Setting, discard: Callable[[], None]
) -> None:
    chosen = inputs.chosen
    if chosen is None or not chosen.center_outputs:
        return
    try:
        before = np.array(chosen.center_outputs)
        now = np.array(inputs.agreement(setting).outputs_of_first())
    except torch.OutOfMemoryError:  # The run still holds its own part of the memory.
        print("too little memory is left to compare the center once more", flush=True)
        return
    n = min(len(before), len(now))
    apart = np.abs(now[:n] - before[:n]).max(initial=0)
    if apart > _allowed(before, chosen.center_scale):
        discard()
        raise InputError(
            f"{plan.subject.option}: the same samples at the center give other values at the end "
            f"of the run than at its beginning, by {apart:.4g}. They depend on something that "
            f"each call changes, such as a counter or a schedule, so the values in {plan.out} do "
            "not belong to one function. Its points are now marked as not computed. Remove the "
            "cause; then the same command computes them again."
        )


def _allowed(stored: np.ndarray, scale: float) -> float:
    """Return how far outputs may be from stored ones, whose size may be larger than their sums."""
    return SAME_OUTPUTS * max(scale, float(np.abs(stored).max()))


def is_checked(inputs: SharedInputs, setting: Setting) -> bool:
    """Say whether rank 0 has compared exactly this evaluation with the plain one.

    It is also true for types other than fp32, since choose_precision measures their deviation.
    """
    chosen = inputs.chosen
    if setting.precision != "fp32":
        return True
    is_plain = setting.device.is_host and not setting.compiled
    return is_plain and chosen is not None and chosen.checked_batch == setting.batch


def check_evaluation(
    plan: Plan, inputs: SharedInputs, setting: Setting, plane: PointLosses
) -> None:
    """Check that a plane agrees with the plain network, in the setting of the run. Local.

    Args:
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting of the plane.
        plane: The plane to check.

    Raises:
        InputError: If it does not agree.
    """
    agreement = inputs.agreement(setting)
    samples = agreement.take_batches()
    fault = agreement.fault_of_plane(plane, samples, n_threads=setting.n_threads)
    plane.forget(samples)
    if fault is not None:
        raise InputError(
            f"{plan.subject.option}: evaluated as in this run ({plane.description}), the network "
            f"does not agree with the network as torch runs it: {fault}. "
            f"{plan.subject.plain_way_out}"
        )
