"""List the networks that an ensemble is compared with, and share them out to ranks.

A single rank evaluates each network, so the results do not depend on the number of ranks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from landscape_mpi.compute.weight_averaging import average_states
from landscape_mpi.engine.processes import Processes
from landscape_mpi.jobs.ensemble.inputs import Solutions
from landscape_mpi.jobs.ensemble.run import State

STATISTICS_COST = 3.0  # cost of measuring statistics on a training sample, in test samples
Outcome = TypeVar("Outcome")
Found = TypeVar("Found", covariant=True)


@dataclass(frozen=True)
class Task:
    """Hold a network to evaluate."""

    state: State
    averaged: bool = False  # whether to measure its batch-norm statistics first


class Evaluator(Protocol[Found]):
    """Define an evaluator with one rank's device and data."""

    n_samples: dict[str, int]  # number of samples, or batches, of each split

    def evaluate(self, task: Task) -> Found:
        """Evaluate a network on the test split."""


@dataclass(frozen=True)
class Outcomes(Generic[Outcome]):
    """Hold the results of evaluations by role of the network."""

    members: Sequence[Outcome]
    average: Outcome
    single: Outcome | None
    independent: Sequence[Outcome]


def tasks_of(members: Sequence[State], solutions: Solutions) -> list[Task]:
    """Return the networks to evaluate: members, average, single and independent networks."""
    single = [solutions.single] if solutions.single else []
    others = [Task(solution.state) for solution in (*single, *solutions.independent)]
    average = Task(average_states(members), averaged=True)
    return [*(Task(state) for state in members), average, *others]


def outcomes_of(found: Sequence[Outcome], solutions: Solutions) -> Outcomes[Outcome]:
    """Return the results of the tasks of tasks_of by role of the network."""
    n_single, n_others = int(solutions.single is not None), len(solutions.independent)
    n = len(found) - 1 - n_single - n_others  # number of members
    single = found[n + 1] if n_single else None
    return Outcomes(found[:n], found[n], single, found[n + 1 + n_single :])


def evaluate_tasks(
    tasks: Sequence[Task] | None,
    make_evaluator: Callable[[], Evaluator[Outcome]],
    processes: Processes,
) -> list[Outcome] | None:
    """Evaluate networks on the test split, distributed over the ranks. Collective.

    Args:
        tasks: Tasks, on rank 0; None elsewhere.
        make_evaluator: Function that is called once on every rank.
        processes: All ranks.

    Returns:
        The outcomes in the order of the tasks, on rank 0.
    """
    evaluator = processes.agree(make_evaluator)
    parts = shares = None
    if tasks is not None:
        shares = share_out([_cost(task, evaluator.n_samples) for task in tasks], processes.size)
        parts = [[tasks[i] for i in share] for share in shares]
    own = processes.scatter(parts)
    evaluated = processes.agree(lambda: [evaluator.evaluate(task) for task in own])
    gathered = processes.gather(evaluated)
    if gathered is None or shares is None:
        return None
    by_place = {
        i: outcome
        for share, outcomes in zip(shares, gathered, strict=True)
        for i, outcome in zip(share, outcomes, strict=True)
    }
    return [by_place[i] for i in range(len(by_place))]


def _cost(task: Task, n_samples: dict[str, int]) -> float:
    return n_samples["test"] + STATISTICS_COST * n_samples["train"] * task.averaged


def share_out(costs: Sequence[float], n_ranks: int) -> list[list[int]]:
    """Return the tasks of each rank: the costliest first, each to the rank with the least work."""
    shares: list[list[int]] = [[] for _ in range(n_ranks)]
    load = [(0.0, rank) for rank in range(n_ranks)]
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        done, rank = heapq.heappop(load)
        shares[rank].append(i)
        heapq.heappush(load, (done + costs[i], rank))
    return shares
