"""The gradient of the mean loss over a split, sample by sample the same as in a plain loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.losses import Loss
from landscape_mpi.compute.samples import ResidentSplit

N_AT_ONCE = 250  # samples in a batch: the graph of its backward pass stays small


def loss_gradient(
    network: nn.Module, split: ResidentSplit, loss: Loss, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the gradient of the mean loss, summed over batches in float64.

    Args:
        network: In evaluation mode, on the device of the split.
        split: Samples.
        loss: Whose mean it is.
        names: Parameters with respect to which.

    Returns:
        By name, float64 of the parameters' shapes; 0 where the loss does not depend on one.
    """
    known = dict(network.named_parameters())
    parameters = [known[name].requires_grad_() for name in names]
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in parameters]
    for start in range(0, len(split), N_AT_ONCE):
        rows = slice(start, start + N_AT_ONCE)
        losses = loss.of_samples(network(split.batch(rows)).float(), split.targets[rows])
        found = torch.autograd.grad(losses.sum(), parameters, allow_unused=True)
        for total, gradient in zip(sums, found, strict=True):
            if gradient is not None:
                total += gradient
    n = split.losses.numel()
    return {name: (total / n).cpu().numpy() for name, total in zip(names, sums, strict=True)}
