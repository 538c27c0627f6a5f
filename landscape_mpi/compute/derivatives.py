"""First and second derivatives by torch's autograd, in parameters that are named."""

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
    """Return the derivatives in the inputs of outputs . vectors; zero where there are none.

    Args:
        outputs: Some of which may have no derivatives.
        inputs: Leaves, or what outputs were made of.
        vectors: One for each output; None for outputs that are numbers.
        create_graph: Let the derivatives be differentiated again.
        retain_graph: Keep what a second call for the same outputs needs.
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
    """Return parameters of a network by their names, and let them be differentiated."""
    named = dict(network.named_parameters(remove_duplicate=False))  # get_parameter knows no scripts
    parameters = tuple(named[name] for name in names)
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


@contextmanager
def second_derivatives(network: nn.Module) -> Iterator[None]:
    """Let attention and recurrent layers compute by operations that can be differentiated twice.

    cuDNN has no second derivatives of recurrent layers; without it torch computes them step by
    step. This holds for the whole process: threads that chose it one by one would undo each other's
    choice.

    Args:
        network: To be differentiated.
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
