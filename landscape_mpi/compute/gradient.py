"""Compute the mean loss over batches and its gradient, both summed in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_losses import BatchLosses
from landscape_mpi.compute.derivatives import differentiate
from landscape_mpi.compute.tensors import refuse_merged
from landscape_mpi.compute.ties import refuse_ties


class LossGradient:
    """Compute the mean loss of a network over batches, and its gradient, at any weights."""

    def __init__(self, network: nn.Module, losses: BatchLosses, names: Sequence[str]) -> None:
        """Take a network; it belongs to this object from then on.

        Args:
            network: Network on the device of the batches, in training mode if eval() changes any
                weight.
            losses: Losses of all batches; batches of samples have Device.gradient_batch samples.
            names: Names of the parameters to differentiate by.

        Raises:
            InputError: If eval() merges weights of the network, some are tied by their memory, or
                the loss depends on parameters that derivatives do not reach.
        """
        what = "the gradient"
        refuse_merged(network, what, option=losses.option)
        refuse_ties(network, what, option=losses.option)
        known = dict(network.named_parameters())
        self.parameters = {name: known[name].requires_grad_() for name in names}
        self._network, self._losses = network, losses
        losses.check_network(network, names, what)
        losses.check(network, names, what)

    def here(self) -> tuple[float, dict[str, np.ndarray]]:
        """Return the mean loss and its gradient, by name and in float64, at the current weights.

        The gradient is 0 for a parameter that the loss does not depend on.
        """
        tensors = tuple(self.parameters.values())
        sums = [torch.zeros_like(tensor, dtype=torch.float64) for tensor in tensors]
        total = torch.zeros((), dtype=torch.float64, device=sums[0].device)
        n = torch.zeros_like(total)
        for index in range(self._losses.n_batches):
            with torch.enable_grad():
                loss, weight = self._losses.summed(self._network, index)
            found = differentiate((loss,), tensors, retain_graph=False)
            total += loss.detach()
            n += weight
            for added, gradient in zip(sums, found, strict=True):
                added += gradient
        gradients = {
            name: (added / n).cpu().numpy()
            for name, added in zip(self.parameters, sums, strict=True)
        }
        return float(total / n), gradients

    @torch.no_grad()
    def move_to(self, weights: Mapping[str, np.ndarray]) -> None:
        """Set the parameters to values by name, of any floating type."""
        for name, tensor in self.parameters.items():
            tensor.copy_(torch.from_numpy(weights[name]))
