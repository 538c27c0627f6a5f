"""Layers of any class: running statistics, filters, normalisation, shared weights.

Oracle: torch's own update_bn and a plain loop; a function that rescaled channels leave as it is;
the names of the parameters that a file moves.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from cases.network_files import CASES, IMAGES, NetworkFile, network_file
from cases.networks import layers
from torch import nn
from torch.nn import functional

EPS = 1e-5  # of torch's batch-norm

# Batch-norm measured again on the way to another solution.


def other_solution(case: NetworkFile) -> dict[str, torch.Tensor]:
    """Return a network whose weights differ, and whose statistics would be wrong half way."""
    network = case.after_steps()
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=draw))
        for name, tensor in network.named_buffers():
            if name.endswith("running_var"):
                tensor.mul_(4)
    return network.state_dict()


def measured(network: nn.Module, inputs: torch.Tensor, batch: int) -> nn.Module:
    """Measure running statistics as torch does, and evaluate."""
    torch.optim.swa_utils.update_bn(inputs.split(batch), network)
    return network.eval()


@pytest.mark.parametrize("name", ["plain", "synchronised", "norm_and_activation", "OneNorm"])
def test_statistics_are_measured_whatever_the_class(name, tmp_path):
    case = network_file(f"normalised:{name}", IMAGES, trained=True)
    first, second = case.state, other_solution(case)
    torch.save(second, tmp_path / "second.pt")
    line = (f"--to={tmp_path / 'second.pt'}", "--batch-norm=reestimate")
    case.surface(tmp_path / "line.h5", *line, plane=("--x=0:1:3",))
    inputs, targets = case.samples()
    twin = "plain" if name == "synchronised" else name  # its class refuses to train on a CPU
    expected = []
    for step in (0, 0.5, 1):
        network = network_file(f"normalised:{twin}").build()
        network.load_state_dict(
            {
                k: v + step * (second[k] - v) if v.is_floating_point() else v
                for k, v in first.items()
            }
        )
        with torch.no_grad():
            outputs = measured(network, inputs, 16)(inputs)
        expected.append(functional.cross_entropy(outputs, targets).item())
    with h5py.File(tmp_path / "line.h5") as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], expected, rtol=1e-4)


# Filters: rescaled output channels that are rescaled back behind leave the surface as it is.


def rescaled(state: dict[str, torch.Tensor], axis: int, groups: int) -> dict[str, torch.Tensor]:
    """Multiply output channels of the first layer; the batch-norm behind takes them back."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    factors = torch.tensor([1.0, 8.0, 0.25, 3.0]).repeat(8)[: len(state["1.running_mean"])]
    weight = state["0.weight"]
    if axis == 0:
        weight.mul_(factors.view(-1, *[1] * (weight.ndim - 1)))
    else:
        for part, own in zip(weight.chunk(groups), factors.chunk(groups), strict=True):
            part.mul_(own.view(1, -1, *[1] * (weight.ndim - 2)))
    state["0.bias"].mul_(factors)
    state["1.running_mean"].mul_(factors)
    variance = state["1.running_var"]
    variance.copy_((variance + EPS) * factors.square() - EPS)
    return state


@pytest.mark.parametrize("kind", layers.KINDS)
def test_rescaled_channels_leave_the_surface(kind, tmp_path):
    data, axis, groups = layers.KINDS[kind]
    case = network_file(f"layers:{kind}", f"samples:{data.__name__}", trained=True)
    case.surface(tmp_path / "one.h5")
    torch.save(rescaled(case.state, axis, groups), tmp_path / "rescaled.pt")
    case.surface(tmp_path / "two.h5", f"--checkpoint={tmp_path / 'rescaled.pt'}")
    with h5py.File(tmp_path / "one.h5") as one, h5py.File(tmp_path / "two.h5") as two:
        np.testing.assert_allclose(one["train_loss"], two["train_loss"], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "stays"),
    [
        ("channels", {"1.gain", "1.offset", "4.gain", "4.offset"}),
        ("lengths", {"1.g", "4.g"}),
        ("synchronised", {"1.weight", "4.weight"}),
        ("norm_and_activation", {"1.weight", "4.weight"}),
    ],
)
def test_normalisation_of_any_class_stays(name, stays, tmp_path):
    network_file(f"normalised:{name}", IMAGES).surface(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        moved = set(file["directions/alpha"])
    assert moved == {"0.weight", "3.weight", "8.weight"}
    assert not moved & stays


def test_copies_of_one_weight_are_named(tmp_path):
    ended = CASES["targets:copied"].surface(tmp_path / "x.h5")
    assert "some parameters have the same values but are separate" in ended.words
