"""Measure the sharpness of a problem's minimum: climb in boxes, and evaluate fresh networks."""

from __future__ import annotations

from torch import nn

from landscape_mpi.compute.devices.choice import choose_alone
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.devices.repeatability import compute_repeatably
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.problem_losses import ProblemLosses
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.problem_statistics import ProblemStatistics
from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.compute.ties import converted
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.stored_problem import (
    check_of_stored_problem,
    read_stored_problem,
    some_batches,
)
from landscape_mpi.jobs.surface.sharpness_request import SharpnessRequest
from landscape_mpi.store.stored_surface import StoredSurface


class ProblemMinimum:
    """The minimum of a problem's surface: its network at the center, on a device, and its loss."""

    def __init__(self, asked: SharpnessRequest, stored: StoredSurface) -> None:
        """Make the problem again, and print its description. Local.

        Args:
            asked: Number of its training data, and their place.
            stored: Content of the surface file.
        """
        check_of_stored_problem(asked.moved, stored, {"--subset": asked.subset})
        read = read_stored_problem(asked.moved, stored)
        source = read.sources["train"]
        n = asked.limit or source.n_counted
        self._inputs = some_batches(read, n)
        which = "all" if n == source.n_counted else "the first"
        device = choose_alone(asked.device)
        print(
            f"{stored.path}: {read.subject.model} on {n:,} training {source.counts} ({which}); "
            f"{device.describe()}",
            flush=True,
        )
        problem, training = self._inputs.problem, self._inputs.sources["train"]
        split = ProblemSplit.of_problem(problem, training, device=device)
        self.gradient = _gradient_of(self._inputs, split, device)
        self._statistics = ProblemStatistics(
            problem.network, problem.functions[0], split, seed=problem.seed, device=device
        )
        self._seed, self._n_fresh = asked.seed, asked.fresh_networks

    @property
    def name(self) -> str:
        """Return the name of the network."""
        return self._inputs.subject.model

    def fresh_losses(self) -> list[float]:
        """Return the losses of networks before training; empty if all networks are equal.

        Statistics of batch-norm are measured on the training data: those of a fresh layer mean
        nothing.
        """
        network = self._inputs.problem.network
        seeds = range(self._seed, self._seed + max(2, self._n_fresh))
        states = [tensors_of(self._fresh(seed)) for seed in seeds]
        if len({digest(state) for state in states}) == 1:
            return []
        found = []
        for state in states[: self._n_fresh]:
            fill_network(network, state)
            network.eval()
            self._statistics.try_layers()
            self._statistics.measure()
            found.append(self.gradient.here()[0])
        return found

    def _fresh(self, seed: int) -> nn.Module:
        return self._inputs.source.another_network(seed=seed).train()


def _gradient_of(inputs: ProblemInputs, split: ProblemSplit, device: Device) -> LossGradient:
    compute_repeatably()
    problem, network = inputs.problem, inputs.problem.network
    fill_network(network, inputs.state, inputs.subject.extra)
    converted(network, device.name)
    losses = ProblemLosses(split, problem.functions[0], seed=problem.seed, device=device)
    names = [name for name, weights in network.named_parameters() if weights.is_floating_point()]
    return LossGradient(network, losses, names)
