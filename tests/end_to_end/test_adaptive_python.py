"""compute_surface with a tolerance, in this process.

Oracle: the same call without a tolerance, which computes every point.
"""

import numpy as np
import pytest
import torch
from torch import nn

import landscape_mpi as lm
from landscape_mpi.errors import InputError

GRID = {"x": (-1, 1, 33), "y": (-1, 1, 33), "progress": False}


def case():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    return network, (torch.randn(60, 5), torch.arange(60) % 3)


def test_computed_points_are_exact_and_the_others_within_their_errors():
    exact = lm.compute_surface(*case(), **GRID).values["train_loss"]
    found = lm.compute_surface(*case(), **GRID, adaptive=0.02, adaptive_unit="nat")
    losses, interpolated = found.values["train_loss"], found.interpolated
    assert found.done.all()
    assert 0.3 < interpolated.mean() < 0.9
    assert np.array_equal(losses[~interpolated], exact[~interpolated])
    errors = np.abs(losses - exact)[interpolated]
    assert (errors <= found.errors["train_loss"][interpolated]).mean() >= 0.95
    assert np.quantile(errors, 0.99) <= 0.02


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"adaptive": 0}, "adaptive is 0, but must be a finite number above 0"),
        ({"adaptive": 10**400}, "adaptive is 1000.*, but must be a finite number above 0"),
        ({"adaptive": "little"}, "adaptive is 'little', but must be a finite number above 0"),
        ({"adaptive": 0.1, "adaptive_unit": "bits"}, "adaptive_unit.*bits.*decades"),
        ({"adaptive_unit": "nat"}, "adaptive_unit nat: applies only to adaptive, which is not"),
    ],
)
def test_a_tolerance_that_is_none_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        lm.compute_surface(*case(), **GRID, **arguments)


def small_loss(network, batch):
    inputs, targets = batch
    return 1e-7 * (network(inputs).sum(dim=1) - targets) ** 2


def test_a_small_loss_without_a_unit_is_interpolated_on_its_own_scale():
    """All its values are far below 0.1, which losses in nat have added to them."""
    network, (inputs, targets) = case()
    arguments = network, [(inputs, targets)]
    exact = lm.compute_surface(*arguments, loss=small_loss, **GRID).values["train_loss"]
    found = lm.compute_surface(*arguments, loss=small_loss, **GRID, adaptive=0.03)
    losses, interpolated = found.values["train_loss"], found.interpolated
    assert exact.max() < 1e-4
    assert 0.3 < interpolated.mean() < 0.9
    offset = 10.0 ** np.floor(np.log10(np.median(exact) / 10))
    errors = np.abs(np.log10(losses + offset) - np.log10(exact + offset))[interpolated]
    assert np.quantile(errors, 0.99) <= 0.03
    beyond = np.abs(losses - exact) > found.errors["train_loss"]
    assert beyond[interpolated].mean() <= 0.05


@pytest.mark.parametrize(
    ("tolerances", "words"),
    [
        (
            {"rtol": 0.02, "atol": 0.1},
            "rtol 0.02 atol 0.1 cannot be .* a loss whose unit is not nat.*adaptive_unit='nat'",
        ),
        (
            {"rtol": 0.02, "atol": 0.1, "adaptive_unit": "nat"},
            "rtol=0 with atol 0.015 or less, or adaptive_unit decades without atol",
        ),
    ],
)
def test_an_error_in_the_unit_of_a_loss_has_no_known_size_in_decades(tolerances, words):
    network, (inputs, targets) = case()
    with pytest.raises(InputError, match=words):
        lm.compute_surface(
            network, [(inputs, targets)], loss=small_loss, **GRID, adaptive=0.03, **tolerances
        )
