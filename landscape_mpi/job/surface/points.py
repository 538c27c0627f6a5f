"""One rank's share of a point: its part of the data, and the values its group makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree, meet
from landscape_mpi.cluster.groups import Group, choose_ranks_per_point, make_groups
from landscape_mpi.cluster.rounds import one_by_one
from landscape_mpi.compute.evaluation import Setting, mean_values
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.errors import InputError
from landscape_mpi.job.surface.plan import Plan
from landscape_mpi.job.surface.shared import SharedInputs

T = TypeVar("T")


def group_ranks(ranks: Ranks, plan: Plan, setting: Setting) -> Group:
    """Put the ranks that share a point together. Collective over the ranks.

    Raises:
        SharedInputError: If more ranks are asked for than there are.
    """
    # Ranks may have different numbers of threads, and must all form the same groups.
    threads = min(ranks.comm.allgather(setting.threads))
    at_a_time = setting.batch * threads
    n_batches = [-(-n // at_a_time) for n in plan.n_samples.values()]
    asked = plan.ranks_per_point if setting.points == 1 else 1
    if asked is None:
        asked = choose_ranks_per_point(
            n_points=max(1, plan.n_pending), n_ranks=ranks.size, n_batches=n_batches
        )
    if asked > ranks.size:
        raise SharedInputError(
            f"--ranks-per-point: asks for {asked} ranks, and the run has {ranks.size}. Pass at "
            f"most that, or start more ranks."
        )
    return make_groups(ranks, asked)


def fit_evaluator(
    ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting
) -> PointEvaluator:
    """Set the ranks up, with smaller batches where one does not fit. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        inputs: What this rank has of the inputs.
        setting: How to compute, if the memory of every device suffices.

    Raises:
        SharedInputError: If a batch that was asked for, or that the file was begun with, does
            not fit; or if one sample does not.
    """
    while True:
        group = group_ranks(ranks, plan, setting)
        evaluator, problem = _try_on_all(ranks, plan, inputs, setting, group)
        problems = [text for text in ranks.comm.allgather(problem) if text is not None]
        if evaluator is not None and not problems:
            compare_losses(ranks, evaluator.center_loss)
            return evaluator
        group.free()
        setting = replace(setting, batch=_smaller_batch(plan, setting, problems[0]))
        if ranks.is_root:
            print(f"out of memory, so the batch becomes {setting.batch}: {problems[0]}", flush=True)


def _try_on_all(
    ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting, group: Group
) -> tuple[PointEvaluator | None, str | None]:
    """Set this rank up, or return how its memory fell short. Collective over the ranks."""

    def attempt() -> tuple[PointEvaluator | None, str | None]:
        try:
            return PointEvaluator(plan, inputs, setting, group), None
        except torch.OutOfMemoryError as error:
            return None, str(error).split(". ")[0]
        except InputError:
            raise
        except Exception as error:
            if not setting.compiled:
                raise
            raise InputError(
                f"--compile on: the compiler gives up ({' '.join(str(error).split())[:200]}). Pass "
                f"--compile off."
            ) from error

    return agree(ranks, lambda: _in_turn(ranks, setting, attempt))


def _in_turn(ranks: Ranks, setting: Setting, work: Callable[[], T]) -> T:
    """Do work; if it compiles, first on one rank of the node, so that the others find its code."""
    if not setting.compiled:
        return work()
    if ranks.node.rank > 0:
        meet(ranks.node)
        return work()
    try:
        return work()
    finally:
        meet(ranks.node)


def _smaller_batch(plan: Plan, setting: Setting, problem: str) -> int:
    if plan.batch is not None or setting.batch == 1:
        raise SharedInputError(
            f"--batch: {setting.batch} samples a pass do not fit into the memory of the device "
            f"({problem}). Pass a smaller --batch; a surface begun with this one needs --fresh, "
            f"or devices with more memory."
        )
    return setting.batch // 2


class PointEvaluator:
    """This rank's network, directions and part of the data on its device."""

    def __init__(self, plan: Plan, inputs: SharedInputs, setting: Setting, group: Group) -> None:
        """Put everything on the device, and try it at the center. Local.

        Args:
            plan: What is asked.
            inputs: What this rank has of the inputs.
            setting: How to compute.
            group: The ranks that share a point with this one.

        Raises:
            InputError: If the network is no function of its weights and its input.
        """
        self.setting = setting
        self.group = group
        self._plan = plan
        self._splits = {
            name: inputs.samples(name, self._rows(n), setting.device)
            for name, n in plan.n_samples.items()
        }
        self._planes = [
            inputs.plane(self._splits, setting, repeat=repeat)
            for repeat in range(plan.repeats or 1)
        ]
        self._stack: StackedLossPlane | None = None
        if setting.points > 1:
            self._stack = stack_points(inputs, self._splits, setting, self._planes[0])
        first_split = next(iter(plan.n_samples))
        first_batch = inputs.samples(first_split, slice(0, setting.batch), setting.device)
        self.center_loss = self._planes[0].check_is_function(first_batch)
        if setting.kind == "cuda":
            for plane in self._planes:
                plane.compute_losses(0.0, 0.0)  # recorded now, when memory can still be made
        used = self._stack or self._planes[0]
        self.preparation, self.launching = used.description, used.launching

    def _rows(self, n_samples: int) -> slice:
        """Return this rank's rows of a split: whole batches, so that their losses stay the same."""
        batch = self.setting.batch
        part = self.group.part(-(-n_samples // batch))
        return slice(part.start * batch, min(part.stop * batch, n_samples))

    def evaluate_points(self, points: np.ndarray) -> np.ndarray:
        """Return the quantities of some points. Collective over the group.

        Args:
            points: Flat indices into [n_alpha, n_beta], int64, ``setting.points`` or fewer.

        Returns:
            float64 [n, n_quantities]; on the leader of the group, without meaning elsewhere.
        """
        if self._stack is None:
            return one_by_one(self.evaluate_point)(points)
        rows, columns = np.divmod(points, len(self._plan.beta))
        places = zip(
            self._plan.alpha[rows].tolist(), self._plan.beta[columns].tolist(), strict=True
        )
        values = self._stack.evaluate(list(places))
        return values if self._plan.loss.error else values[:, ::2]

    def evaluate_point(self, point: int) -> np.ndarray:
        """Return the quantities of a point, float64 [n_quantities]. Collective over the group.

        Args:
            point: Flat index into [n_alpha, n_beta].

        Returns:
            The values on the leader of the group, without meaning elsewhere.
        """
        row, column = divmod(point, len(self._plan.beta))
        alpha, beta = float(self._plan.alpha[row]), float(self._plan.beta[column])
        if self._plan.repeats is None:
            self._planes[0].compute_losses(alpha, beta)
        else:
            self._planes[column].compute_losses(alpha, 0.0)
        pairs = [self._whole(samples) for samples in self._splits.values()]
        if not self.group.is_leader:
            return np.full(len(self._plan.quantities), np.nan)
        values = mean_values([pair for pair in pairs if pair is not None])
        return values if self._plan.loss.error else values[::2]

    def _whole(self, samples: ResidentSplit) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return the losses of all samples of a split, on the device, to the leader.

        The sum over them is then the one that a single rank makes, bit for bit.
        """
        if self.group.comm.size == 1:
            return samples.losses, samples.wrong
        losses = self.group.gather(samples.losses.flatten().cpu().numpy())
        wrong = self.group.gather(samples.wrong.flatten().cpu().numpy())
        if losses is None or wrong is None:
            return None
        device = self.setting.device
        return torch.from_numpy(losses).to(device), torch.from_numpy(wrong).to(device)


def stack_points(
    inputs: SharedInputs,
    splits: dict[str, ResidentSplit],
    setting: Setting,
    plane: PointLosses,
) -> StackedLossPlane:
    """Prepare to evaluate several points at once, which must change nothing but the time. Local.

    Args:
        inputs: What this rank has of the inputs.
        splits: Samples by the name of their split, on the setting's device.
        setting: How to evaluate.
        plane: Evaluates one point at a time.

    Raises:
        InputError: If the losses are others, or the network does not compute so.
    """
    try:
        stack = inputs.stacked_plane(splits, setting)
        fault = stack.find_fault(plane)
    except Exception as problem:  # what a network does may not be known for several points
        if isinstance(problem, torch.OutOfMemoryError | InputError):
            raise
        fault = f"it does not compute with stacked weights ({' '.join(str(problem).split())[:200]})"
    if fault is not None:
        raise InputError(
            f"--points-at-once {setting.points}: not with this network: {fault}. Pass "
            f"--points-at-once 1."
        )
    return stack


def compare_losses(ranks: Ranks, loss: float) -> None:
    """Check that all ranks have one network. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        loss: Of the same few samples at the center, on this rank.

    Raises:
        SharedInputError: On every rank, if they have not.
    """
    losses = ranks.comm.allgather((loss, ranks.host))
    for rank, (other, host) in enumerate(losses):
        both_nan = math.isnan(other) and math.isnan(losses[0][0])
        if not both_nan and not math.isclose(other, losses[0][0], rel_tol=1e-2):
            raise SharedInputError(
                f"--model: on the first samples rank 0 has the loss {losses[0][0]:.6g}, rank "
                f"{rank} on {host} has {other:.6g}: their networks differ. The function that "
                f"builds the network must build the same one everywhere; weights and buffers "
                f"come from rank 0, other tensors do not."
            )
