"""The plain loop that surfaces are compared with: torch alone, and the file as h5py reads it.

For every point of a surface file the network is built by the user's function, takes its weights by
load_state_dict in training mode, has its tensors moved by the vectors that the file keeps, loads
what it is then, and is called in evaluation mode on all samples at once. Nothing here imports the
package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn

WRAPPERS = ("module", "_orig_mod")  # of DataParallel and AveragedModel, and of torch.compile
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of samples, or their mean
Plane = list[tuple[np.ndarray, dict[str, torch.Tensor]]]  # per axis: steps, and what moves by them


def plain_losses(
    path: Path,
    build: Callable[[], nn.Module],
    samples: tuple[torch.Tensor, torch.Tensor],
    loss: Loss = nn.functional.cross_entropy,
    *,
    state: Mapping[str, object] | None = None,
) -> np.ndarray:
    """Return the loss at every point of a file written with --save-directions.

    Args:
        path: The file, of which the grid and the vectors are read.
        build: The user's function.
        samples: Inputs and targets of the split.
        loss: Of outputs and targets.
        state: What was given as a checkpoint; None where the network's own weights count.

    Returns:
        Losses, float64 [n_alpha, n_beta].
    """
    plane = read_plane(path)
    losses = np.empty([len(steps) for steps, _ in plane])
    for place in np.ndindex(losses.shape):
        network = built(build, samples[0], state)
        move_to(network, place, plane)
        network.load_state_dict(network.state_dict())  # hooks may compute something from weights
        losses[place] = mean_loss(network.eval(), samples, loss)
    return losses


def read_plane(path: Path) -> Plane:
    """Return the grid of a file and the vectors of its directions, alpha's first."""
    with h5py.File(path) as file:
        return [
            (
                file[axis][()],
                {name: torch.tensor(values[()]) for name, values in flat(file["directions"][axis])},
            )
            for axis in ("alpha", "beta")
        ]


def move_to(network: nn.Module, place: tuple[int, ...], plane: Plane) -> None:
    """Move a network from the center to a place of the grid: + alpha d + beta e."""
    for number, (steps, vector) in zip(place, plane, strict=True):
        move(network, float(steps[number]), vector)


def flat(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the vectors of a direction by the names of what they move."""
    for name, found in group.items():
        if isinstance(found, h5py.Group):
            yield from ((f"{name}/{rest}", dataset) for rest, dataset in flat(found))
        else:
            yield name, found


def built(
    build: Callable[[], nn.Module], inputs: torch.Tensor, state: Mapping[str, object] | None
) -> nn.Module:
    """Return the network with its weights, in training mode."""
    network = build()
    if state is not None:
        network.train().load_state_dict(state)
    elif any(isinstance(p, nn.parameter.UninitializedParameter) for p in network.parameters()):
        network.eval()(inputs.clone())
    return network.train()


@torch.no_grad()
def move(network: nn.Module, step: float, vector: Mapping[str, torch.Tensor]) -> None:
    """Add a multiple of a direction to a network's tensors, in place."""
    tensors = dict(network.named_buffers()) | dict(network.named_parameters(remove_duplicate=False))
    inner = {without_wrappers(name): tensor for name, tensor in tensors.items()}
    for name, change in vector.items():
        tensor = tensors[name] if name in tensors else inner[name]
        tensor.add_(step * change.to(tensor.dtype))


def without_wrappers(name: str) -> str:
    """Return a name without what torch's wrappers put into it."""
    return ".".join(word for word in name.split(".") if word not in WRAPPERS)


def mean_loss(network: nn.Module, samples: tuple[torch.Tensor, torch.Tensor], loss: Loss) -> float:
    """Return the mean loss of all samples, taken through the network at once."""
    inputs, targets = samples
    outputs = network(inputs.clone())
    return float(loss(outputs.detach(), targets).double().mean())
