"""Compare members, their average and other networks by a problem's loss and metrics.

Outputs of a problem may have any form, so there is neither an error nor an average of outputs.
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
    """Hold the result of an evaluation."""

    values: np.ndarray  # loss and each metric over the test split, float64 [n_functions]
    state: State | None  # state of an average


class ProblemEvaluator:
    """Evaluate sets of weights one after the other in one rank's network."""

    def __init__(self, training: ProblemTraining, network: nn.Module, device: Device) -> None:
        """Take a network.

        Args:
            training: Training with its batches on the device.
            network: Network on the device; afterwards it has other weights, in evaluation mode.
            device: Device of this rank.
        """
        self._training, self._network, self._device = training, network, device
        self.n_samples = {name: len(split) for name, split in training.splits.items()}

    def evaluate(self, task: Task) -> ProblemOutcome:
        """Evaluate a network on the test split; measure statistics of an average first."""
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
        found: Outcomes of the tasks of tasks_of.
        solutions: Solutions, with the epochs of the given ones.
        fge_epochs: Epochs of the start and of all cycles; NaN if unknown.
        time: Columns with the times when members were collected.
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
    """Return the rows of the comparison, one per network; see value_tables."""
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
