"""Check derivatives: does the network change as they predict when it moves a little?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.tensors import acts_on_eval, acts_on_load, put_values
from landscape_mpi.errors import InputError

STEP = 1e-3  # relative to the size of the weights
WRONG, WRONG_LOSS = 0.2, 0.05  # relative difference that kinks of activations cannot explain
ROUNDING, ROUNDING_LOSS = 1e-5, 2e-6  # rounding, relative to the number
NOISE = 5.0  # allowed multiple of the slope's change over half the step
AWAY = 0.1  # distance from the center, relative to the size of the weights


def check_slope(network: nn.Module, inputs: torch.Tensor, names: Sequence[str], what: str) -> None:
    """Check that the outputs of a network change as their derivatives predict.

    Derivatives do not reach weights if forward uses a detached copy of them: views that were made
    once, or products that eval() prepares.

    Args:
        network: Network in evaluation mode; mode and weights are the same afterwards.
        inputs: A few samples as the network sees them.
        names: Parameters of the derivatives.
        what: Name of the derivatives, for the message.

    Raises:
        InputError: If they do not.
    """
    given = inputs.to(type_of(network)) if inputs.is_floating_point() else inputs

    def number() -> torch.Tensor:
        made = network(given.clone()).double()
        draw = torch.Generator().manual_seed(1)
        return (made * torch.randn(made.shape, generator=draw, dtype=torch.float32).to(made)).sum()

    probe = _Probe(network, number, names)
    if (wrong := probe.wrong_slope(WRONG, ROUNDING)) is not None:
        raise InputError(_words(*wrong, what))


def check_loss_slope(
    network: nn.Module,
    loss: Callable[[], torch.Tensor],
    names: Sequence[str],
    what: str,
    *,
    option: str,
) -> None:
    """Check that a loss changes with a network's weights as its derivatives predict.

    The check is made away from the center, so that trained weights have a slope as well.

    Args:
        network: Network in evaluation mode; mode and weights are the same afterwards.
        loss: Function that returns the loss of some samples at the current weights.
        names: Parameters of the derivatives.
        what: Name of the derivatives, for the message.
        option: Option that named the loss, for the message.

    Raises:
        InputError: If it does not, or if it depends on none of the parameters, or if it changes
            in place what derivatives need.
        RuntimeError: If torch cannot compute the derivatives for another reason.
    """
    for away in (AWAY, 0.0):
        probe = _Probe(network, lambda: loss().double(), names, away=away)
        try:
            wrong = probe.wrong_slope(WRONG_LOSS, ROUNDING_LOSS)
        except RuntimeError as problem:
            if "modified by an inplace operation" not in str(problem):
                raise
            raise InputError(
                f"{option}: the loss or forward changes tensors in place that its derivatives "
                f"need, such as the weights of the network, so {what} cannot be computed. Let the "
                "loss evaluate a copy with other weights: torch.func.functional_call."
            ) from problem
        if probe.is_finite:
            break
    if wrong is not None:
        change, slope = wrong
        raise InputError(
            f"{option}: the loss changes by {change:.4g} along a direction of the weights in "
            f"which its derivative is {slope:.4g}, so {what} would be wrong. Something in the "
            "loss or in forward depends on the weights but is hidden from derivatives: by "
            "detach(), item() or no_grad(), as a count of samples, as a copy of weights, or by an "
            "autograd function with other derivatives. Compute it from the parameters themselves."
        )
    if not probe.is_reached:
        raise InputError(
            f"{option}: the loss has no derivative in any weight of the network it is given, so "
            f"{what} would be 0 everywhere. Compute it with that network, the first argument of "
            "the loss, not with one that the function keeps."
        )


class _Probe:
    """Measure a number computed by a network, and its change with the weights."""

    def __init__(
        self,
        network: nn.Module,
        number: Callable[[], torch.Tensor],
        names: Sequence[str],
        *,
        away: float = 0.0,
    ) -> None:
        self._network, self._number = network, number
        own = dict(network.named_parameters())
        self._parameters = [own[name].requires_grad_() for name in names]
        self._kept = [parameter.detach().clone() for parameter in self._parameters]
        draw = torch.Generator().manual_seed(0)
        sizes = [kept.abs().mean() for kept in self._kept]
        shapes = [
            torch.randn(kept.shape, generator=draw, dtype=torch.float32).to(kept)
            for kept in self._kept
        ]
        self.steps = [size * shape for size, shape in zip(sizes, shapes, strict=True)]
        self._base = self._kept
        if away:
            others = [
                torch.randn(kept.shape, generator=draw, dtype=torch.float32).to(kept)
                for kept in self._kept
            ]
            parts = zip(self._kept, sizes, others, strict=True)
            self._base = [kept + away * size * other for kept, size, other in parts]
        self.size = 0.0
        self.is_finite = True
        self.is_reached = True  # whether any derivative exists

    def wrong_slope(self, wrong: float, rounding: float) -> tuple[float, float] | None:
        """Return a change of the number and a slope that does not explain it, if found.

        Args:
            wrong: Relative difference between the two that counts as wrong.
            rounding: Relative rounding of the number.
        """
        if self._base is not self._kept:
            _set(self._network, self._parameters, self._base)
        try:
            return self._compare(wrong, rounding)
        finally:
            _set(self._network, self._parameters, self._kept)

    def _compare(self, wrong: float, rounding: float) -> tuple[float, float] | None:
        found = self.gradients()
        self.is_finite = math.isfinite(self.size)
        self.is_reached = any(gradient is not None for gradient in found)
        if self.varies():
            return None  # the check of products refuses such a network
        # One by one, so that parameters with correct derivatives do not hide others.
        for is_reached in (False, True):
            along = [
                step if (gradient is not None) == is_reached else torch.zeros_like(step)
                for gradient, step in zip(found, self.steps, strict=True)
            ]
            slope = sum(_inner(g, a) for g, a in zip(found, along, strict=True) if g is not None)
            change, noise = self.change(along)
            allowed = rounding * self.size / STEP
            if is_reached:
                allowed += wrong * max(abs(slope), abs(change)) + NOISE * noise
            if math.isfinite(change) and abs(slope - change) > allowed:
                return change, slope
        return None

    def gradients(self) -> Sequence[torch.Tensor | None]:
        """Return the number's derivatives; None for parameters that it does not depend on."""
        with torch.enable_grad():
            here = self._number()
        self.size = abs(float(here.detach()))
        if not here.requires_grad:
            return [None] * len(self._parameters)
        return torch.autograd.grad(here, self._parameters, allow_unused=True)

    def varies(self) -> bool:
        """Return whether the number varies at the same weights."""
        with torch.no_grad():
            return float(self._number()) != float(self._number())

    def change(self, along: Sequence[torch.Tensor]) -> tuple[float, float]:
        """Return the slope along a direction, and its change over half the step."""
        wide, narrow = (
            (self._at(h, along) - self._at(-h, along)) / (2 * h) for h in (STEP, STEP / 2)
        )
        return narrow, abs(wide - narrow)

    def _at(self, step: float, along: Sequence[torch.Tensor]) -> float:
        values = [base + step * a for base, a in zip(self._base, along, strict=True)]
        _set(self._network, self._parameters, values)
        with torch.no_grad():
            return float(self._number())


def _inner(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.double() * other.double()).sum())


def _words(change: float, slope: float, what: str) -> str:
    return (
        f"--model: outputs of this network change by {change:.4g} along a direction in which their "
        f"derivative is {slope:.4g}, so {what} would be wrong. Either forward reads copies of "
        f"weights that derivatives do not reach (views made once, or what eval() or loading "
        f"prepares), or "
        f"the network's own autograd functions have wrong derivatives. Let forward read the "
        f"parameters themselves."
    )


@torch.no_grad()
def _set(
    network: nn.Module, parameters: Sequence[torch.Tensor], values: Sequence[torch.Tensor]
) -> None:
    """Put values into parameters as a user of torch would: in training mode, then eval()."""
    loads = acts_on_load(network)
    acts = loads or acts_on_eval(network)
    if acts:
        network.train()

    def put() -> None:
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)

    put_values(network, put, loads=loads)
    if acts:
        network.eval()
