"""Compute a loss as sums over batches that are differentiated one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import nn

from landscape_mpi.compute.derivatives import Tensors, parameters_of
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folded_derivatives import eased, fold_for_derivatives
from landscape_mpi.compute.folding import FoldedNetwork
from landscape_mpi.compute.losses import Loss
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.preparation import Build, networks_of_threads
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.slopes import check_loss_slope, check_slope
from landscape_mpi.errors import InputError

LOSS_OPTION = "--loss"
WAY_OUT = "Return weights, or a count, that depend only on the targets or on the batch."
N_PROBED = 8  # number of samples in a trial of the loss

Summed = tuple[torch.Tensor, torch.Tensor | float]  # sum of losses (with graph), of weights


class BatchLosses(ABC):
    """Compute the losses of this rank's batches; their mean is sum of losses / sum of weights."""

    option = "--model"  # likely cause of wrong derivatives, for messages
    n_batches: int
    takes_turns = False  # whether only one thread at a time may call a network

    @abstractmethod
    def summed(self, network: nn.Module, index: int) -> Summed:
        """Return the sum of a batch's losses with its graph, and the sum of their weights.

        Args:
            network: Network in evaluation mode, on the device of the batches.
            index: Index of the batch.

        Raises:
            InputError: If the weights have derivatives.
        """

    @abstractmethod
    def check(self, network: nn.Module, parameters: Sequence[str], what: str) -> None:
        """Check that the loss changes as its derivatives predict.

        Args:
            network: Network in evaluation mode, on the device of the batches; it stays unchanged.
            parameters: Names of those of the derivatives.
            what: Name of the derivatives, for messages.

        Raises:
            InputError: If it does not.
        """

    def is_alike(self, network: nn.Module, copied: nn.Module, parameters: Sequence[str]) -> bool:
        """Return whether the loss has the same gradient in a copy of the network.

        Args:
            network: Network on the device.
            copied: Copy of it with the same weights.
            parameters: Names of those of the derivatives.
        """
        return True

    def check_network(self, network: nn.Module, parameters: Sequence[str], what: str) -> None:
        """Check the outputs that enter the loss, while the network is on the CPU."""
        return

    def fold(
        self,
        network: nn.Module,
        directions: dict[str, Direction],
        setting: Setting,
        parameters: Sequence[str],
    ) -> FoldedNetwork:
        """Return the network, folded if this loss allows it; see fold_for_derivatives."""
        return FoldedNetwork(network, directions, 0, 0, "left out")

    def networks(
        self, network: nn.Module, setting: Setting, build: Build | None
    ) -> list[nn.Module]:
        """Return the networks of the threads; see networks_of_threads."""
        return networks_of_threads(network, setting, build)

    def differentiable(self, network: nn.Module, names: Sequence[str]) -> Tensors:
        """Prepare a network for derivatives in the named parameters, and return these."""
        return parameters_of(network, names)


