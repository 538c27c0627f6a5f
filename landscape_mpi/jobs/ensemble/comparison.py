"""Compare the members, their averages and other networks on the test split."""

from __future__ import annotations

import copy
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.moving_network import order_channels_last
from landscape_mpi.compute.prediction import Score, growing_averages, probabilities, score
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.steps import ALL, PLAIN
from landscape_mpi.compute.weight_averaging import measure_statistics
from landscape_mpi.jobs.ensemble.inputs import Solutions
from landscape_mpi.jobs.ensemble.run import State
from landscape_mpi.jobs.ensemble.tasks import Task, outcomes_of
from landscape_mpi.output import whole_file
from landscape_mpi.store.ensemble import Table
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.networks import is_of_zoo


@dataclass(frozen=True)
class Outcome:
    """Hold the result of an evaluation."""

    prediction: np.ndarray  # probabilities for the targets that count, float64 [n, n_classes]
    state: State | None  # state of an average, with its statistics


@dataclass(frozen=True)
class Group:
    """Hold networks' scores, alone and as averages over the first k, for every k."""

    alone: tuple[Score, ...]
    together: tuple[Score, ...]

    @property
    def mean(self) -> Score:
        """Return the mean score of the single networks."""
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
    """Hold all results of a comparison."""

    members: Group
    swa: Score
    swa_state: State
    single: Score | None
    independent: Group | None


class TaskEvaluator:
    """Evaluate networks on one rank's device and data."""

    def __init__(self, network: nn.Module, data: DataSet, device: Device) -> None:
        n_threads = torch.get_num_threads() if device.is_host else 1
        self._setting = Setting(
            device=device,
            precision="fp32",
            batch=device.default_batch,
            threads=n_threads,
            # A user's network may keep state between calls, or depend on the memory layout.
            steps=ALL if is_of_zoo(network) else PLAIN,
        )
        prepare_device(self._setting, network)
        self._network = network
        self._data = data
        self._test = self._resident("test")
        self.n_samples = {name: len(split.targets) for name, split in data.splits.items()}

    def _resident(self, name: str) -> ResidentSplit:
        split, data = self._data.splits[name], self._data
        return ResidentSplit(
            split.inputs,
            split.targets,
            mean=data.mean,
            std=data.std,
            device=self._setting.device.name,
        )

    def evaluate(self, task: Task) -> Outcome:
        """Evaluate a network on the test split."""
        network = copy.deepcopy(self._network)
        network.load_state_dict(task.state)
        network.eval()
        if self._setting.steps.channels_last:
            order_channels_last(network)
        state = None
        if task.averaged:
            measure_statistics(network, self._resident("train"), self._setting)
            state = {name: tensor.cpu() for name, tensor in network.state_dict().items()}
        prediction = probabilities(
            network, self._test, self._setting, class_axis=self._data.class_axis
        )
        counted = self._data.is_counted("test").ravel()
        return Outcome(prediction.reshape(-1, prediction.shape[-1])[counted], state)


def compare(found: Sequence[Outcome], solutions: Solutions, targets: np.ndarray) -> Comparison:
    """Score the outcomes of the tasks of tasks_of."""
    by_kind = outcomes_of(found, solutions)
    average, single, others = by_kind.average, by_kind.single, by_kind.independent
    assert average.state is not None
    return Comparison(
        members=group_of(by_kind.members, targets),
        swa=score(average.prediction, targets),
        swa_state=average.state,
        single=score(single.prediction, targets) if single else None,
        independent=group_of(others, targets) if others else None,
    )


def group_of(outcomes: Sequence[Outcome], targets: np.ndarray) -> Group:
    """Score networks alone, and averages over the first ones."""
    predictions = [outcome.prediction for outcome in outcomes]
    together = tuple(score(average, targets) for average in growing_averages(predictions))
    return Group(tuple(score(one, targets) for one in predictions), together)


def comparison_table(found: Comparison, solutions: Solutions, fge_epochs: float) -> Table:
    """Return the rows of the comparison, with all epochs counted from the beginning.

    Args:
        found: Results of the comparison.
        solutions: Solutions, with the epochs of the given ones.
        fge_epochs: Epochs of the start and of all cycles; NaN if unknown.
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
        found: Results of the comparison.
        collected: Iterations at which members were collected.
        n_batches: Number of batches in an epoch.
    """
    time = time_of(collected, n_batches)
    tables: dict[str, Table] = {"member": time | found.members.columns()}
    if found.independent is not None:
        tables["independent"] = found.independent.columns()
    return tables


def time_of(collected: Sequence[int], n_batches: int) -> dict[str, np.ndarray]:
    """Return the columns with the times when members were collected; see tables_of."""
    iterations = np.array(collected)
    return {"iteration": iterations, "epoch": iterations / n_batches}


def write_csv(path: Path, table: Table) -> None:
    """Write the comparison as CSV; unknown values are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    for row in zip(*(column.tolist() for column in table.values()), strict=True):
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    with whole_file(path) as partial:
        partial.write_text(text.getvalue())
