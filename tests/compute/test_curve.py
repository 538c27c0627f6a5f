"""Curves through weight space.

Oracles: de Casteljau's construction and numpy's interpolation, which know nothing of weighted
sums; the bits of the ends; central differences of the loss in float64.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.curve import (
    CurveNetwork,
    combine,
    path_lengths,
    straight_points,
    trained_parameters,
    weights_at,
)
from landscape_mpi.jobs.curve.request import MOST_BENDS


def de_casteljau(points, t):
    while len(points) > 1:
        points = [(1 - t) * a + t * b for a, b in itertools.pairwise(points)]
    return points[0]


def polygon(points, t):
    places = np.linspace(0, 1, len(points))
    return np.array([np.interp(t, places, column) for column in np.transpose(points)])


@pytest.mark.parametrize("n_points", [2, 3, 4, 7])
@pytest.mark.parametrize(("kind", "place"), [("bezier", de_casteljau), ("polygon", polygon)])
def test_weights_are_those_of_the_construction(kind, place, n_points):
    points = np.random.default_rng(n_points).normal(size=(n_points, 5))
    for t in (0.0, 0.01, 1 / 3, 0.5, 0.77, 1.0):
        weights = weights_at(kind, n_points, t)
        np.testing.assert_allclose(weights @ points, place(list(points), t), atol=1e-14)
        assert weights.min() >= 0
        assert abs(weights.sum() - 1) < 1e-15 * n_points


def test_the_most_points_that_are_allowed_have_weights():
    weights = weights_at("bezier", MOST_BENDS, 0.5)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1.0)


AWKWARD = np.array([-0.0, 1e-40, 3.4e38, -1 / 3, 0.0], np.float32)


@pytest.mark.parametrize("kind", ["bezier", "polygon"])
def test_the_ends_stay_bit_for_bit(kind):
    start, end = AWKWARD, -AWKWARD[::-1].copy()
    between = np.full((3, 5), 3e38, np.float32)
    points = torch.from_numpy(np.stack([start, *between, end]))
    for t, expected in ((0.0, start), (1.0, end)):
        found = combine(points, weights_at(kind, 5, t).tolist(), torch.empty(5))
        assert found.numpy().tobytes() == expected.tobytes()


def test_points_on_the_straight_line_keep_the_ends_and_count_as_the_nearer_one():
    start = {"w": AWKWARD, "running_var": np.full(2, 1.0, np.float32), "n": np.array(10)}
    end = {"w": -AWKWARD[::-1].copy(), "running_var": np.full(2, 3.0, np.float32), "n": np.array(7)}
    points = straight_points(start, end, 5)
    for point, expected in ((points[0], start), (points[-1], end)):
        assert all(point[name].tobytes() == expected[name].tobytes() for name in expected)
    assert [float(point["running_var"][0]) for point in points] == [1, 1.5, 2, 2.5, 3]
    assert [int(point["n"]) for point in points] == [10, 10, 10, 7, 7]


class Small(nn.Module):
    """Frozen and trained parameters, a shared one, and no float32."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.tensor(0.7), requires_grad=False)
        self.second = nn.Linear(4, 4)
        self.third = nn.Linear(4, 4)
        self.third.weight = self.second.weight
        self.double()

    def forward(self, inputs):
        hidden = torch.tanh(self.first(inputs))
        return self.third(torch.tanh(self.scale * self.second(hidden)))


def small_curve(kind, n_points, *, free_ends):
    torch.manual_seed(3)
    network = Small()
    points = [
        {name: torch.randn_like(p).numpy() for name, p in trained_parameters(network).items()}
        for _ in range(n_points)
    ]
    return CurveNetwork(network, points, kind=kind, free_ends=free_ends)


