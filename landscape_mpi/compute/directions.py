"""Make directions through weight space, normalised as in the paper.

Directions depend on a seed alone, so every rank builds the same ones: there is one stream of
numpy's Philox generator per seed, axis and parameter name, in float64. A prefix that all parameter
names of the network share, and the words that wrappers insert, do not count, so a network inside
another module has the same directions. A direction omits the parameters that it does not move.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np
from torch import nn

from landscape_mpi.compute.filters import Filters, filters_like
from landscape_mpi.compute.normalizations.normalization import find_normalization
from landscape_mpi.compute.ties import tied_names
from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.tensor_names import inner_names, renamed_like

Direction = dict[str, np.ndarray]  # by parameter or buffer name: float32, shaped as its tensor


def random_direction(
    center: Mapping[str, np.ndarray],
    *,
    seed: int,
    axis: str,
    normalize: str,
    filters: Mapping[str, Filters] | None = None,
    among: Iterable[str] = (),
) -> Direction:
    """Return a Gaussian direction, normalised to the weights it moves.

    Args:
        center: The parameters to move, float32, by name.
        seed: Seed of the direction, at least 0.
        axis: ``alpha`` or ``beta``; each has its own stream.
        normalize: One of registry.NORMALIZATIONS.
        filters: Filters of parameters by name; the filters of any other parameter lie along its
            first axis.
        among: Names of all parameters of the network, including fixed ones. They determine the
            prefix that all share. Empty to keep every name whole.

    Returns:
        float32 arrays with the names and shapes of center.

    Raises:
        InputError: If the weights of a parameter are too large for a direction in float32.

    Source: Li et al. 2018, arXiv:1712.09913, section 4.
    """
    direction, known = {}, filters or {}
    inner = inner_names([*among])
    for name, weights in center.items():
        draw = _stream(seed, axis, inner.get(name, name)).standard_normal(weights.shape)
        scaled = normalized(draw, weights, normalize=normalize, filters=known.get(name))
        direction[name] = _in_float32(scaled, name)
    return direction


def _in_float32(direction: np.ndarray, name: str) -> np.ndarray:
    """Return the direction of a parameter as float32.

    Raises:
        InputError: If it has entries that are too large for this type.
    """
    largest = float(np.abs(direction).max(initial=0.0))
    if largest > np.finfo(np.float32).max:
        raise InputError(
            f"the network: the direction of {name} has entries of {largest:.3g}, because its "
            "weights are so large, but directions are float32, which ends at 3.4e38. Scale these "
            "weights down."
        )
    return direction.astype(np.float32)


def _stream(seed: int, axis: str, name: str) -> np.random.Generator:
    key = hashlib.sha256(f"{seed}/{axis}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "big")))


def normalized(
    draw: np.ndarray, weights: np.ndarray, *, normalize: str, filters: Filters | None = None
) -> np.ndarray:
    """Scale a random draw to the weights that it moves.

    Args:
        draw: Random draw, float64, any shape.
        weights: Weights at the center, the same shape.
        normalize: One of registry.NORMALIZATIONS.
        filters: The filters; None for filters along the first axis and vectors as a whole.

    Returns:
        Scaled draw, float64, the same shape.
    """
    found = filters_like(weights) if filters is None else filters
    return find_normalization(normalize).scale(draw, weights.astype(np.float64), found)


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


def n_moved(*directions: Direction) -> int:
    """Return how many weights the directions move in total."""
    sizes = {name: v.size for direction in directions for name, v in direction.items()}
    return sum(sizes.values())


def norm(direction: Direction) -> float:
    """Return the Euclidean norm over all parameters, in float64."""
    return math.sqrt(inner(direction, direction))


def cosine(first: Direction, second: Direction) -> float:
    """Return the cosine of the angle between two directions; NaN if one of them is zero."""
    lengths = norm(first) * norm(second)
    return inner(first, second) / lengths if lengths > 0 else math.nan


def random_cosine(first: Direction, second: Direction) -> float:
    """Return the mean size of the cosine if all signs of two directions were random.

    Filter normalisation gives some entries more weight than others, and so a larger cosine. With
    equal entries it is sqrt(2 / (pi n)) for n weights (Li et al. 2018, arXiv:1712.09913, section
    7.1).

    Returns:
        Mean of the absolute value for many entries; NaN if one of the directions is zero.
    """
    lengths = norm(first) * norm(second)
    products = {
        name: first[name].astype(np.float64) * second[name] for name in first if name in second
    }
    return math.sqrt(2 / math.pi) * norm(products) / lengths if lengths > 0 else math.nan


def inner(first: Direction, second: Direction) -> float:
    """Return the inner product over the parameters that both have, in float64.

    Unlike numpy's dot product, its sum has the same bits on any number of threads.
    """
    return math.fsum(
        float(np.sum(first[name].astype(np.float64) * second[name].astype(np.float64)))
        for name in first.keys() & second.keys()
    )


def matched_direction(
    stored: Mapping[str, np.ndarray] | list[np.ndarray],
    network: nn.Module,
    *,
    where: str,
) -> Direction:
    """Match a direction from a file to this network.

    Args:
        stored: Tensors by name, or a list in the order of the network's parameters or of its state
            dict, as in the reference implementation. The names may be those of this network inside
            another module, or of a network inside this one.
        network: The network to move.
        where: File and axis, for the message.

    Returns:
        float32 arrays by name, without integer buffers (counters) and without zero tensors.

    Raises:
        InputError: If names, numbers, shapes or values do not fit the network.
    """
    state = network.state_dict()
    if isinstance(stored, list):
        stored = _named(stored, network, where)
    names = renamed_like(stored, state)
    stored = {names[name]: values for name, values in stored.items()}
    if any(name in state for name in stored):
        # A plane may hold other tensors, such as the weights of a loss, if it does not move them.
        stored = {name: v for name, v in stored.items() if name in state or v.any()}
    unknown = [name for name in stored if name not in state]
    if unknown:
        near = nearest_name(unknown[0], state)
        raise InputError(
            f"{where}: moves {unknown[0]}, which this network does not "
            f"have{f' (it has {near})' if near else ''}. The directions belong to another "
            "network. Pass the file that was made for this one."
        )
    direction = {}
    for name, values in stored.items():
        if tuple(values.shape) != tuple(state[name].shape):
            raise InputError(
                f"{where}: {name} has shape {tuple(values.shape)}, but in this network it has "
                f"{tuple(state[name].shape)}. The directions belong to another network. Pass the "
                "file that was made for this one."
            )
        if not np.isfinite(values).all():
            raise InputError(
                f"{where}: {name} holds values that are not finite. A direction needs finite "
                "numbers. Pass another file."
            )
        if state[name].is_floating_point() and values.any():
            direction[name] = np.asarray(values, np.float32)
    return _without_ties(direction, network, where)


def _without_ties(direction: Direction, network: nn.Module, where: str) -> Direction:
    """Return a direction that moves a tensor with several names only once.

    Raises:
        InputError: If the file moves the tensor differently under two of its names.
    """
    tied = tied_names(network)
    for name in [name for name in direction if tied.get(name) in direction]:
        values, first = direction.pop(name), direction[tied[name]]
        views = (values, values.T)  # one tensor may be the transpose of the other
        if not any(np.array_equal(view.ravel(), first.ravel()) for view in views):
            raise InputError(
                f"{where}: moves {tied[name]} and {name} differently, but in this network they "
                "are the same weight. The directions belong to another network. Pass the file "
                "that was made for this one."
            )
    return direction


def _named(stored: list[np.ndarray], network: nn.Module, where: str) -> dict[str, np.ndarray]:
    for names in (dict(network.named_parameters()), network.state_dict()):
        if len(names) == len(stored):
            return dict(zip(names, stored, strict=True))
    raise InputError(
        f"{where}: holds {len(stored)} tensors, but this network has "
        f"{len(dict(network.named_parameters()))} parameters, {len(network.state_dict())} with "
        "its buffers. The directions belong to another network. Pass the file that was made for "
        "this one."
    )


def check_variances(
    state: Mapping[str, np.ndarray],
    directions: Mapping[str, Direction],
    corners: list[tuple[float, float]],
) -> None:
    """Check that no running variance becomes negative on the plane.

    Args:
        state: Parameters and buffers at the center, by name.
        directions: Directions ``alpha`` and ``beta``.
        corners: Corners of the plane (alpha, beta), where a linear function has its minimum.

    Raises:
        InputError: If one does; the message names the buffer and the point where it reaches zero.
    """
    for name, center in state.items():
        if not name.endswith("running_var"):
            continue
        along = [directions[axis].get(name, np.float32(0)) for axis in ("alpha", "beta")]
        for alpha, beta in corners:
            change = np.asarray(alpha * along[0] + beta * along[1])
            if (center + change).min() < 0:
                falling = change < 0
                share = float((center[falling] / -change[falling]).min())
                raise InputError(
                    f"{name}: on the way from the center to the corner alpha = {alpha:g}, beta = "
                    f"{beta:g} this running variance reaches 0 at alpha = {share * alpha:.3g}, "
                    f"beta = {share * beta:.3g}, and is negative beyond. Use a smaller plane, "
                    "measure the statistics at each point (--batch-norm reestimate), or keep them "
                    "fixed (--batch-norm fixed)."
                )
