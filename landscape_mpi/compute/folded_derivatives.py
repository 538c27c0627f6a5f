"""Use a folded network for derivatives if it has those of the original network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from landscape_mpi.compute.convolution import ease_second_derivatives
from landscape_mpi.compute.derivatives import (
    Tensors,
    differentiate,
    parameters_of,
    second_derivatives,
)
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.folding import FoldedNetwork
from landscape_mpi.compute.preparation import fold_if_right
from landscape_mpi.compute.tensors import freeze

SAME_DERIVATIVES = 0.1  # relative, for each parameter; deep networks amplify rounding to 0.04
SMALL_DERIVATIVE = 1e-4  # share of the largest derivative; a smaller one may be rounding


def fold_for_derivatives(
    network: nn.Module,
    directions: dict[str, Direction],
    sample: torch.Tensor,
    parameters: Sequence[str],
) -> FoldedNetwork:
    """Fold batch-norm if the folded network has the original's derivatives at the center.

    A traced network may have the right outputs but lack derivatives: of weights that tracing turned
    into constants, or those defined by the user's own autograd functions.

    Args:
        network: Network in evaluation mode, on the CPU.
        directions: Directions by axis; the additional one ``scale`` is 1 for each parameter.
        sample: Some samples as the network sees them, on the CPU.
        parameters: Names of the parameters to differentiate by.
    """
    folded = fold_if_right(network, directions, sample)
    if folded.problem is not None:
        return folded
    with second_derivatives(network):
        try:
            expected = _trial_derivatives(network, sample, parameters)
        except (RuntimeError, NotImplementedError):
            return folded  # check_products reports it
        try:
            found = _trial_derivatives(
                folded.network, sample, parameters, folded.directions["scale"]
            )
        except (RuntimeError, NotImplementedError, KeyError) as problem:
            return FoldedNetwork(network, directions, 0, 0, f"{type(problem).__name__}: {problem}")
    if _agree(found, expected):
        return folded
    return FoldedNetwork(network, directions, 0, 0, "the traced network has other derivatives")


def eased(network: nn.Module, names: Sequence[str]) -> Tensors:
    """Prepare a network for second derivatives in the named parameters, and return these."""
    freeze(network)
    ease_second_derivatives(network)
    return parameters_of(network, names)


def _trial_derivatives(
    network: nn.Module, sample: torch.Tensor, names: Sequence[str], scale: Direction | None = None
) -> list[Tensors]:
    """Return first derivatives of a number that depends on all outputs, and a second derivative."""
    own = eased(network, names)
    scales = [
        torch.ones((), dtype=torch.float32) if scale is None else torch.from_numpy(scale[name])
        for name in names
    ]
    draw = torch.Generator().manual_seed(0)
    inputs = sample.to(own[0].dtype) if own and sample.is_floating_point() else sample
    with torch.enable_grad():
        outputs = network(inputs.clone())
        largest = outputs.detach().abs().max().clamp(min=1e-30)
        number = (outputs + outputs.square() / largest).sum()
        first = differentiate((number,), own, create_graph=True)
        vector = tuple(torch.randn(p.shape, generator=draw, dtype=torch.float32).to(p) for p in own)
        scaled = tuple(part * each for part, each in zip(vector, scales, strict=True))
        second = differentiate(first, own, scaled)
    return [
        tuple(part.detach() * each for part, each in zip(derivatives, scales, strict=True))
        for derivatives in (first, second)
    ]


def _agree(found: list[Tensors], expected: list[Tensors]) -> bool:
    """Return whether derivatives agree up to rounding, parameter by parameter."""
    for ours, theirs in zip(found, expected, strict=True):
        sizes = [float(tensor.norm()) for tensor in theirs]
        floor = SMALL_DERIVATIVE * max(sizes, default=0.0)
        for one, other, size in zip(ours, theirs, sizes, strict=True):
            if not float((one - other).norm()) <= SAME_DERIVATIVES * size + floor:
                return False
    return True
