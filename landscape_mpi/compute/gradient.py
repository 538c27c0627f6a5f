"""The mean loss over a split and its gradient, summed over batches in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.losses import Loss
from landscape_mpi.compute.samples import ResidentSplit

N_AT_ONCE = 250  # samples in a batch: what its backward pass keeps stays small


class LossGradient:
    """The mean loss of a network over a split, at any weights, with its gradient."""

    def __init__(
        self, network: nn.Module, split: ResidentSplit, loss: Loss, names: Sequence[str]
    ) -> None:
        """Take the network, which belongs to this from then on.

        Args:
            network: In evaluation mode, on the device of the split.
            split: Samples.
            loss: Whose mean it is.
            names: Parameters with respect to which.
        """
        known = dict(network.named_parameters())
        self.parameters = {name: known[name].requires_grad_() for name in names}
        self._network, self._split, self._loss = network, split, loss

    def here(self) -> tuple[float, dict[str, np.ndarray]]:
        """Return the mean loss and its gradient by name, float64, at the present weights.

        The gradient is 0 where the loss does not depend on a parameter.
        """
        tensors = list(self.parameters.values())
        sums = [torch.zeros_like(tensor, dtype=torch.float64) for tensor in tensors]
        total = torch.zeros((), dtype=torch.float64, device=sums[0].device)
        for start in range(0, len(self._split), N_AT_ONCE):
            rows = slice(start, start + N_AT_ONCE)
            outputs = self._network(self._split.batch(rows)).float()
            losses = self._loss.of_samples(outputs, self._split.targets[rows])
            found = torch.autograd.grad(losses.sum(), tensors, allow_unused=True)
            total += losses.detach().double().sum()
            for added, gradient in zip(sums, found, strict=True):
                if gradient is not None:
                    added += gradient
        n = self._split.losses.numel()
        gradients = {
            name: (added / n).cpu().numpy()
            for name, added in zip(self.parameters, sums, strict=True)
        }
        return float(total) / n, gradients

    @torch.no_grad()
    def move_to(self, weights: Mapping[str, np.ndarray]) -> None:
        """Give the parameters other values, any floating type, by name."""
        for name, tensor in self.parameters.items():
            tensor.copy_(torch.from_numpy(weights[name]))
