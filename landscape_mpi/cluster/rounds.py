"""Compute in rounds: rank 0 hands out shards, groups compute them, and all ranks write together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, SharedInputError, stop_together
from landscape_mpi.cluster.groups import Group
from landscape_mpi.cluster.shards import ShardPlan, is_over
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.cluster.watch import Watch
from landscape_mpi.errors import InputError


@dataclass(frozen=True)
class ShardResult:
    """The results of one rank in one round."""

    points: np.ndarray  # flat indices into the grid, int64 [n_local]
    values: np.ndarray  # float64 [n_local, n_quantities]
    seconds: np.ndarray  # time of each point, s, float64 [n_local]
    problem: str | None = None  # message about bad input at the next point, which was not evaluated


# Takes flat indices into the grid, int64 [n]; returns float64 [n, n_quantities].
EvaluatePoints = Callable[[np.ndarray], np.ndarray]


def one_by_one(evaluate_point: Callable[[int], np.ndarray]) -> EvaluatePoints:
    """Return a function that evaluates some points one after the other.

    Args:
        evaluate_point: Returns the values of a point, float64 [n_quantities].
    """
    return lambda points: np.array([evaluate_point(int(point)) for point in points])


@dataclass(frozen=True)
class RoundReport:
    """The state of the run on rank 0 when a round is written."""

    n_points: int  # points written in this round
    n_pending: int  # points still to compute
    seconds: float  # time from handing the shards out to the end of the write, s
    balance: float  # computing time of the slowest rank over the mean, 1 is even


def run_rounds(
    ranks: Ranks,
    group: Group,
    pending: np.ndarray | None,
    *,
    n_quantities: int,
    round_seconds: float,
    evaluate_points: EvaluatePoints,
    points_at_once: int = 1,
    write_round: Callable[[ShardResult], None],
    report: Callable[[RoundReport], None],
    stop: StopRequest,
    watch: Watch,
    more: Callable[[], np.ndarray] | None = None,
) -> bool:
    """Compute all pending points in rounds. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        group: The ranks that compute a point together with this one.
        pending: On rank 0 the points to compute, in order, int64 [n]; None elsewhere.
        n_quantities: Values a point has.
        round_seconds: Intended length of a round, s.
        evaluate_points: Returns the values of some points, float64 [n, n_quantities], on the
            leader of the group; called on all ranks of the group for the same points.
        points_at_once: Number of points of a call; fewer only if no more are left.
        write_round: Writes a shard; called on every rank in every round.
        report: Called on rank 0 after every round.
        stop: Checked after every point, so that a signal ends this rank's shard early.
        watch: Ends the job if a rank hangs.
        more: Called on rank 0 once all are written; returns further points, chosen from values.

    Returns:
        Whether all points are done; False after a stop signal.

    Raises:
        SharedInputError: On every rank, if a point met bad input; the points before it are written.
    """
    plan, n = None, points_at_once
    if pending is not None:
        plan = ShardPlan(pending, group.n_groups, round_seconds=round_seconds, at_once=n)
    while True:
        began = time.perf_counter()
        # A rank without points in this round, or asked to stop, must still take part in it.
        shards = _next_shards(plan, group, more)
        deadline = ranks.comm.bcast(_deadline(plan, shards), root=ROOT)
        if deadline is None:
            return True
        blocks = _in_blocks(ranks.comm.scatter(shards, root=ROOT), n)
        result = _compute_shard(blocks, deadline, group, evaluate_points, n_quantities, stop, watch)
        watch.meet("the write of a round")
        write_round(result if group.is_leader else _nothing(n_quantities))
        took = len(result.points), float(result.seconds.sum())
        told, problems = zip(*ranks.comm.allgather((took, result.problem)), strict=True)
        if plan is not None:
            report(_record(plan, [told[leader] for leader in group.leaders], began))
        stop_together(next(filter(None, problems), None))
        has_stopped = any(ranks.comm.allgather(stop.came))
        if has_stopped and ranks.comm.bcast(_has_points(plan), root=ROOT):
            return False


def _next_shards(
    plan: ShardPlan | None, group: Group, more: Callable[[], np.ndarray] | None
) -> list[np.ndarray] | None:
    """Return the shard of every rank, the same within a group; None when all points are done."""
    if plan is None:
        return None
    if not plan.n_pending and more is not None:
        plan.add(more())
    if not plan.n_pending:
        return None
    shards = plan.next_round()
    return [shards[index] for index in group.of_rank]


def _in_blocks(shard: np.ndarray, n: int) -> list[np.ndarray]:
    return [shard[i : i + n] for i in range(0, len(shard), n)]


def _deadline(plan: ShardPlan | None, shards: list[np.ndarray] | None) -> float | None:
    """Return the time at which ranks stop even if not done, s; None at the end of the run."""
    return plan.deadline_seconds if plan is not None and shards is not None else None


def _nothing(n_quantities: int) -> ShardResult:
    """Return the empty result of a rank whose leader writes for its group."""
    return ShardResult(np.empty(0, np.int64), np.empty((0, n_quantities)), np.empty(0))


def _has_points(plan: ShardPlan | None) -> bool:
    return plan is not None and plan.n_pending > 0


def _compute_shard(
    blocks: Sequence[np.ndarray],
    deadline_seconds: float,
    group: Group,
    evaluate_points: EvaluatePoints,
    n_quantities: int,
    stop: StopRequest,
    watch: Watch,
) -> ShardResult:
    done: list[ShardResult] = [_nothing(n_quantities)]
    problem = None
    round_began = time.perf_counter()
    for n_done, points in enumerate(blocks):
        elapsed = time.perf_counter() - round_began
        is_late = n_done > 0 and is_over(n_done, elapsed, deadline_seconds)
        if group.any(stop.came or is_late):  # the ranks of a group must stop before the same point
            break
        watch.begin_point(int(points[0]))
        began = time.perf_counter()
        try:
            values = evaluate_points(points)
        except InputError as error:
            if group.comm.size > 1 and not isinstance(error, SharedInputError):
                raise  # the rest of the group waits for this rank, and only the guard can end that
            problem = str(error)
            break
        seconds = time.perf_counter() - began
        watch.end_point(seconds)
        done.append(ShardResult(points, values, np.full(len(points), seconds / len(points))))
    return ShardResult(
        np.concatenate([part.points for part in done]),
        np.concatenate([part.values for part in done]),
        np.concatenate([part.seconds for part in done]),
        problem,
    )


def _record(plan: ShardPlan, told: Sequence[tuple[int, float]], began: float) -> RoundReport:
    """Record the speed of each group in the plan, and return the report of the round."""
    for index, (n_points, seconds) in enumerate(told):
        plan.record(index, n_points=n_points, seconds=seconds)
    busy = np.array([seconds for _, seconds in told])
    return RoundReport(
        n_points=sum(n_points for n_points, _ in told),
        n_pending=plan.n_pending,
        seconds=time.perf_counter() - began,
        balance=float(busy.max() / busy.mean()) if busy.any() else 1.0,
    )
