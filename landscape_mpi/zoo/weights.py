"""Measure norms and a histogram of a network's weights as they change in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

N_BINS = 401  # odd, so that one bin is centred on zero
RANGE = 6.0  # half-width of the histogram, in root mean squares of the weights


@dataclass(frozen=True)
class WeightMeasures:
    """Hold norms and histogram of a network's parameters.

    Weights are the parameters of two dimensions or more: filters and matrices, but not biases and
    scales of normalisation layers.
    """

    parameter_norms: np.ndarray  # L2, float64 [n_parameters], in the order of the network
    weight_norm: float  # L2 over all weights together
    total_norm: float  # L2 over all parameters together
    edges: np.ndarray  # float64 [N_BINS + 1]
    counts: np.ndarray  # int64 [N_BINS], weights in each bin
    n_outside: np.ndarray  # int64 [2], weights below and above the bins


def weights_of(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the weights by name: parameters of two dimensions or more."""
    return {name: p for name, p in network.named_parameters() if p.ndim > 1}


@torch.no_grad()
def measure_weights(network: nn.Module) -> WeightMeasures:
    """Return norms and histogram of a network's parameters."""
    parameters = list(network.parameters())
    norms = np.array(torch.stack([p.double().norm() for p in parameters]).tolist())
    are_weights = np.array([p.ndim > 1 for p in parameters])
    weights = [p.flatten() for p in parameters if p.ndim > 1]
    values = torch.cat(weights) if weights else torch.zeros(0, dtype=torch.float32)
    weight_norm = float(np.linalg.norm(norms[are_weights]))
    half = RANGE * weight_norm / max(1, values.numel()) ** 0.5 or 1.0  # 1: all weights are zero
    # Bins -1 and N_BINS are outside. Integers are counted, so the order does not matter.
    bins = torch.floor((values / half + 1) * (N_BINS / 2)).clamp(-1, N_BINS).long() + 1
    counts = torch.bincount(bins, minlength=N_BINS + 2).cpu().numpy()
    return WeightMeasures(
        parameter_norms=norms,
        weight_norm=weight_norm,
        total_norm=float(np.linalg.norm(norms)),
        edges=np.linspace(-half, half, N_BINS + 1),
        counts=counts[1:-1],
        n_outside=counts[[0, -1]],
    )