class OutputLosses(BatchLosses):
    """Compute a loss from the outputs of a network and targets."""

    def __init__(
        self,
        samples: ResidentSplit,
        loss: Loss,
        *,
        batch: int,
        sample: torch.Tensor | None = None,
        channels_last: bool = False,
        quick: bool = False,
    ) -> None:
        """Take samples.

        Args:
            samples: Samples of this rank, on its device.
            loss: Loss of the samples; it knows which targets count, and with which weights.
            batch: Number of samples in a batch.
            sample: Some samples as the network sees them, on the CPU; None to use the rank's own.
            channels_last: Whether images have the channels-last layout in memory.
            quick: Compute cross-entropies in the type of the outputs instead of float64. Where the
                second derivative matters, the loss is not close enough to 0 to need float64.
        """
        self.samples, self.loss = samples, loss
        self._rows = list(batches(len(samples), batch))
        self.n_batches = len(self._rows)
        self._sample = sample
        self._channels_last, self._quick = channels_last, quick
        self._type: torch.dtype | None = None  # device of the network, once it is known

    @property
    def sample(self) -> torch.Tensor:
        """Return some samples as the network sees them."""
        return self.samples.batch(slice(0, 2)) if self._sample is None else self._sample

    def summed(self, network: nn.Module, index: int) -> Summed:
        """Return the sums of a batch; see BatchLosses."""
        return self.of_outputs(self.outputs(network, index), index)

    def outputs(self, network: nn.Module, index: int) -> torch.Tensor:
        """Return the outputs for a batch with their graph; float64 outputs stay float64."""
        return self._outputs(network, self._rows[index])

    def of_outputs(self, outputs: torch.Tensor, index: int) -> Summed:
        """Return the sums of a batch from its outputs."""
        return self._sums(outputs, self._rows[index])

    def _outputs(self, network: nn.Module, rows: slice) -> torch.Tensor:
        inputs = self.samples.batch(rows, channels_last=self._channels_last)
        if inputs.is_floating_point():
            self._type = self._type or type_of(network)
            inputs = inputs.to(self._type)
        outputs = network(inputs)
        return outputs if outputs.dtype == torch.float64 else outputs.float()

    def _sums(self, outputs: torch.Tensor, rows: slice) -> Summed:
        measure = self.loss.summed_quickly if self._quick else self.loss.summed
        return without_derivatives(measure(outputs, self.samples.targets[rows]), LOSS_OPTION)

    def check_network(self, network: nn.Module, parameters: Sequence[str], what: str) -> None:
        """Check that outputs change as their derivatives predict."""
        check_slope(network, self.sample, parameters, what)

    def check(self, network: nn.Module, parameters: Sequence[str], what: str) -> None:
        """Check that the loss changes as its derivatives predict, if it is the user's own."""
        rows = slice(0, min(len(self.samples), N_PROBED))
        if not self.loss.own or not len(self.samples):
            return

        def sums() -> Summed:
            return self._sums(self._outputs(network, rows), rows)

        check_sums(network, sums, parameters, what, option=LOSS_OPTION)

    def fold(
        self,
        network: nn.Module,
        directions: dict[str, Direction],
        setting: Setting,
        parameters: Sequence[str],
    ) -> FoldedNetwork:
        """Fold batch-norm if the folded network has the same derivatives."""
        if not setting.steps.folded:
            return FoldedNetwork(network, directions, 0, 0, "left out")
        return fold_for_derivatives(network, directions, self.sample, parameters)

    def differentiable(self, network: nn.Module, names: Sequence[str]) -> Tensors:
        """Return the parameters; convolutions get faster second derivatives."""
        return eased(network, names)


def check_sums(
    network: nn.Module,
    sums: Callable[[], Summed],
    parameters: Sequence[str],
    what: str,
    *,
    option: str,
) -> None:
    """Check that a mean loss changes as its derivatives predict, and that its divisor is constant.

    Args:
        network: Network in evaluation mode; it stays unchanged.
        sums: Function that returns the sums of some samples at the network's current weights.
        parameters: Names of those of the derivatives.
        what: Name of the derivatives, for the message.
        option: Option that named the loss, for the message.

    Raises:
        InputError: If either does not hold.
    """
    seen = []

    def mean() -> torch.Tensor:
        total, weight = sums()
        seen.append(float(weight))
        return total / weight

    check_loss_slope(network, mean, parameters, what, option=option)
    if min(seen) != max(seen):
        raise InputError(
            f"{option}: the sum of the weights of its losses, or their count, changes with the "
            f"weights of the network, from {min(seen):.6g} to {max(seen):.6g}. The mean is "
            f"divided by this sum, but derivatives of a divisor are not computed here, so {what} "
            f"would be wrong. {WAY_OUT}"
        )


def without_derivatives(sums: Summed, name: str) -> Summed:
    """Return the sums after checking that their weights do not depend on the network.

    Args:
        sums: Sum of losses and sum of weights.
        name: Name of the loss, for the message.

    Raises:
        InputError: If the weights have derivatives.
    """
    _, weight = sums
    if isinstance(weight, torch.Tensor) and weight.requires_grad:
        raise InputError(
            f"{name}: its mean is divided by the sum of weights, or by a count, that has "
            "derivatives in the weights of the network, but derivatives of a divisor are not "
            f"computed here. {WAY_OUT}"
        )
    return sums
