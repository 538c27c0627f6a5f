"""The Hessian of a problem's mean loss by double backward passes: torch alone, in float64.

Nothing here imports the package. The network is moved by the vectors that a surface file keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import torch
from plain_loop import flat, move_to, read_plane
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class PlainHessian:
    """Products with the Hessian at a place of a surface, in the parameters that it moves."""

    def __init__(
        self,
        module: ModuleType,
        path: Path,
        place: tuple[int, int],
        *,
        n_batches: int | None = None,
    ) -> None:
        """Take a problem and go to a place.

        Args:
            module: One of tests/problems.
            path: A surface of it with its vectors.
            place: Indices into its grid.
            n_batches: The first ones; None for all.
        """
        with h5py.File(path) as file:
            moved = {name for name, _ in flat(file["directions/alpha"])}
        self.network: nn.Module = module.network().double().train()
        move_to(self.network, place, read_plane(path))
        self.network.eval()
        named = self.network.named_parameters()
        self.parameters = [tensor for name, tensor in named if name in moved]
        self.n = sum(tensor.numel() for tensor in self.parameters)
        self._module = module
        self._batches = [in_double(batch) for batch in module.data()][:n_batches]

    def mean_loss(self) -> torch.Tensor:
        """Return the mean loss with its graph."""
        found = [self._module.loss(self.network, batch) for batch in self._batches]
        pairs = [one if isinstance(one, tuple) else (one.sum(), len(one)) for one in found]
        return sum(total for total, _ in pairs) / sum(int(count) for _, count in pairs)

    def gradient(self) -> torch.Tensor:
        """Return the gradient as a vector with its graph."""
        with sdpa_kernel(SDPBackend.MATH):
            found = torch.autograd.grad(self.mean_loss(), self.parameters, create_graph=True)
        return torch.cat([each.flatten() for each in found])

    def product(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what multiplies a vector, float64 [n], with the Hessian."""
        gradient = self.gradient()

        def multiply(vector: np.ndarray) -> np.ndarray:
            along = torch.from_numpy(np.asarray(vector, np.float64).ravel())
            found = torch.autograd.grad(
                gradient,
                self.parameters,
                along,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            return torch.cat([each.flatten() for each in found]).numpy()

        return multiply

    def dense(self) -> np.ndarray:
        """Return the whole matrix, float64 [n, n]."""
        rows = torch.autograd.grad(
            self.gradient(),
            self.parameters,
            torch.eye(self.n, dtype=torch.float64),
            is_grads_batched=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return torch.cat([each.flatten(1) for each in rows], dim=1).numpy()


def in_double(batch: Any) -> Any:
    """Return a batch with its numbers in float64; sparse matrices become dense."""
    if isinstance(batch, dict):
        return {name: in_double(value) for name, value in batch.items()}
    if isinstance(batch, torch.Tensor):
        return batch.to_dense().double() if batch.is_floating_point() else batch
    return batch.apply(in_double)  # of torch_geometric
