"""Match weights: permute one solution's units to be most like another solution's.

Source: Ainsworth, Hayase and Srinivasa 2022, arXiv:2209.04836, algorithm 1: find the order with the
largest sum of products of the weights, one layer after the other by linear assignment, until no
layer gains. It starts once from the given order, and once from an order found layer by layer from
the incoming weights of the units alone; this second start recovers a network whose units were
merely permuted. The better result counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.tensors import fill_network
from landscape_mpi.compute.units import Place, Units
from landscape_mpi.tensor_names import is_statistic

State = Mapping[str, np.ndarray]
MOST_SWEEPS = 100
LEAST_GAIN = 1e-12  # relative to the sum of products, so that rounding does not count as a gain


def align(
    reference: State, other: State, units: Sequence[Units], *, seed: int
) -> dict[str, np.ndarray]:
    """Permute the other solution, without changing its function, to be most like the reference.

    Args:
        reference: Parameters and buffers by name.
        other: The same for the other solution; it stays unchanged.
        units: Units that may change places.
        seed: Seed of the order in which layers are visited.

    Returns:
        Arrays by name; arrays without units are not copied.
    """
    ends = []
    for forward in (False, True):
        state = dict(other)
        if forward:
            for one in units:
                _improve(reference, state, one, by=one.made_by)
        _settle(reference, state, units, np.random.default_rng(seed))
        ends.append(state)
    return max(ends, key=lambda state: likeness(reference, state))


def likeness(one: State, other: State) -> float:
    """Return the sum of products of all weights without running statistics, in float64."""
    return sum(
        float(np.vdot(values.astype(np.float64), other[name].astype(np.float64)))
        for name, values in one.items()
        if not is_statistic(name) and values.dtype.kind == "f"
    )


@torch.inference_mode()
def deviation(network: nn.Module, one: State, other: State, inputs: torch.Tensor) -> float:
    """Return the largest difference of two solutions' outputs, relative to the first's largest.

    Args:
        network: Network of their architecture, in evaluation mode, on the CPU; its weights are
            replaced.
        one: All parameters and buffers of the first solution, by name.
        other: The same for the other solution.
        inputs: A few samples as the network sees them.

    Returns:
        The largest difference; infinite if only one of the two is finite somewhere.
    """
    outputs = []
    for state in (one, other):
        fill_network(network, state)
        network.eval()
        outputs.append(network(inputs).double().numpy())
    before, after = outputs
    finite = np.isfinite(before)
    if not np.array_equal(finite, np.isfinite(after)):
        return np.inf
    scale = np.abs(before[finite]).max(initial=0.0)
    apart = np.abs(after[finite] - before[finite]).max(initial=0.0)
    return float(apart / scale) if scale else float(apart)


def permuted(values: np.ndarray, axis: int, order: np.ndarray) -> np.ndarray:
    """Return an array whose unit i along an axis is unit order[i] of the given array.

    Args:
        values: Array whose axis is as long as the units or a multiple: each unit is a block.
        axis: Axis along which the units lie.
        order: Order of the units, int64 [n_units].
    """
    blocks = _blocks(values, axis, len(order))
    return np.moveaxis(blocks[order].reshape(_front(values, axis)), 0, axis)


def _front(values: np.ndarray, axis: int) -> tuple[int, ...]:
    return np.moveaxis(values, axis, 0).shape


def _blocks(values: np.ndarray, axis: int, n: int) -> np.ndarray:
    """Return the entries of each unit as a row, [n, n_entries]."""
    return np.moveaxis(values, axis, 0).reshape(n, -1)


def _settle(
    reference: State,
    state: dict[str, np.ndarray],
    units: Sequence[Units],
    draw: np.random.Generator,
) -> None:
    """Improve the order of one layer after the other until no layer can be improved."""
    for _ in range(MOST_SWEEPS):
        gained = [
            _improve(reference, state, units[i], by=units[i].places)
            for i in draw.permutation(len(units))
        ]
        if not any(gained):
            return


def _improve(
    reference: State, state: dict[str, np.ndarray], units: Units, *, by: Sequence[Place]
) -> bool:
    """Put units into the order most like the reference's while all others stay.

    Args:
        reference: Parameters and buffers of the reference.
        state: Parameters and buffers to permute; changed in place if that is a gain.
        units: Units that may change places.
        by: Places of the units that are compared.
    """
    from scipy.optimize import linear_sum_assignment  # slow to import, rarely needed

    gain = np.zeros((units.n, units.n))
    for place in by:
        if not is_statistic(place.name):
            rows, columns = (
                _blocks(arrays[place.name], place.axis, units.n).astype(np.float64)
                for arrays in (reference, state)
            )
            gain += (torch.from_numpy(rows) @ torch.from_numpy(columns).T).numpy()
    order = linear_sum_assignment(gain, maximize=True)[1]
    more = gain[np.arange(units.n), order].sum() - np.trace(gain)
    if more <= LEAST_GAIN * np.abs(gain).sum():
        return False
    for place in units.places:
        state[place.name] = permuted(state[place.name], place.axis, order)
    return True