@pytest.mark.parametrize(
    ("kind", "n_points", "free_ends"),
    [("bezier", 3, False), ("bezier", 4, True), ("polygon", 3, False), ("polygon", 5, True)],
)
def test_gradients_of_the_bends_are_those_of_finite_differences(kind, n_points, free_ends):
    curve = small_curve(kind, n_points, free_ends=free_ends)
    inputs = torch.randn(6, 3, dtype=torch.float64)
    targets = torch.randint(4, (6,))

    def loss_at(t):
        losses = nn.functional.cross_entropy(curve.at(t, inputs), targets)
        return losses + 0.01 / 2 * curve.square_norm

    for t in (0.2, 0.5, 0.81):
        (gradient,) = torch.autograd.grad(loss_at(t), curve.free)
        places = torch.randint(curve.free.numel(), (25,)).tolist()
        step = 1e-5
        flat = curve.free.data.view(-1)
        for place in places:
            flat[place] += step
            above = loss_at(t)
            flat[place] -= 2 * step
            below = loss_at(t)
            flat[place] += step
            expected = (above - below).item() / (2 * step)
            assert float(gradient.view(-1)[place]) == pytest.approx(expected, abs=1e-9)


def test_fixed_ends_are_not_among_the_parameters_that_are_trained():
    curve = small_curve("bezier", 4, free_ends=False)
    trained = [name for name, p in curve.named_parameters() if p.requires_grad]
    assert trained == ["free"]
    assert curve.free.shape == (2, 3 * 4 + 4 + 4 * 4 + 4 + 4)
    assert small_curve("bezier", 4, free_ends=True).free.shape[0] == 4


def test_points_come_back_in_the_order_of_the_curve_and_by_name():
    torch.manual_seed(3)
    network = Small()
    points = [
        {name: torch.randn_like(p).numpy() for name, p in trained_parameters(network).items()}
        for _ in range(4)
    ]
    assert set(points[0]) == {
        f"{a}.{b}" for a in ("first", "second") for b in ("weight", "bias")
    } | {"third.bias"}
    found = CurveNetwork(network, points, kind="bezier").named_points()
    for expected, point in zip(points, found, strict=True):
        assert all(np.array_equal(point[name].numpy(), expected[name]) for name in expected)
        assert torch.equal(point["third.weight"], point["second.weight"])  # one parameter


def test_at_an_end_the_curve_is_the_network_itself():
    curve = small_curve("polygon", 5, free_ends=False)
    inputs = torch.randn(6, 3, dtype=torch.float64)
    plain = Small()
    for t, point in ((0.0, 0), (0.25, 1), (1.0, 4)):
        plain.load_state_dict(plain.state_dict() | curve.named_points()[point])
        torch.testing.assert_close(curve.at(t, inputs), plain(inputs), rtol=0, atol=1e-15)


def test_every_pass_in_training_has_a_place_of_its_own():
    curve = small_curve("bezier", 3, free_ends=False)
    inputs = torch.zeros(1, 3, dtype=torch.float64)
    torch.manual_seed(0)
    places = []
    for _ in range(400):
        curve.train()(inputs)
        places.append(curve.t)
    # Of a uniform distribution: within four standard deviations.
    assert abs(np.mean(places) - 1 / 2) < 4 * np.sqrt(1 / 12 / 400)
    assert abs(np.var(places) - 1 / 12) < 4 * np.sqrt(1 / 180 / 400)
    curve.eval()(inputs)
    assert curve.t == places[-1]


def test_lengths_are_sums_of_distances_between_places():
    random = np.random.default_rng(1)
    points = [{"a": random.normal(size=(2, 3)).astype("f4"), "b": np.ones(2)} for _ in range(4)]
    places = np.linspace(0, 1, 9)
    found = path_lengths(points, ["a"], "bezier", places)
    flat = [point["a"].astype(float).ravel() for point in points]
    along = [
        np.stack([de_casteljau(flat, t) for t in places]),
        np.stack([de_casteljau([flat[0], flat[-1]], t) for t in places]),
    ]
    for path, expected in enumerate(along):
        steps = np.linalg.norm(np.diff(expected, axis=0), axis=1)
        np.testing.assert_allclose(found[:, path], [0, *np.cumsum(steps)], rtol=1e-12)
    assert found[-1, 0] > found[-1, 1]
