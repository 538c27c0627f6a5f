"""Oracle: the paper's formulas written as loops over single filters, in plain Python floats."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.errors import InputError


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)
    )


@pytest.fixture
def center(network):
    return {name: value.detach().numpy() for name, value in network.named_parameters()}


def random(center, *, seed=1, axis="alpha", normalize="filter"):
    return directions.random_direction(center, seed=seed, axis=axis, normalize=normalize)


def length(values):
    return math.sqrt(math.fsum(float(value) ** 2 for value in np.ravel(values)))


def test_each_filter_gets_the_norm_of_its_weights(center):
    made = random(center)
    for name in ("0.weight", "4.weight"):
        for drawn, weights in zip(made[name], center[name], strict=True):
            assert length(drawn) == pytest.approx(length(weights), rel=1e-6)


def test_layer_scales_the_whole_tensor_by_one_number(center):
    made, raw = random(center, normalize="layer"), random(center, normalize="none")
    for name, weights in center.items():
        assert length(made[name]) == pytest.approx(length(weights), rel=1e-6)
        if length(weights):
            np.testing.assert_allclose(
                made[name] * length(raw[name]), raw[name] * length(weights), rtol=1e-5
            )


def test_weight_multiplies_entry_by_entry(center):
    made, raw = random(center, normalize="weight"), random(center, normalize="none")
    np.testing.assert_allclose(made["4.weight"], raw["4.weight"] * center["4.weight"], rtol=1e-6)


def test_none_is_a_standard_normal_draw():
    made = random({"w": np.zeros((200, 300), np.float32)}, normalize="none")["w"]
    assert abs(made.mean()) < 0.02
    assert made.std() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("normalize", ["filter", "layer", "weight", "none"])
def test_vectors_are_random_and_no_copy_of_the_weights(center, normalize):
    along_alpha = random(center, normalize=normalize)
    along_beta = random(center, axis="beta", normalize=normalize)
    for name in ("0.bias", "1.weight", "4.bias"):
        assert not np.allclose(along_alpha[name], along_beta[name])
        assert not np.allclose(along_alpha[name], center[name])
        assert not np.allclose(np.abs(along_alpha[name]), np.abs(center[name]))


def test_a_zero_filter_stays_where_it_is():
    weights = np.ones((2, 5), np.float32)
    weights[0] = 0
    made = random({"w": weights})["w"]
    assert not made[0].any()
    assert length(made[1]) == pytest.approx(math.sqrt(5), rel=1e-6)


def test_seed_axis_and_name_each_give_another_stream(center):
    first = random(center)["4.weight"]
    assert not np.allclose(first, random(center, seed=2)["4.weight"])
    assert not np.allclose(first, random(center, axis="beta")["4.weight"])
    assert abs(directions.cosine(random(center), random(center, axis="beta"))) < 0.3


def test_a_parameter_keeps_its_draw_whatever_else_moves(center):
    alone = random({"4.weight": center["4.weight"]})
    np.testing.assert_array_equal(alone["4.weight"], random(center)["4.weight"])


def test_digest_sees_values_names_and_shapes(center):
    made = random(center)
    changed = {name: values.copy() for name, values in made.items()}
    changed["4.bias"][0] = np.nextafter(changed["4.bias"][0], np.float32(9))
    reshaped = {**made, "4.weight": made["4.weight"].reshape(12, 4)}
    every = {
        directions.digest(made, made),
        directions.digest(made),
        directions.digest(changed),
        directions.digest(reshaped),
        directions.digest({}, made),
    }
    assert len(every) == 5
    assert directions.digest(made) == directions.digest(random(center))


def test_the_digest_of_a_seed_is_fixed():
    """A change here makes every surface file begun before refuse to resume."""
    made = random({"w": np.arange(6, dtype=np.float32).reshape(2, 3)}, seed=3)
    drawn = [[-1.7827374, -0.32616484, -1.3097571], [-2.7218487, 0.7184048, -6.486558]]
    np.testing.assert_allclose(made["w"], drawn, rtol=1e-6)


def test_norm_and_cosine():
    first = {"a": np.array([3.0, 0.0], np.float32), "b": np.array([4.0], np.float32)}
    second = {"a": np.array([0.0, 1.0], np.float32)}
    assert directions.norm(first) == 5
    assert directions.cosine(first, first) == pytest.approx(1)
    assert directions.cosine(first, second) == 0
    assert math.isnan(directions.cosine(first, {}))


@pytest.mark.parametrize("normalize", ["none", "filter"])
def test_how_large_the_cosine_of_random_directions_is(normalize):
    """Oracle: the mean over 400 pairs of directions, for filters of unequal norms and sizes."""
    generator = np.random.default_rng(0)
    sizes = {"first": (16, 9, 5.0), "last": (10, 64, 1.0)}
    center = {
        name: (size * generator.standard_normal((n, k))).astype(np.float32)
        for name, (n, k, size) in sizes.items()
    }
    pairs = [
        [random(center, seed=seed, axis=axis, normalize=normalize) for axis in ("alpha", "beta")]
        for seed in range(400)
    ]
    mean = np.mean([abs(directions.cosine(*pair)) for pair in pairs])
    told = [directions.random_cosine(*pair) for pair in pairs[:5]]
    assert told == pytest.approx([mean] * 5, rel=0.15)
    if normalize == "filter":  # more than the paper's value for directions that are not normalised
        assert mean > 1.5 * np.sqrt(2 / (np.pi * (16 * 9 + 10 * 64)))
    assert math.isnan(directions.random_cosine(pairs[0][0], {}))


def test_a_network_inside_others_has_the_same_direction(network):
    def drawn(outer):
        state = {name: value.detach().numpy() for name, value in outer.named_parameters()}
        moved = {name: values for name, values in state.items() if values.ndim > 1}
        made = directions.random_direction(
            moved, seed=1, axis="alpha", normalize="filter", among=state
        )
        return list(made.values())

    bare = drawn(network)
    network[0] = torch.compile(network[0])
    wrapped = drawn(nn.ModuleDict({"model": nn.DataParallel(network)}))
    for ours, theirs in zip(bare, wrapped, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_stored_direction_fits_the_network_inside_another(network, center):
    stored = {f"model.{name}": values for name, values in random(center).items()}
    stored["criterion.weight"] = np.zeros(3, np.float32)
    found = directions.matched_direction(stored, network, where="plane.h5: alpha")
    for name, values in found.items():
        np.testing.assert_array_equal(values, stored[f"model.{name}"])
    assert set(found) == {name for name, values in random(center).items() if values.any()}
    inside = nn.ModuleDict({"net": network})
    back = directions.matched_direction(random(center), inside, where="plane.h5: alpha")
    assert set(back) == {f"net.{name}" for name in found}
    stored["criterion.weight"] += 1
    with pytest.raises(InputError, match=r"alpha: moves criterion.weight, which this network does"):
        directions.matched_direction(stored, network, where="plane.h5: alpha")
