"""Multiply vectors with the Hessian of the mean loss, at the points of a plane.

As far as memory allows, the gradients of a point and their graphs are kept for all products at that
point. A product then costs only the second of two backward passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from landscape_mpi.compute.batch_losses import BatchLosses, OutputLosses
from landscape_mpi.compute.derivative_plane import DerivativePlane
from landscape_mpi.compute.derivatives import Tensors, differentiate, second_derivatives
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.preparation import Build
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.errors import InputError

# Errors of torch.func's transforms, and of layouts such as MKL-DNN's.
UNMEASURED = ("saved tensor hooks", "invalid python storage", "Cannot access storage")
Multiply = Callable[[Tensors], Tensors]  # multiply vectors, by parameter, with one batch's Hessian


@dataclass(frozen=True)
class Kept:
    """Tell how many batches of a point are kept for its products."""

    n_batches: int  # batches of this rank
    n_kept: int  # batches kept; the others are computed again in each product
    batch_bytes: int  # size of one batch; 0 if it cannot be measured; then none is kept


@dataclass(frozen=True)
class Linearised:
    """Hold a batch at a point, ready for products."""

    multiply: Multiply
    weight: torch.Tensor | float  # sum of the weights of its losses


class HessianPlane(DerivativePlane):
    """Multiply with the Hessian of a network's mean loss at points of its plane."""

    def __init__(
        self,
        network: nn.Module | ProblemNetwork,
        directions: Mapping[str, Direction],
        losses: BatchLosses,
        setting: Setting,
        *,
        parameters: Sequence[str],
        total_weight: float | None = None,
        gauss_newton: bool = False,
        budget_bytes: int,
        build: Build | None = None,
    ) -> None:
        """Prepare the network; see DerivativePlane.

        Args:
            network: Network with its weights, or a problem's network.
            directions: Directions by axis, for the network's parameters and buffers.
            losses: Losses of this rank's batches, on the setting's device.
            setting: How to compute; it applies to the whole process.
            parameters: Names of the parameters to differentiate by.
            total_weight: Sum of the weights of the losses of all ranks; None to find it at each
                point (see weight).
            gauss_newton: Use the Gauss-Newton matrix J^T H_out J instead of the Hessian.
            budget_bytes: Memory for batches kept between the products of a point.
            build: Function that builds the network again for a further thread; None if threads may
                share one.

        Raises:
            InputError: If the Gauss-Newton matrix is requested, but the loss is not a function of
                outputs.
        """
        own = self._gauss_newton_of(losses) if gauss_newton else self._hessian
        self._linearise: Callable[[int], Linearised] = own
        super().__init__(
            network,
            directions,
            losses,
            setting,
            parameters=parameters,
            what="the Hessian",
            build=build,
        )
        self._total_weight = total_weight
        self.weight = 0.0  # this rank's sum of weights at the point, if the total is unknown
        self._divisor = total_weight or 0.0
        self._budget_bytes = budget_bytes
        self._batch_bytes: float | None = None  # None until it is measured
        self._kept: list[Linearised] = []
        self.kept = Kept(losses.n_batches, 0, 0)

    def move_to(self, alpha: float, beta: float) -> None:
        """Go to a point, and keep the batches that its products share."""
        self._kept = []  # freed before the weights change
        self._go(alpha, beta)
        with second_derivatives(self._network):
            if self._indices:
                self._keep()
            if self._total_weight is None:
                self.weight = self._divisor = self._sum_weights()

    def divide_by(self, weight: float) -> None:
        """Set the sum of ``weight`` over all ranks that share the point.

        Call it at each point if the total weight is not known in advance.

        Args:
            weight: Sum of the weights.
        """
        self._divisor = weight

    def leave(self) -> None:
        """Free the batches kept for the current point."""
        self._kept = []

    def _keep(self) -> None:
        n = len(self._indices)
        if self._batch_bytes is None:
            self._batch_bytes = self._measure_batch()
        n_kept = min(n, int(self._budget_bytes // max(1, self._batch_bytes)))
        self.kept = Kept(n, n_kept, int(self._batch_bytes) if n_kept else 0)
        self._kept = list(self._pool.map(self._linearise, self._indices[:n_kept]))

    def _measure_batch(self) -> float:
        """Return the memory that a batch keeps, bytes; count each piece once.

        The result is infinite if it cannot be measured.

        Raises:
            RuntimeError: If the batch cannot be computed.
            InputError: If the user's own code fails in it.
        """
        sizes: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            for part in _parts_of(tensor):
                storage = part.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # an operation's result would keep it alive for ever

        try:
            with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
                self._linearise(0)
        except (RuntimeError, InputError) as problem:
            if not any(words in str(problem) for words in UNMEASURED):
                raise
            return math.inf
        return sum(sizes.values())

    def _sum_weights(self) -> float:
        """Return the sum of the weights of this rank's losses at the point."""

        def weight_of(index: int) -> torch.Tensor | float:
            with self._network_alone() as (network, _), torch.no_grad():
                return self._losses.summed(network, index)[1]

        others = self._pool.map(weight_of, self._indices[len(self._kept) :])
        return sum(map(float, [*(batch.weight for batch in self._kept), *others]))

    def multiply(self, vector: torch.Tensor) -> torch.Tensor:
        """Return this rank's share of the product with a vector; the ranks' shares add up to it.

        Batches are summed in float64, in the order of the data.

        Args:
            vector: Float32 [n_parameters], on the device.

        Returns:
            Float64 [n_parameters], on the device.

        Raises:
            ValueError: If another evaluation has moved the network in the meantime.
        """
        if self._holder is not None and not self._holder.is_of(self):
            raise ValueError("another evaluation has moved the network: go to the point again")
        scaled = vector * self._scale
        parts = tuple(self._layout.views(scaled))

        def one(index: int) -> torch.Tensor:
            kept = self._kept[index] if index < len(self._kept) else None
            # Not kept, so that it is freed after use.
            return self._flattened((kept or self._linearise(index)).multiply(parts))

        total = torch.zeros_like(scaled, dtype=torch.float64)
        threads = self._setting.n_threads
        with second_derivatives(self._network):
            for start in self._indices[::threads]:
                for product in self._pool.map(one, self._indices[start : start + threads]):
                    total += product
        return total.mul_(self._scale).div_(self._divisor)

    def _hessian(self, index: int) -> Linearised:
        """Return a function that multiplies with the Hessian of a batch's summed loss."""
        with self._network_alone() as (network, own), torch.enable_grad():
            loss, weight = self._losses.summed(network, index)
        gradients = differentiate((loss,), own, create_graph=True)
        return Linearised(lambda vector: differentiate(gradients, own, vector), weight)

    def _gauss_newton_of(self, losses: BatchLosses) -> Callable[[int], Linearised]:
        """Return a function that linearises a batch for products with J^T H_out J.

        J v is the derivative of (J^T u) . v with respect to u, for any u.

        Raises:
            InputError: If the loss is not a function of outputs and targets.
        """
        if not isinstance(losses, OutputLosses):
            raise InputError(
                "--gauss-newton uses the matrix J^T H J of the outputs of a network, but the "
                f"loss of {losses.option} is a function of the whole network, whose outputs are "
                "not known here. Leave it out to use the Hessian, or define the loss as a "
                "function of outputs and targets with --model, --data and --loss."
            )

        def linearise(index: int) -> Linearised:
            with self._network_alone() as (network, own), torch.enable_grad():
                made = losses.outputs(network, index)
            outputs = made.detach().requires_grad_(True)
            with torch.enable_grad():
                loss, weight = losses.of_outputs(outputs, index)
            slopes = differentiate((loss,), (outputs,), create_graph=True)
            u = torch.zeros_like(made, requires_grad=True)
            back = differentiate((made,), own, (u,), create_graph=True)

            def multiply(vector: Tensors) -> Tensors:
                forward = differentiate(back, (u,), vector)
                return differentiate((made,), own, differentiate(slopes, (outputs,), forward))

            return Linearised(multiply, weight)

        return linearise

    def check_products(self) -> None:
        """Check at the center that a product is a function of its vector, and symmetric.

        Raises:
            InputError: If the same vector gives another product, or u . H v is not v . H u, or
                the network cannot be differentiated twice.
            OutOfMemoryError: If a batch does not fit.
        """
        option = self._losses.option
        try:
            self.move_to(0.0, 0.0)
            u, v = (random_vector(self, seed) for seed in (1, 2))
            first, other = self.multiply(u), self.multiply(v)
            self.move_to(0.0, 0.0)  # kept batches would hide that a network varies
            again = self.multiply(u)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as problem:
            raise InputError(
                f"{option}: this network cannot be differentiated twice "
                f"({' '.join(str(problem).split())[:200]}). A Hessian needs a network and a loss "
                "whose operations all have second derivatives. Replace the operation that this "
                "message names."
            ) from problem
        if not torch.equal(first.nan_to_num(), again.nan_to_num()):
            raise InputError(
                f"{option}: the product of the Hessian with the same vector differs the second "
                f"time, by {float((first - again).abs().max()):.3g}. Eigenvalues need a product "
                "that is a function of its vector. Use deterministic operations."
            )
        left, right = float(v.double() @ first), float(u.double() @ other)
        size = float(first.norm()) * float(v.double().norm())
        if abs(left - right) > 1e-4 * size:
            raise InputError(
                f"{option}: its Hessian is not symmetric (u . H v = {left:.6g}, v . H u = "
                f"{right:.6g}), so its derivatives do not belong to its outputs. Check the "
                "network's own autograd functions; torch's parametrizations.weight_norm has wrong "
                "second derivatives."
            )


def _parts_of(tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tensors that have the memory of a tensor: indices and values if it is sparse."""
    if tensor.layout == torch.sparse_coo:
        return tensor._indices(), tensor._values()
    if tensor.layout in {torch.sparse_csr, torch.sparse_bsr}:
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    if tensor.layout in {torch.sparse_csc, torch.sparse_bsc}:
        return tensor.ccol_indices(), tensor.row_indices(), tensor.values()
    return (tensor,)


def random_vector(plane: HessianPlane, seed: int) -> torch.Tensor:
    """Return a random unit vector, float32 [n_parameters], the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(plane.n_parameters, generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm()).float().to(plane.device)
