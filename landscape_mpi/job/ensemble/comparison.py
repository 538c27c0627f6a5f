"""What the members, their averages and the networks beside them are worth on the test split.

The networks are shared out to the ranks, each evaluated by one of them alone, so that their number
does not show in the result.
"""

from __future__ import annotations

import copy
import csv
import heapq
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.evaluation import DEFAULT_BATCH, Setting, prepare_device
from landscape_mpi.compute.plane import order_channels_last
from landscape_mpi.compute.prediction import Score, growing_averages, probabilities, score
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.weight_averaging import average_states, measure_statistics
from landscape_mpi.job.crew import Crew
from landscape_mpi.job.ensemble.inputs import Solutions
from landscape_mpi.job.ensemble.run import State
from landscape_mpi.output import whole_file
from landscape_mpi.store.ensemble import TABLES, Table
from landscape_mpi.zoo.dataset import DataSet

STATISTICS_COST = 3.0  # of a training sample whose statistics are measured, in test samples


@dataclass(frozen=True)
class Task:
    """A network to evaluate."""

    state: State
    averaged: bool = False  # whether its batch-norm statistics are to be measured first


@dataclass(frozen=True)
class Outcome:
    """What an evaluation gave."""

    prediction: np.ndarray  # float64 [n, ..., n_classes]
    state: State | None  # of an average, with its statistics


@dataclass(frozen=True)
class Group:
    """Networks whose outputs are averaged, and what the first k of them give, for every k."""

    alone: tuple[Score, ...]
    together: tuple[Score, ...]

    @property
    def mean(self) -> Score:
        """Return the mean over the networks, each alone."""
        return Score(
            float(np.mean([one.loss for one in self.alone])),
            float(np.mean([one.error for one in self.alone])),
        )

    def columns(self) -> dict[str, np.ndarray]:
        """Return the scores as columns of a table."""
        return {
            "test_loss": np.array([one.loss for one in self.alone]),
            "test_error": np.array([one.error for one in self.alone]),
            "ensemble_test_loss": np.array([one.loss for one in self.together]),
            "ensemble_test_error": np.array([one.error for one in self.together]),
        }


@dataclass(frozen=True)
class Comparison:
    """All that is compared."""

    members: Group
    swa: Score
    swa_state: State
    single: Score | None
    independent: Group | None


def evaluate_tasks(
    tasks: Sequence[Task] | None,
    network: nn.Module,
    data: DataSet,
    device: torch.device,
    crew: Crew,
) -> list[Outcome] | None:
    """Evaluate networks on the test split, shared out to the ranks. Collective over the crew.

    Args:
        tasks: On rank 0; None elsewhere.
        network: Of their architecture, left as it is.
        data: With both splits.
        device: This rank's.
        crew: All ranks.

    Returns:
        The outcomes in the order of the tasks, on rank 0.
    """
    parts = shares = None
    if tasks is not None:
        shares = share_out([_cost(task, data) for task in tasks], crew.size)
        parts = [[tasks[i] for i in share] for share in shares]
    own = crew.scatter(parts)
    evaluator = TaskEvaluator(network, data, device)
    gathered = crew.gather([evaluator.evaluate(task) for task in own])
    if gathered is None or shares is None:
        return None
    by_place = {
        i: outcome
        for share, outcomes in zip(shares, gathered, strict=True)
        for i, outcome in zip(share, outcomes, strict=True)
    }
    return [by_place[i] for i in range(len(by_place))]


def _cost(task: Task, data: DataSet) -> float:
    n_training = len(data.splits["train"].targets) if task.averaged else 0
    return len(data.splits["test"].targets) + STATISTICS_COST * n_training


def share_out(costs: Sequence[float], n_ranks: int) -> list[list[int]]:
    """Return which tasks each rank gets: the dearest first, each to the rank with least to do."""
    shares: list[list[int]] = [[] for _ in range(n_ranks)]
    load = [(0.0, rank) for rank in range(n_ranks)]
    for i in sorted(range(len(costs)), key=lambda i: -costs[i]):
        done, rank = heapq.heappop(load)
        shares[rank].append(i)
        heapq.heappush(load, (done + costs[i], rank))
    return shares


