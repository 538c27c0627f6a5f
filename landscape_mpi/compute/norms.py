"""Find layers that standardise their input, and their scale and shift parameters.

The layers of torch are recognised by their class, and batch-norm of any class by its running
statistics. Any other layer is tried: its input times 3 must give the same output, in evaluation
mode or in training mode. If it cannot be tried, its name decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map

from landscape_mpi.tensor_names import STATISTICS, is_statistic

NORM_LAYERS = (
    nn.modules.batchnorm._NormBase,  # batch-norm and instance-norm of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
FACTOR = 3.0  # factor on the input of a layer that is tried
ALIKE = 1e-3  # largest change of outputs by FACTOR, relative to the change by a different input
NUDGE = 1e-2  # relative change of the input; it moves most outputs of a standardising layer
LEAST_MOVED = 0.2  # least share of outputs that NUDGE moves; fewer move if a layer takes signs


def is_vector(values: torch.Tensor) -> bool:
    """Return whether at most one axis is longer than 1, as in [1, C, 1, 1]."""
    return sum(size > 1 for size in values.shape) <= 1


def class_of(layer: nn.Module) -> type:
    """Return the class of a layer; for TorchScript, the class before compilation."""
    if isinstance(layer, torch.jit.ScriptModule):
        found: type = getattr(nn, layer.original_name, type(layer))
        return found
    return type(layer)


def layer_name(layer: nn.Module) -> str:
    """Return the name of a layer's class as its author wrote it."""
    if isinstance(layer, torch.jit.ScriptModule):
        return str(layer.original_name)
    return type(layer).__name__.removeprefix("Parametrized")


def has_statistics(layer: nn.Module) -> bool:
    """Return whether a layer owns a running mean and variance, as batch-norm does.

    These are buffers, or parameters without a gradient in code that is older than buffers.
    """
    own = (*layer.named_buffers(recurse=False), *layer.named_parameters(recurse=False))
    return {name for name, _ in own} >= set(STATISTICS)


def statistics_parameters(network: nn.Module) -> set[str]:
    """Return the parameters that hold running statistics and so are not weights."""
    return {
        name
        for prefix, layer in network.named_modules()
        if has_statistics(layer)
        for name, _ in named_here(prefix, layer)
        if is_statistic(name)
    }


def norm_parameters(network: nn.Module, tried: Mapping[str, bool] | None = None) -> set[str]:
    """Return the parameters that are scale or shift of a normalisation.

    Args:
        network: Network that owns the parameters.
        tried: For parameters whose layer was tried: whether the layer standardises its input.

    Returns:
        All their names, including the second name of a shared parameter.
    """
    tried = tried or {}
    return {
        name
        for prefix, layer in network.named_modules()
        for name, values in named_here(prefix, layer)
        if tried.get(name, is_known_norm(layer) or _is_called_norm(layer, values))
    }


def named_here(prefix: str, layer: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that a layer owns directly, with their names in the network."""
    for name, values in layer.named_parameters(recurse=False):
        yield (f"{prefix}.{name}" if prefix else name), values


def is_known_norm(layer: nn.Module) -> bool:
    """Return whether a layer is known to normalise by its class or running statistics."""
    own = list(layer.parameters(recurse=False))
    of_torch = issubclass(class_of(layer), NORM_LAYERS)
    return of_torch or (has_statistics(layer) and all(map(is_vector, own)))


def _is_called_norm(layer: nn.Module, values: torch.Tensor) -> bool:
    return called_norm(layer) and is_vector(values)


def called_norm(layer: nn.Module) -> bool:
    """Return whether the name of a layer's class suggests that it normalises."""
    return "norm" in layer_name(layer).lower()


def may_be_norm(layer: nn.Module) -> bool:
    """Return whether a layer of unknown kind has only the parameters of a normalisation.

    These are one or two vectors that it owns. A normalisation has no matrices, and no inner layers
    with parameters.
    """
    own = list(layer.parameters(recurse=False))
    below = list(layer.parameters())
    return bool(own) and len(own) == len(below) <= 2 and all(map(is_vector, own))


def standardises(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | None:
    """Try whether a layer standardises its input; None if it cannot be tried.

    Args:
        layer: Layer that nothing else uses, because its parameters are replaced.
        args: Arguments with which the network calls it.
        kwargs: Keyword arguments of that call.
    """
    draw = torch.Generator().manual_seed(0)
    for values in layer.parameters():
        values.data.copy_(torch.rand(values.shape, generator=draw, dtype=torch.float32) + 0.5)
    try:
        return any(_standardises_in(layer, training, (args, kwargs), draw) for training in (0, 1))
    except Exception:  # the user's code, on made-up inputs
        return None


def _standardises_in(layer: nn.Module, training: int, inputs: Any, draw: torch.Generator) -> bool:
    """Try a layer in one mode; some layers derive the mode from whether gradients are computed."""
    layer.train(bool(training))
    with torch.set_grad_enabled(bool(training)):
        return _is_invariant(lambda x: layer(*x[0], **x[1]), inputs, draw)


def _is_invariant(call: Callable[[Any], Any], inputs: Any, draw: torch.Generator) -> bool:
    """Return whether outputs stay the same if inputs are multiplied, but not if inputs differ."""
    first, other, noise = (_redrawn(inputs, draw) for _ in range(3))
    before, multiplied, elsewhere, nudged = (
        call(values)
        for values in (
            first,
            _combined(first, first, FACTOR - 1),
            other,
            _combined(first, noise, NUDGE),
        )
    )
    size = (elsewhere - before).abs().max()
    moved = (nudged - before).abs() > 1e-6 * size
    alike = (multiplied - before).abs().max() <= ALIKE * size
    return bool(size > 0 and alike and moved.float().mean() > LEAST_MOVED)


def _redrawn(inputs: Any, draw: torch.Generator) -> Any:
    """Return inputs with floating-point tensors redrawn from a standard normal distribution."""

    def redrawn(x: Any) -> Any:
        return torch.randn(x.shape, generator=draw, dtype=x.dtype) if _is_float(x) else x

    return tree_map(redrawn, inputs)


def _combined(first: Any, second: Any, factor: float) -> Any:
    return tree_map(lambda x, y: x + factor * y if _is_float(x) else x, first, second)


def _is_float(values: object) -> bool:
    return isinstance(values, torch.Tensor) and values.is_floating_point()
