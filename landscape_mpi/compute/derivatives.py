"""Compute first and second derivatives in named parameters by torch's autograd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Tensors = tuple[torch.Tensor, ...]


def differentiate(
    outputs: Tensors,
    inputs: Tensors,
    vectors: Tensors | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = True,
) -> Tensors:
    """Return the derivatives of outputs . vectors in the inputs; zero if there are none.

    Args:
        outputs: Tensors to differentiate; some may have no derivatives.
        inputs: Leaves, or tensors that the outputs were computed from.
        vectors: One for each output; None for outputs that are numbers.
        create_graph: Let the derivatives be differentiated again.
        retain_graph: Keep the graph for a second call with the same outputs.
    """
    pairs = list(zip(outputs, vectors or (None,) * len(outputs), strict=True))
    used = [(output, vector) for output, vector in pairs if output.requires_grad]
    if not used:
        return tuple(torch.zeros_like(tensor) for tensor in inputs)
    return torch.autograd.grad(
        [output for output, _ in used],
        inputs,
        [vector for _, vector in used] if vectors else None,
        retain_graph=retain_graph,
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )


def parameters_of(network: nn.Module, names: Sequence[str]) -> Tensors:
    """Return the named parameters of a network, and let them require gradients."""
    named = dict(network.named_parameters(remove_duplicate=False))  # scripts lack get_parameter
    parameters = tuple(named[name] for name in names)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


@contextmanager
def second_derivatives(network: nn.Module) -> Iterator[None]:
    """Make attention and recurrent layers use operations that can be differentiated twice.

    cuDNN has no second derivatives of recurrent layers; without it torch computes them step by
    step. This applies to the whole process, because threads that each chose would undo each other's
    choice.

    Args:
        network: Network to differentiate.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.enabled
    is_recurrent = any(isinstance(module, nn.RNNBase) for module in network.modules())
    cudnn.enabled = before and not is_recurrent
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        cudnn.enabled = before
