"""One rank's share of a point: its part of the data, and the values that its group computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree, meet
from landscape_mpi.cluster.groups import Group, choose_ranks_per_point, make_groups
from landscape_mpi.cluster.rounds import one_by_one
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.quantities.quantity import find_quantity
from landscape_mpi.engine.sampling.order import portion_sizes
from landscape_mpi.engine.sampling.sampled_points import SampledPoints
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.engine.step_choice import check_evaluation, is_checked
from landscape_mpi.errors import InputError, users_own

T = TypeVar("T")

# Away from the minimum, a point needs about 1,000 samples for a standard error of 2 % of its loss
# (docs/sampling.md).
TYPICAL_PORTIONS = 3


def group_ranks(ranks: Ranks, plan: Plan, setting: Setting) -> Group:
    """Put the ranks that share a point together. Collective over the ranks.

    Raises:
        SharedInputError: If more ranks are requested than there are.
    """
    # Ranks may have different numbers of threads, and must all form the same groups.
    threads = min(ranks.comm.allgather(setting.threads))
    at_a_time = setting.batch * threads
    n_batches = [-(-n // at_a_time) for n in plan.subject.n_samples.values()]
    longest: list[int] = []
    if plan.sampling is not None:
        sizes = [portion_sizes(n, setting.batch) for n in plan.subject.n_samples.values()]
        longest = [-(-n // at_a_time) for each in sizes for n in each]
        n_batches = [-(-n // at_a_time) for each in sizes for n in each[:TYPICAL_PORTIONS]]
    asked = plan.evaluation.ranks_per_point if setting.points == 1 else 1
    if asked is None:
        asked = choose_ranks_per_point(
            n_points=max(1, plan.n_together),
            n_ranks=ranks.size,
            n_batches=n_batches,
            of_longest=longest,
        )
    if asked > ranks.size:
        raise SharedInputError(
            f"--ranks-per-point {asked}: the run has only {ranks.size} ranks. Pass at most that "
            "number, or start more ranks."
        )
    return make_groups(ranks, asked)


def fit_evaluator(
    ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting
) -> PointEvaluator:
    """Set the ranks up, with smaller batches if one does not fit. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: The plan of the run.
        inputs: This rank's inputs.
        setting: The setting, if the memory of every device suffices.

    Raises:
        SharedInputError: If a batch that was requested, or that the file was started with, does not
            fit; or if one sample does not.
    """
    while True:
        group = group_ranks(ranks, plan, setting)
        evaluator, problem = _try_on_all(ranks, plan, inputs, setting, group)
        problems = [text for text in ranks.comm.allgather(problem) if text is not None]
        if evaluator is not None and not problems:
            compare_losses(ranks, evaluator.center_loss, option=plan.subject.option)
            return evaluator
        group.free()
        setting = replace(setting, batch=_smaller_batch(plan, setting, problems[0]))
        if ranks.is_root:
            print(f"out of memory, so the batch becomes {setting.batch}: {problems[0]}", flush=True)


def _try_on_all(
    ranks: Ranks, plan: Plan, inputs: SharedInputs, setting: Setting, group: Group
) -> tuple[PointEvaluator | None, str | None]:
    """Set this rank up, or return the error of its memory. Collective over the ranks."""
    where = f"{plan.subject.option}: {plan.subject.model} raised at the center"

    def attempt() -> tuple[PointEvaluator | None, str | None]:
        try:
            with nullcontext() if setting.compiled else users_own(where):
                return PointEvaluator(plan, inputs, setting, group), None
        except torch.OutOfMemoryError as error:
            return None, str(error).split(". ")[0]
        except InputError:
            raise
        except Exception as error:
            if not setting.compiled:
                raise
            raise InputError(
                f"--compile on: the compiler failed ({' '.join(str(error).split())[:200]}). Pass "
                "--compile off."
            ) from error

    return agree(ranks, lambda: _in_turn(ranks, setting, attempt))


def _in_turn(ranks: Ranks, setting: Setting, work: Callable[[], T]) -> T:
    """Do work; if it compiles, one rank of the node begins, and the others use its code."""
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
    if plan.evaluation.batch is not None or setting.batch == 1:
        raise SharedInputError(plan.subject.too_large_words(setting.batch, problem))
    return setting.batch // 2


class PointEvaluator:
    """This rank's network, directions and part of the data on its device."""

    def __init__(self, plan: Plan, inputs: SharedInputs, setting: Setting, group: Group) -> None:
        """Put everything on the device, and try it at the center. Local.

        Args:
            plan: The plan of the run.
            inputs: This rank's inputs.
            setting: The setting of the evaluation.
            group: The ranks that share a point with this one.

        Raises:
            InputError: If the network is not a function of its weights and its input.
        """
        self.setting = setting
        self.group = group
        self._plan, self._inputs = plan, inputs
        self._sampled: SampledPoints | None = None
        if plan.sampling is not None:
            self._sampled = SampledPoints(plan, inputs, setting, group, self._whole)
            self._splits = self._sampled.first
        else:
            self._splits = {
                name: inputs.samples(name, self._rows(n), setting.device)
                for name, n in plan.subject.n_samples.items()
            }
        self._planes = [
            inputs.plane_of_run(self._splits, setting, repeat=repeat)
            for repeat in range(plan.directions.repeats or 1)
        ]
        self._beside = [
            find_quantity(name).prepare(inputs.moved_loss(samples, setting), setting)
            for name in plan.subject.also
            for samples in self._splits.values()
        ]
        self._stack: StackedLossPlane | None = None
        if setting.points > 1:
            self._stack = stack_points(inputs, self._splits, setting, self._planes[0])
        first_split = next(iter(plan.subject.n_samples))
        self.chosen = inputs.chosen
        if not is_checked(inputs, setting):
            check_evaluation(plan, inputs, setting, self._planes[0])
        # A whole batch must fit into the memory of every rank's device.
        samples = inputs.samples(first_split, slice(0, setting.batch), setting.device)
        self.center_loss = float(self._planes[0].losses_at(0.0, 0.0, samples).double().mean())
        self._planes[0].forget(samples)
        if setting.device.can_record:
            for plane in self._planes:
                self._record(plane)  # now, while memory can still be freed
            for value_at in self._beside:
                value_at(0.0, 0.0)
        used = self._stack or self._planes[0]
        self.preparation, self.launching = used.description, used.launching

    def _record(self, plane: PointLosses) -> None:
        if self._sampled is None:
            plane.compute_losses(0.0, 0.0)
        else:
            self._sampled.record(plane)

    def go_on_from(self, rows: Mapping[int, np.ndarray]) -> None:
        """Take further samples at some points; see SampledPoints."""
        if self._sampled is not None:
            self._sampled.go_on_from(rows)

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
            Values, float64 [n, n_values], on the leader of the group; meaningless elsewhere.
        """
        if self._stack is None:
            return one_by_one(self.evaluate_point)(points)
        rows, columns = np.divmod(points, len(self._plan.beta))
        alpha, beta = self._plan.alpha[rows].tolist(), self._plan.beta[columns].tolist()
        places = list(zip(alpha, beta, strict=True))
        with self._users_own(*places):
            values = self._stack.evaluate(places)
        return values if len(self._plan.subject.quantities) == values.shape[1] else values[:, ::2]

    def evaluate_point(self, point: int) -> np.ndarray:
        """Return the values of a point, float64 [n_values]. Collective over the group.

        Args:
            point: Flat index into [n_alpha, n_beta].

        Returns:
            The values on the leader of the group; meaningless elsewhere.
        """
        row, column = divmod(point, len(self._plan.beta))
        alpha, beta = float(self._plan.alpha[row]), float(self._plan.beta[column])
        plane, place = self._planes[0], (alpha, beta)
        if self._plan.directions.repeats is not None:
            plane, place = self._planes[column], (alpha, 0.0)
        if self._sampled is not None:
            found = self._sampled.evaluate(plane, place, point, self._users_own)
            return np.full(self._plan.n_values, np.nan) if found is None else found

        beside: list[float] = []

        def work() -> None:
            with self._users_own(place):
                plane.compute_losses(*place)
                beside.extend(value_at(*place) for value_at in self._beside)

        self.group.agree(work)
        splits = [self._whole(samples) for samples in self._splits.values()]
        if not self.group.is_leader:
            return np.full(self._plan.n_values, np.nan)
        means = self._inputs.means([split for split in splits if split is not None])
        return np.array([*means, *beside])

    def _users_own(self, *places: tuple[float, float]) -> AbstractContextManager[None]:
        where = ", ".join(f"({alpha:g}, {beta:g})" for alpha, beta in places)
        subject = self._plan.subject
        return users_own(f"{subject.option}: {subject.model} raised at {where} of the plane")

    def _whole(self, samples: ResidentSplit) -> tuple[torch.Tensor, ...] | None:
        """Send the kept losses of all samples of a split to the leader, on its device.

        Their sum is then that of a single rank, bit for bit.
        """
        if self.group.comm.size == 1:
            return samples.kept
        gathered = [self.group.gather(values.flatten().cpu().numpy()) for values in samples.kept]
        device = self.setting.device.place
        found = [torch.from_numpy(v).to(device) for v in gathered if v is not None]
        return tuple(found) if self.group.is_leader else None


def stack_points(
    inputs: SharedInputs,
    splits: dict[str, ResidentSplit],
    setting: Setting,
    plane: PointLosses,
) -> StackedLossPlane:
    """Prepare to evaluate several points at once, which must only change the time. Local.

    Args:
        inputs: This rank's inputs.
        splits: Samples by the name of their split, on the setting's device.
        setting: The setting of the evaluation.
        plane: Evaluates one point at a time.

    Raises:
        InputError: If the losses differ, or the network cannot be computed in this way.
    """
    try:
        stack = inputs.stacked_plane(splits, setting)
        fault = stack.find_fault(plane)
    except Exception as problem:  # some operations of a network may not support several points
        if isinstance(problem, torch.OutOfMemoryError | InputError):
            raise
        fault = f"it does not compute with stacked weights ({' '.join(str(problem).split())[:200]})"
    if fault is not None:
        raise InputError(
            f"--points-at-once {setting.points}: not possible with this network: {fault}. Pass "
            "--points-at-once 1."
        )
    return stack


def compare_losses(ranks: Ranks, loss: float, *, option: str = "--model") -> None:
    """Check that all ranks have the same network. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        loss: Loss of the same few samples at the center, on this rank.
        option: The option that named the network, for the message.

    Raises:
        SharedInputError: On every rank, if they do not.
    """
    losses = ranks.comm.allgather((loss, ranks.host))
    for rank, (other, host) in enumerate(losses):
        both_nan = math.isnan(other) and math.isnan(losses[0][0])
        if not both_nan and not math.isclose(other, losses[0][0], rel_tol=1e-2):
            raise SharedInputError(
                f"{option}: on the first samples rank 0 has the loss {losses[0][0]:.6g}, rank "
                f"{rank} on {host} has {other:.6g}: their networks differ. The function that "
                f"builds the network must build the same one everywhere; weights and buffers "
                f"come from rank 0, other tensors do not."
            )
