"""Products of a vector with the Hessian of the mean loss, at the points of a plane.

The Hessian is that with respect to the weights of the network as it was given. Where batch-norm
is folded, a folded weight is s * weight with a fixed s for each channel, so

    H v = S H_folded (S v),

and s comes from folding a direction of ones. The gradients of a point, and what their
differentiation needs, are kept for all products of that point as far as memory goes: a product
then costs the second of two backward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape_mpi.compute.convolution import ease_second_derivatives
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.plane import MovedNetwork, memory_order, views_of
from landscape_mpi.compute.preparation import fold_if_right
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.threads import single_core_threads
from landscape_mpi.errors import InputError

Tensors = tuple[torch.Tensor, ...]
Multiply = Callable[[Tensors], Tensors]  # of vectors by parameter with one batch's Hessian


@dataclass(frozen=True)
class Kept:
    """How many batches of a point are kept for its products."""

    n_batches: int  # of this rank
    n_kept: int  # the others are computed anew in each product
    batch_bytes: int  # what one takes


class HessianPlane:
    """A network over its plane, and the Hessian of its mean loss there."""

    def __init__(
        self,
        network: nn.Module,
        directions: Mapping[str, Direction],
        samples: ResidentSplit,
        sample: torch.Tensor,
        setting: Setting,
        *,
        parameters: Sequence[str],
        n_samples: int,
        gauss_newton: bool = False,
        budget_bytes: int,
    ) -> None:
        """Prepare the network.

        Args:
            network: Float32, in evaluation mode, on the CPU; it belongs to the plane from then on.
            directions: By axis, on the network's parameters and buffers.
            samples: Those of this rank, on the setting's device.
            sample: Some samples as the network sees them, on the CPU.
            setting: How to compute. It holds for the whole process.
            parameters: Names of those the Hessian is taken with respect to.
            n_samples: Samples of all ranks, over which the loss is the mean.
            gauss_newton: Take the Gauss-Newton matrix J^T H_out J in the place of the Hessian.
            budget_bytes: Memory for what is kept between the products of a point.
        """
        prepare_device(setting, network)
        torch.set_num_threads(1)
        own = dict(network.named_parameters())
        ones = {name: np.ones(own[name].shape, np.float32) for name in parameters}
        folded = fold_if_right(network, {**directions, "scale": ones}, sample)
        self.description = "unfolded" if folded.problem else f"{folded.n_folded} batch-norms folded"
        scale = folded.directions.pop("scale")
        alpha, beta = folded.directions["alpha"], folded.directions["beta"]
        self._plane = MovedNetwork(folded.network, alpha, beta, device=setting.device)
        self._network = folded.network
        self._network.requires_grad_(False)
        ease_second_derivatives(self._network)
        self._parameters = {n: self._network.get_parameter(n) for n in parameters}
        for parameter in self._parameters.values():
            parameter.requires_grad_(True)
        self._scale = _flat([torch.from_numpy(scale[name]) for name in parameters])
        self._scale = self._scale.to(setting.device)
        self._samples, self._setting = samples, setting
        length = samples.targets[:1].numel() if len(samples) else 1
        self._n_targets = n_samples * length
        self._linearise = self._gauss_newton if gauss_newton else self._hessian
        self._budget_bytes = budget_bytes
        self._rows = list(batches(len(samples), setting.batch))
        self._pool = single_core_threads(setting.threads)
        self._kept: list[Multiply] = []
        self.kept = Kept(len(self._rows), 0, 0)

    @property
    def n_parameters(self) -> int:
        """Return the length of a vector."""
        return len(self._scale)

    @property
    def device(self) -> str:
        """Return where vectors lie."""
        return self._setting.device

    def move_to(self, alpha: float, beta: float) -> None:
        """Go to a point, and keep there what its products share."""
        self._kept = []  # before the weights change under them
        self._plane.move_to(alpha, beta)
        if not self._rows:
            return
        batch_bytes = self.kept.batch_bytes or self._measure_batch()
        n_kept = min(len(self._rows), int(self._budget_bytes // max(1, batch_bytes)))
        self.kept = Kept(len(self._rows), n_kept, batch_bytes)
        self._kept = list(self._pool.map(self._linearise, self._rows[:n_kept]))

    def leave(self) -> None:
        """Give up what is kept for the present point."""
        self._kept = []

    def _measure_batch(self) -> int:
        """Return what a batch keeps, bytes: each piece of memory counted once."""
        sizes: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            self._linearise(self._rows[0])
        return sum(sizes.values())

    def flat(self, direction: Direction) -> torch.Tensor:
        """Return what a direction has of the parameters as a vector, float32, on the device."""
        tensors = [
            torch.from_numpy(direction[name]) if name in direction else torch.zeros(own.shape)
            for name, own in self._parameters.items()
        ]
        return _flat(tensors).float().to(self.device)

    def by_parameter(self, vector: torch.Tensor) -> Direction:
        """Return a vector, float32 [n_parameters], as a direction."""
        parts = views_of(vector.cpu(), self._parameters)
        return {
            name: part.contiguous().numpy()
            for name, part in zip(self._parameters, parts, strict=True)
        }

    def multiply(self, vector: torch.Tensor) -> torch.Tensor:
        """Return this rank's share of the product with a vector; the shares add up to it.

        Batches are summed in float64, in the order of the data.

        Args:
            vector: Float32 [n_parameters], on the device.

        Returns:
            Float64 [n_parameters], on the device.
        """
        scaled = vector * self._scale
        parts = tuple(views_of(scaled, self._parameters))

        def one(index: int) -> torch.Tensor:
            multiply = self._kept[index] if index < len(self._kept) else None
            # Not kept, so that it goes when it has been used.
            return _flat((multiply or self._linearise(self._rows[index]))(parts))

        total = torch.zeros_like(scaled, dtype=torch.float64)
        threads = self._setting.threads
        for start in range(0, len(self._rows), threads):
            for product in self._pool.map(one, range(start, min(start + threads, len(self._rows)))):
                total += product
        return total.mul_(self._scale).div_(self._n_targets)

    def _hessian(self, rows: slice) -> Multiply:
        """Return what multiplies with the Hessian of the loss summed over some samples."""
        own = tuple(self._parameters.values())
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            loss = self._loss(self._logits(rows), rows)
            gradients = _differentiate((loss,), own, None, create_graph=True)
        return lambda vector: _differentiate(gradients, own, vector)

    def _gauss_newton(self, rows: slice) -> Multiply:
        """Return what multiplies with J^T H_out J of some samples.

        J v is the derivative in u of (J^T u) . v, whatever u is.
        """
        own = tuple(self._parameters.values())
        with sdpa_kernel(SDPBackend.MATH):
            logits = self._logits(rows)
            outputs = logits.detach().requires_grad_(True)
            slopes = _differentiate((self._loss(outputs, rows),), (outputs,), None, True)
            u = torch.zeros_like(logits, requires_grad=True)
            back = _differentiate((logits,), own, (u,), create_graph=True)

        def multiply(vector: Tensors) -> Tensors:
            forward = _differentiate(back, (u,), vector)
            return _differentiate((logits,), own, _differentiate(slopes, (outputs,), forward))

        return multiply

    def _logits(self, rows: slice) -> torch.Tensor:
        with torch.enable_grad():
            return self._network(self._samples.batch(rows)).float()

    def _loss(self, logits: torch.Tensor, rows: slice) -> torch.Tensor:
        targets = self._samples.targets[rows]
        return nn.functional.cross_entropy(
            logits.flatten(0, -2), targets.flatten(), reduction="sum"
        )

    def check_products(self) -> None:
        """Check at the center that a product is a function of its vector, and symmetric.

        Raises:
            InputError: If the same vector gives another product, or u . H v is not v . H u, or
                the network cannot be differentiated twice.
            OutOfMemoryError: If a batch does not fit.
        """
        try:
            self.move_to(0.0, 0.0)
            u, v = (random_vector(self, seed) for seed in (1, 2))
            first, other = self.multiply(u), self.multiply(v)
            self.move_to(0.0, 0.0)  # what is kept of a network that varies would always be the same
            again = self.multiply(u)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as problem:
            raise InputError(
                f"--model: this network cannot be differentiated twice "
                f"({' '.join(str(problem).split())[:200]}). A Hessian needs a network whose "
                f"operations all have second derivatives."
            ) from problem
        if not torch.equal(first.nan_to_num(), again.nan_to_num()):
            raise InputError(
                "--model: the product of the Hessian with the same vector differs the second time, "
                f"by {float((first - again).abs().max()):.3g}. Eigenvalues need a product that is "
                "a function of its vector: use operations that are deterministic."
            )
        left, right = float(v.double() @ first), float(u.double() @ other)
        size = float(first.norm()) * float(v.double().norm())
        if abs(left - right) > 1e-4 * size:
            raise InputError(
                f"--model: its Hessian is not symmetric (u . H v = {left:.6g}, v . H u = "
                f"{right:.6g}), so the network's derivatives are not those of its outputs. Check "
                f"its own autograd functions."
            )


def random_vector(plane: HessianPlane, seed: int) -> torch.Tensor:
    """Return a random unit vector, float32 [n_parameters], the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(plane.n_parameters, generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm()).float().to(plane.device)


def _differentiate(
    outputs: Tensors, inputs: Tensors, vectors: Tensors | None, create_graph: bool = False
) -> Tensors:
    """Return the derivatives in the inputs of outputs . vectors; zero where there are none."""
    pairs = list(zip(outputs, vectors or (None,) * len(outputs), strict=True))
    used = [(output, vector) for output, vector in pairs if output.requires_grad]
    if not used:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(
        [output for output, _ in used],
        inputs,
        [vector for _, vector in used] if vectors else None,
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def _flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([memory_order(tensor).reshape(-1) for tensor in tensors])