class TaskEvaluator:
    """One rank's device and data."""

    def __init__(self, network: nn.Module, data: DataSet, device: torch.device) -> None:
        n_threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._setting = Setting(
            device=str(device),
            precision="fp32",
            batch=DEFAULT_BATCH[device.type],
            threads=n_threads,
        )
        prepare_device(self._setting, network)
        self._network = network
        self._data = data
        self._test = self._resident("test")

    def _resident(self, name: str) -> ResidentSplit:
        split, data = self._data.splits[name], self._data
        return ResidentSplit(
            split.inputs, split.targets, mean=data.mean, std=data.std, device=self._setting.device
        )

    def evaluate(self, task: Task) -> Outcome:
        """Evaluate a network on the test split."""
        network = copy.deepcopy(self._network)
        network.load_state_dict(task.state)
        order_channels_last(network.eval())
        state = None
        if task.averaged:
            measure_statistics(network, self._resident("train"), self._setting)
            state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        return Outcome(probabilities(network, self._test, self._setting), state)


def tasks_of(members: Sequence[State], solutions: Solutions) -> list[Task]:
    """Return the networks to evaluate: members, their average, the single one, the others."""
    single = [solutions.single] if solutions.single else []
    others = [Task(solution.state) for solution in (*single, *solutions.independent)]
    average = Task(average_states(members), averaged=True)
    return [*(Task(state) for state in members), average, *others]


def compare(outcomes: Sequence[Outcome], solutions: Solutions, targets: np.ndarray) -> Comparison:
    """Return what the outcomes of tasks_of are worth."""
    single = int(solutions.single is not None)
    n_members = len(outcomes) - 1 - single - len(solutions.independent)
    average, others = outcomes[n_members], outcomes[n_members + 1 + single :]
    assert average.state is not None
    return Comparison(
        members=group_of(outcomes[:n_members], targets),
        swa=score(average.prediction, targets),
        swa_state=average.state,
        single=score(outcomes[n_members + 1].prediction, targets) if single else None,
        independent=group_of(others, targets) if others else None,
    )


def group_of(outcomes: Sequence[Outcome], targets: np.ndarray) -> Group:
    """Return what networks are worth alone, and the first ones of them together."""
    predictions = [outcome.prediction for outcome in outcomes]
    together = tuple(score(average, targets) for average in growing_averages(predictions))
    return Group(tuple(score(one, targets) for one in predictions), together)


def comparison_table(found: Comparison, solutions: Solutions, fge_epochs: float) -> Table:
    """Return the rows of the comparison, epochs being all that it took from the beginning.

    Args:
        found: What is compared.
        solutions: With the epochs of those that were given.
        fge_epochs: Epochs of the start and of all cycles, NaN where unknown.
    """
    rows: list[tuple[str, int, float, Score]] = []
    if found.single is not None and solutions.single is not None:
        rows.append(("one network", 1, solutions.single.epochs, found.single))
    members = found.members
    n = len(members.alone)
    rows.append(("mean FGE member", 1, math.nan, members.mean))
    rows.append(("last FGE member", 1, fge_epochs, members.alone[-1]))
    rows.append(("FGE ensemble", n, fge_epochs, members.together[-1]))
    rows.append(("SWA of its members", 1, fge_epochs, found.swa))
    if found.independent is not None:
        epochs = sum(solution.epochs for solution in solutions.independent)
        each, k = epochs / len(solutions.independent), len(solutions.independent)
        rows.append(("mean independent", 1, each, found.independent.mean))
        rows.append(("independent ensemble", k, epochs, found.independent.together[-1]))
    names, networks, epochs_of, scores = zip(*rows, strict=True)
    return {
        "name": np.array(names),
        "networks": np.array(networks),
        "epochs": np.array(epochs_of),
        "test_loss": np.array([one.loss for one in scores]),
        "test_error": np.array([one.error for one in scores]),
    }


def tables_of(found: Comparison, collected: Sequence[int], n_batches: int) -> dict[str, Table]:
    """Return the tables of members and independent networks.

    Args:
        found: What is compared.
        collected: Iterations of the members.
        n_batches: Of an epoch.
    """
    iterations = np.array(collected)
    time = {"iteration": iterations, "epoch": iterations / n_batches}
    tables: dict[str, Table] = {"member": time | found.members.columns()}
    if found.independent is not None:
        tables["independent"] = found.independent.columns()
    return tables


def write_csv(path: Path, table: Table) -> None:
    """Write the comparison as text; what is unknown is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(TABLES["comparison"])
    for row in zip(*(table[name].tolist() for name in TABLES["comparison"]), strict=True):
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue())
