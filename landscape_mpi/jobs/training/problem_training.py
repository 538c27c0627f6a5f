"""Gather the inputs of a training run on the batches of a problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.lent_batches import LentBatches
from landscape_mpi.compute.problem_losses import called
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.problem_statistics import ProblemStatistics
from landscape_mpi.compute.tensors import (
    extra_state_of,
    fill_network,
    is_unfinished,
    tensors_of,
)
from landscape_mpi.engine.problem_inputs import first_loss, training_digest
from landscape_mpi.engine.problem_options import check_of_problem
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.processes import Processes
from landscape_mpi.engine.request import InputsRequest
from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem
from landscape_mpi.zoo.batch_task import BatchTask
from landscape_mpi.zoo.own_network import BUILD_SEED


@dataclass(frozen=True)
class ProblemTraining:
    """Hold this rank's problem to train on, and the identity of its training batches."""

    source: ProblemSource
    sha256: str
    splits: dict[str, ProblemSplit] = field(default_factory=dict)  # on the device, after task()

    @property
    def problem(self) -> Problem:
        """Return the problem."""
        return self.source.get()

    @property
    def network(self) -> nn.Module:
        """Return the problem's own network."""
        return self.problem.network

    @property
    def n_batches(self) -> dict[str, int]:
        """Return the number of batches of each split."""
        return {name: len(source_of(self.problem, name)) for name in self.problem.splits}

    @property
    def identity(self) -> dict[str, Any]:
        """Return the values that must agree for two problems to be the same, in plain types."""
        return {
            "model": type(self.network).__name__,
            "data": self.source.name,
            "problem": self.source.name,
            "data_sha256": self.sha256,
            "problem_seed": self.problem.seed,
            "problem_dtype": self.problem.dtype or "none",
        }

    def task(self, device: Device, *, at_a_time: int, n_sharing: int, test: bool) -> BatchTask:
        """Put the batches on the device if they fit.

        Args:
            device: Device of the training.
            at_a_time: Number of batches in a step.
            n_sharing: Number of processes that share the memory of a node.
            test: Whether to evaluate the test batches as well, if there are any.
        """
        lent = {
            name: self._lent(name, device, n_sharing)
            for name in self.problem.splits
            if name == "train" or test
        }
        loss = partial(called, self.problem.functions[0], where="a batch in training")
        evaluated = lent.get("test")
        return BatchTask(
            loss,
            lent["train"],
            evaluated,
            device=device.place,
            at_a_time=at_a_time,
            **({"seeded": evaluated.seeded} if evaluated else {}),
        )

    def statistics(self, batches: ProblemSplit, device: Device) -> ProblemStatistics:
        """Return an object that measures the network's running statistics on training batches.

        Args:
            batches: Batches on the device of the network.
            device: Device of the network.
        """
        problem = self.problem
        loss, seed, option = problem.functions[0], problem.seed, f"--problem {self.source.name}"
        return ProblemStatistics(
            self.network, loss, batches, seed=seed, device=device, option=option
        )

    def statistics_by_first_batch(self) -> ProblemStatistics:
        """Return a description of measuring them on the first batch, on the CPU."""
        source = source_of(self.problem, "train")
        first = ProblemSplit.of_problem(self.problem, source, slice(0, 1), device=CPU)
        return self.statistics(first, CPU)

    def _lent(self, name: str, device: Device, n_sharing: int) -> LentBatches:
        problem, source = self.problem, source_of(self.problem, name)
        split = ProblemSplit.of_problem(problem, source, device=device, n_sharing=n_sharing)
        self.splits[name] = split
        return LentBatches(split, seed=problem.seed, device=device)


def gather_problem(
    asked: InputsRequest, processes: Processes, *, seed: int | None, **others: object
) -> ProblemTraining:
    """Make the problem on every rank, with initial weights in its network. Collective.

    Args:
        asked: Request with a problem.
        processes: Processes that train.
        seed: Seed from which the problem's function draws the weights, if it draws any; it does not
            affect the data. None for weights that come later.
        others: Further options that a problem does not allow, and their values.

    Raises:
        SharedInputError: If the ranks have different data.
    """
    made = processes.agree(lambda: _make(asked, seed, others))
    known = processes.share(made.sha256)
    processes.agree(lambda: _check_same(known, made.sha256))
    return made


def _make(asked: InputsRequest, seed: int | None, others: Mapping[str, object]) -> ProblemTraining:
    """Return the problem.

    Raises:
        InputError: If options contradict it, or it has no training batches.
    """
    check_of_problem(asked, {f"--{name.replace('_', '-')}": v for name, v in others.items()})
    source = asked.problem
    assert source is not None
    problem = source.get()
    if "train" not in problem.splits:
        raise InputError(
            f"--problem: {source.name} has the data {', '.join(problem.splits)} but none to train "
            "on. Give its data a split named train."
        )
    _finish(problem, problem.network)
    if seed not in {None, BUILD_SEED} and source.spec is not None:
        other = source.another_network(seed=seed)
        _finish(problem, other)
        fill_network(problem.network, tensors_of(other.train()), extra_state_of(other))
    return ProblemTraining(source, training_digest(problem))


def _finish(problem: Problem, network: nn.Module) -> None:
    """Let lazy layers take their shapes from the first batch."""
    if is_unfinished(network):
        first_loss(problem, source_of(problem, "train"), network.eval())
    network.train()


def _check_same(known: str, own: str) -> None:
    """Check that this rank has the training batches of rank 0.

    Raises:
        InputError: If its batches differ.
    """
    if known != own:
        raise InputError(
            "Problem: some ranks have other training data than rank 0. Every rank makes the "
            "problem itself: let it read the same data everywhere, and seed its random draws and "
            "shuffles."
        )
