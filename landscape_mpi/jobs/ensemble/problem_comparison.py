"""The loss and the metrics of a problem, for its members, their average and other networks.

Outputs of a problem may be anything, so there is no error, and no average of what the members say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.problem_values import values_over
from landscape_mpi.jobs.ensemble.inputs import Solutions
from landscape_mpi.jobs.ensemble.run import State
from landscape_mpi.jobs.ensemble.tasks import Outcomes, Task, outcomes_of
from landscape_mpi.jobs.training.problem_training import ProblemTraining
from landscape_mpi.store.ensemble import Table, score_names


@dataclass(frozen=True)
class ProblemOutcome:
    """What an evaluation gave."""

    values: np.ndarray  # of the loss and each metric over the test split, float64 [n_functions]
    state: State | None  # of an average


class ProblemEvaluator:
    """One rank's device, batches and network, which takes the weights of one after the other."""

    def __init__(self, training: ProblemTraining, network: nn.Module, device: Device) -> None:
        """Take a network.

        Args:
            training: With its batches on the device.
            network: There too; it is left with other weights, in evaluation mode.
            device: This rank's.
        """
        self._training, self._network, self._device = training, network, device
        self.n_samples = {name: len(split) for name, split in training.splits.items()}

    def evaluate(self, task: Task) -> ProblemOutcome:
        """Evaluate a network on the test split, an average with statistics of its own."""
        network, problem, device = self._network, self._training.problem, self._device
        network.load_state_dict(task.state)
        state = None
        if task.averaged:
            self._training.statistics(self._training.splits["train"], device).measure()
            kept = network.state_dict()
            state = {name: tensor.detach().cpu().clone() for name, tensor in kept.items()}
        values = values_over(
            self._training.splits["test"],
            network.eval(),
            problem.functions,
            seed=problem.seed,
            device=device,
        )
        return ProblemOutcome(values, state)


def average_of(found: Sequence[ProblemOutcome], solutions: Solutions) -> State:
    """Return the average of the members' weights."""
    state = outcomes_of(found, solutions).average.state
    assert state is not None
    return state


def value_tables(
    found: Sequence[ProblemOutcome],
    solutions: Solutions,
    fge_epochs: float,
    *,
    time: Table,
    metrics: Sequence[str],
) -> dict[str, Table]:
    """Return the tables of members, independent networks and the comparison.

    Args:
        found: What the tasks of tasks_of gave.
        solutions: With the epochs of those that were given.
        fge_epochs: Epochs of the start and of all cycles, NaN where unknown.
        time: When the members were collected.
        metrics: Names of the problem's metrics.
    """
    by_kind, names = outcomes_of(found, solutions), score_names(metrics)
    tables: dict[str, Table] = {"member": {**time, **_columns(names, by_kind.members)}}
    if by_kind.independent:
        tables["independent"] = _columns(names, by_kind.independent)
    return tables | {"comparison": _comparison(by_kind, solutions, fge_epochs, names)}


def _columns(names: Sequence[str], found: Sequence[ProblemOutcome]) -> dict[str, np.ndarray]:
    columns = np.array([outcome.values for outcome in found]).T
    return dict(zip(names, columns, strict=True))


def _comparison(
    by_kind: Outcomes[ProblemOutcome], solutions: Solutions, fge_epochs: float, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the rows of the comparison, each of one network; see value_tables."""
    rows: list[tuple[str, float, np.ndarray]] = []
    if by_kind.single is not None and solutions.single is not None:
        rows.append(("one network", solutions.single.epochs, by_kind.single.values))
    rows.append(("mean FGE member", math.nan, _mean(by_kind.members)))
    rows.append(("last FGE member", fge_epochs, by_kind.members[-1].values))
    rows.append(("SWA of its members", fge_epochs, by_kind.average.values))
    if by_kind.independent:
        each = float(np.mean([solution.epochs for solution in solutions.independent]))
        rows.append(("mean independent", each, _mean(by_kind.independent)))
    labels, epochs, values = zip(*rows, strict=True)
    return {
        "name": np.array(labels),
        "networks": np.ones(len(rows), dtype=np.int64),
        "epochs": np.array(epochs),
        **dict(zip(names, np.array(values).T, strict=True)),
    }


def _mean(found: Sequence[ProblemOutcome]) -> np.ndarray:
    return np.mean([outcome.values for outcome in found], axis=0)
