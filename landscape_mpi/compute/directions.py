"""Directions through weight space, normalised as in the paper.

Directions are made from a seed alone, so that every rank builds the same ones: one stream
of numpy's Philox generator per seed, axis and parameter name, in float64. A direction
leaves out the parameters it does not move.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

Direction = dict[str, np.ndarray]  # parameter or buffer name -> float32, the shape of its tensor

NORMALIZATIONS = ("filter", "layer", "weight", "none")
IGNORABLE = ("bias", "bn")
NORM_LAYERS = (
    nn.modules.batchnorm._NormBase,  # batch-norm and instance-norm of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def moved_names(network: nn.Module, *, ignore: tuple[str, ...]) -> list[str]:
    """Return the names of the parameters a random direction moves.

    Args:
        network: Network whose parameters are looked at.
        ignore: Of ``bias`` (of every layer that is no normalisation) and ``bn`` (scale and
            shift of the normalisation layers).
    """
    names = []
    for prefix, module in network.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            kind = _kind(module, name)
            if kind not in ignore:
                names.append(f"{prefix}.{name}" if prefix else name)
    known = dict(network.named_parameters())  # a shared parameter has one name here
    return [name for name in names if name in known]


def _kind(module: nn.Module, name: str) -> str:
    if isinstance(module, NORM_LAYERS):
        return "bn"
    return "bias" if "bias" in name else "weight"  # bias_ih_l0, in_proj_bias


def random_direction(
    center: Mapping[str, np.ndarray], *, seed: int, axis: str, normalize: str
) -> Direction:
    """Return a Gaussian direction, normalised to the weights it moves.

    Args:
        center: The parameters to move, float32, by name.
        seed: Seed of the direction, at least 0.
        axis: ``alpha`` or ``beta``: another stream each.
        normalize: One of NORMALIZATIONS.

    Returns:
        float32 arrays with the names and shapes of center.

    Source: Li et al. 2018, arXiv:1712.09913, section 4.
    """
    direction = {}
    for name, weights in center.items():
        draw = _stream(seed, axis, name).standard_normal(weights.shape)
        direction[name] = normalized(draw, weights, normalize=normalize).astype(np.float32)
    return direction


def _stream(seed: int, axis: str, name: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}/{axis}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))


def normalized(draw: np.ndarray, weights: np.ndarray, *, normalize: str) -> np.ndarray:
    """Scale a draw to the weights it moves.

    ``filter`` gives each filter of the draw the norm of that filter of the weights: for
    convolution and linear weights a filter is the slice of one output channel. A vector
    (bias, scale, shift) has no filters: it is scaled as a whole, so that it stays random.
    ``layer`` scales each tensor as a whole, ``weight`` multiplies by the weights, ``none``
    leaves the draw alone. Where the weights are zero, so is the result.

    Args:
        draw: Draw, float64, any shape.
        weights: Weights at the center, the same shape.
        normalize: One of NORMALIZATIONS.

    Returns:
        Scaled draw, float64, the same shape.

    Source: Li et al. 2018, arXiv:1712.09913, section 4: d <- d / ||d|| ||theta||.
    """
    if normalize == "none":
        return draw
    exact = weights.astype(np.float64)
    if normalize == "weight":
        return draw * exact
    if normalize == "filter" and draw.ndim > 1:
        axes = tuple(range(1, draw.ndim))
    else:
        axes = tuple(range(draw.ndim))
    target = np.sqrt((exact**2).sum(axis=axes, keepdims=True))
    length = np.sqrt((draw**2).sum(axis=axes, keepdims=True))
    return draw * np.divide(target, length, out=np.zeros_like(target), where=length > 0)


def digest(*directions: Direction) -> str:
    """Return the SHA-256 of directions: names, shapes and bytes, in the order of names."""
    state = hashlib.sha256()
    for direction in directions:
        for name in sorted(direction):
            values = np.ascontiguousarray(direction[name])
            state.update(f"{name} {values.shape} {values.dtype.str};".encode())
            state.update(values.data)
        state.update(b"|")
    return state.hexdigest()


def norm(direction: Direction) -> float:
    """Return the Euclidean norm over all parameters, in float64."""
    return math.sqrt(_inner(direction, direction))


def cosine(first: Direction, second: Direction) -> float:
    """Return the cosine of the angle between two directions; NaN if one of them is zero."""
    lengths = norm(first) * norm(second)
    return _inner(first, second) / lengths if lengths > 0 else math.nan


def _inner(first: Direction, second: Direction) -> float:
    return math.fsum(
        float(np.vdot(first[name].astype(np.float64), second[name].astype(np.float64)))
        for name in first.keys() & second.keys()
    )


def tensors_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return the network's parameters and buffers as arrays, in the order of its state dict."""
    return {name: _array(tensor) for name, tensor in network.state_dict().items()}


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
