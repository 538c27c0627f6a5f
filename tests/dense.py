"""Dense gradients and Hessians in float64 of a mean loss, by torch.func, at points of a plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn
from torch.func import grad, jacrev

Mean = Callable[[Mapping[str, torch.Tensor]], torch.Tensor]


def state_at(
    network: nn.Module, directions: Mapping[str, Mapping[str, np.ndarray]], *point: float
) -> dict[str, torch.Tensor]:
    """Return the parameters at a point of a plane, float64."""
    state = {name: p.detach().double().clone() for name, p in network.named_parameters()}
    for step, axis in zip(point, ("alpha", "beta"), strict=True):
        for name, values in directions[axis].items():
            state[name] += step * torch.from_numpy(values).double()
    return state


def of_vector(mean: Mean, state: Mapping[str, torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return the mean loss as a function of all parameters in one row."""
    sizes = [tensor.numel() for tensor in state.values()]

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = zip(state.items(), vector.split(sizes), strict=True)
        return mean({name: part.view(like.shape) for (name, like), part in parts})

    return loss


def dense_gradient(mean: Mean, state: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Return the gradient in all parameters, float64 [n]."""
    vector = torch.cat([tensor.flatten() for tensor in state.values()])
    return grad(of_vector(mean, state))(vector).numpy()


def dense_hessian(mean: Mean, state: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Return the Hessian in all parameters, float64 [n, n]."""
    vector = torch.cat([tensor.flatten() for tensor in state.values()])
    return jacrev(grad(of_vector(mean, state)))(vector).numpy()
