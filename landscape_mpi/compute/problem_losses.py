"""Compute the losses of a problem's batches, of any kind, for differentiation.

Batches are lent as copies, because derivatives need them unchanged. They are computed one after the
other, each with its own random numbers, because the whole process shares the generators. Only the
differentiation runs in threads.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.batch_functions import sum_and_count
from landscape_mpi.compute.batch_losses import (
    BatchLosses,
    Summed,
    check_sums,
    without_derivatives,
)
from landscape_mpi.compute.compilation import uncompiled
from landscape_mpi.compute.derivatives import differentiate, parameters_of
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.modes import Modes
from landscape_mpi.compute.preparation import Build, networks_of_threads
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.default_device import of_the_user
from landscape_mpi.errors import InputError, users_own
from landscape_mpi.problem import BatchFunction

DERIVABLE = (torch.float32, torch.float64)


class ProblemLosses(BatchLosses):
    """Compute the losses of this rank's batches of a problem."""

    option = "Problem"
    takes_turns = True

    def __init__(
        self, split: ProblemSplit, function: BatchFunction, *, seed: int, device: Device = CPU
    ) -> None:
        """Take batches.

        Args:
            split: Batches of this rank, on its device.
            function: The loss, or a metric that can be differentiated.
            seed: Seed of the problem.
            device: Device of the network.
        """
        self._split, self._function, self._seed = split, function, seed
        self._generators, self._one_by_one = Generators(device), threading.Lock()
        self._modes: dict[int, Modes] = {}  # by id of the network; the values keep it alive
        self.n_batches = len(split)

    def summed(self, network: nn.Module, index: int) -> Summed:
        """Return the sums of a batch; see BatchLosses."""
        number = self._split.rows[index]
        where = f"batch {number} of data[{self._split.name!r}]"
        with self._one_by_one, uncompiled():
            if id(network) not in self._modes:
                self._modes[id(network)] = Modes(network)
            self._modes[id(network)].restore()
            batch = self._split.hold(index).lend(copied=True)
            with self._generators.seeded(batch_seed(self._seed, number)):
                found = called(self._function, network, batch, where)
        return without_derivatives(found, self.option)

    def check(self, network: nn.Module, parameters: Sequence[str], what: str) -> None:
        """Check that the loss of the first batch changes as its derivatives predict.

        Args:
            network: Network in evaluation mode, on the device of the batches; it stays unchanged.
            parameters: Names of the parameters to differentiate by.
            what: Name of the derivatives, for messages.

        Raises:
            InputError: If it does not, or if the type of its weights is too coarse.
        """
        own = dict(network.named_parameters())
        types = {own[name].dtype for name in parameters} - set(DERIVABLE)
        if types:
            raise InputError(
                f"{self.option}: its network has weights of type {', '.join(map(str, types))}, "
                f"which is too coarse for {what}. Pass dtype='float32' or 'float64' in the "
                "Problem."
            )
        if self.n_batches:
            sums = partial(self.summed, network, 0)
            check_sums(network, sums, parameters, what, option=self.option)

    def is_alike(self, network: nn.Module, copied: nn.Module, parameters: Sequence[str]) -> bool:
        """Return whether the loss uses the network it is called with, and not one that it kept."""
        if not self.n_batches:
            return True
        found = []
        for each in (network, copied):
            with torch.enable_grad():
                loss, _ = self.summed(each, 0)
            found.append(differentiate((loss,), parameters_of(each, parameters)))
        return all(torch.equal(one, other) for one, other in zip(*found, strict=True))

    def networks(
        self, network: nn.Module, setting: Setting, build: Build | None
    ) -> list[nn.Module]:
        """Return a network for each thread, because a call may store something in it.

        If it cannot be copied, e.g. because it keeps a tensor that torch cannot copy, all threads
        take turns with one network.
        """
        try:
            return networks_of_threads(network, setting, build or (lambda: copy.deepcopy(network)))
        except Exception:  # an error in the network's own code
            return [network]


def called(function: BatchFunction, network: nn.Module, batch: Any, where: str) -> Summed:
    """Return the sum and the count of a function for one batch, with their graph.

    Args:
        function: The loss or a metric.
        network: The network.
        batch: The batch; the function may change it.
        where: Name of the batch, for messages.

    Raises:
        UserCodeError: If the function raises.
        InputError: If it returns neither losses nor a pair.
    """
    words = f"Problem: {function.name} raised on {where}"
    with users_own(words, library_too=True), of_the_user(network):
        found = function.function(network, batch)
    sum_and_count(found, f"Problem: {function.name} returned", where)  # refuses anything else
    if isinstance(found, torch.Tensor):
        return found.double().sum(), len(found)
    total, count = (
        part.reshape(())
        if isinstance(part, torch.Tensor)
        else torch.tensor(float(part), dtype=torch.float64)
        for part in found
    )
    return total, count
