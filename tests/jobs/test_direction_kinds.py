"""Directions of any kind along either axis.

Oracles: torch's own gradient of a plain loss in float64, the checkpoints, the draws of the
random directions by themselves, and numpy.
"""

import argparse

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.jobs.surface.direction_kinds import direction_kind
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

N_IMAGES = 120
PLANE = ("--x=-0.1:0.1:3", "--y=-0.1:0.1:3")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        network = build_network("feedforward4", sample=Sample("image", (1, 8, 8), 10))
        torch.save(network.state_dict(), folder / f"{name}.pt")
    return folder


def command(networks, out, *options):
    return [
        *("landscape_mpi.surface", "--model=feedforward4", "--data=digits"),
        *(f"--checkpoint={networks / 'one.pt'}", f"--out={out}", *options),
        *([] if "--splits=test" in options else [f"--limit={N_IMAGES}", "--subset=first"]),
    ]


def vectors(path):
    with h5py.File(path) as file:
        return [
            {name: values[...] for name, values in file[f"directions/{axis}"].items()}
            for axis in ("alpha", "beta")
        ]


def known(path, name):
    with h5py.File(path) as file:
        return file["directions"].attrs[name]


def exact_gradient(networks):
    """The mean loss as anyone would write it, in float64."""
    network = build_network("feedforward4", sample=Sample("image", (1, 8, 8), 10))
    network.load_state_dict(torch.load(networks / "one.pt", weights_only=True))
    network.double()
    data = load_dataset("digits")
    split = data.splits["train"].first(N_IMAGES)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2).double() / 255
    logits = network((images - data.mean[0]) / data.std[0])
    nn.functional.cross_entropy(logits, torch.from_numpy(split.targets)).backward()
    return {name: value.grad.numpy() for name, value in network.named_parameters()}


def weights(path):
    return {name: value.numpy() for name, value in torch.load(path, weights_only=True).items()}


def test_the_gradient_is_the_steepest_way_up(networks, tmp_path, alone):
    out = tmp_path / "gradient.h5"
    options = ("--x=-1e-3:1e-3:3", "--x-direction=gradient", "--normalize=none", "--ignore=none")
    alone(command(networks, out, *options), check=True)
    exact, (made, _) = exact_gradient(networks), vectors(out)
    for name, values in exact.items():
        np.testing.assert_allclose(made[name], values, rtol=1e-4, atol=1e-7)
    slope = sum(np.sum(values**2) for values in exact.values())
    with h5py.File(out) as file:
        loss = file["train_loss"][:, 0]
        assert (loss[2] - loss[0]) / 2e-3 == pytest.approx(slope, rel=1e-3)
        assert "test_loss" not in file


def test_a_gradient_has_the_norm_of_the_weights_and_a_resumed_run_takes_the_one_it_has(
    networks, tmp_path, on_ranks
):
    out = tmp_path / "gradient.h5"
    argv = command(networks, out, *PLANE, "--x-direction=gradient", "--seed=4")
    on_ranks(3, argv, check=True)
    made, drawn = vectors(out)
    center = weights(networks / "one.pt")
    for name, values in made.items():
        assert values.ndim > 1  # biases stay put
        norms, expected = (np.linalg.norm(v, axis=1) for v in (values, center[name]))
        moved = norms > 0  # units behind a rectifier that never opens have no gradient
        np.testing.assert_allclose(norms[moved], expected[moved], rtol=1e-5)
    expected = directions.random_direction(
        {name: center[name] for name in drawn},
        seed=4,
        axis="beta",
        normalize="filter",
        among=center,
    )
    assert all(np.array_equal(drawn[name], expected[name]) for name in expected)
    assert known(out, "source") == "gradient; random"
    resumed = on_ranks(1, argv, check=True)
    assert "all 9 points are done, nothing is left" in resumed.stdout
    other = on_ranks(1, [*argv, "--normalize=layer"])
    assert "normalization filter, but this run requests normalization layer" in other.stderr


def test_each_axis_moves_layers_of_its_own(networks, tmp_path, alone):
    out = tmp_path / "layers.h5"
    names = list(weights(networks / "one.pt"))
    first, last = names[0], [name for name in names if name.endswith("weight")][-1]
    layers = (f"--x-only={first}", f"--y-only={last}", "--save-directions")
    alone(command(networks, out, *PLANE, *layers), check=True)
    assert [list(found) for found in vectors(out)] == [[first], [last]]
    assert known(out, "source") == f"random, only {first}; random, only {last}"


def test_the_same_direction_twice_adds_up(networks, tmp_path, alone):
    out = tmp_path / "same.h5"
    options = ("--x-direction=random:7", "--y-direction=same", "--save-directions")
    alone(command(networks, out, *PLANE, *options), check=True)
    first, second = vectors(out)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert known(out, "cosine") == pytest.approx(1)
    with h5py.File(out) as file:
        loss = file["train_loss"][...]
    assert loss[0, 2] == pytest.approx(loss[1, 1], rel=1e-6)
    assert loss[2, 1] == loss[1, 2]


def test_a_file_and_a_checkpoint(networks, tmp_path, alone):
    """The second direction of a file lies along alpha, another solution at beta = 1."""
    first, out = tmp_path / "first.h5", tmp_path / "mixed.h5"
    alone(command(networks, first, *PLANE, "--save-directions"), check=True)
    kinds = (f"--x-direction=file:{first}:beta", f"--y-direction=to:{networks / 'two.pt'}")
    axes = ("--x=-0.1:0.1:3", "--y=0:1:2", "--save-directions")
    alone(command(networks, out, *axes, *kinds), check=True)
    made, stored = vectors(out), vectors(first)
    assert all(np.array_equal(made[0][name], stored[1][name]) for name in stored[1])
    one, two = weights(networks / "one.pt"), weights(networks / "two.pt")
    for name in one:  # equal tensors, such as biases before training, do not move
        np.testing.assert_allclose(made[1].get(name, 0), two[name] - one[name], atol=1e-7)
    with h5py.File(out) as file:
        assert file["marks/name"].asstr()[...].tolist() == ["one", "two"]
        assert file["marks/beta"][...].tolist() == [0, 1]


@pytest.mark.parametrize("normalize", ["dfilter", "dlayer"])
def test_a_norm_of_one(normalize):
    weights = {"w": np.full((3, 4, 2), 5, np.float32), "b": np.zeros(3, np.float32)}
    made = directions.random_direction(weights, seed=1, axis="alpha", normalize=normalize)
    filters = np.linalg.norm(made["w"].reshape(3, -1), axis=1)
    norm = np.linalg.norm(filters)
    assert (filters if normalize == "dfilter" else norm) == pytest.approx(1, rel=1e-6)
    assert np.linalg.norm(made["b"]) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    "text", ["", "randm", "random:", "random:x", "to:", "file:", "gradient:1", "hessian:0", "pca1"]
)
def test_words_that_are_no_kind(text):
    with pytest.raises(argparse.ArgumentTypeError):
        direction_kind(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--x=0:1:3", "--y-direction=random"], "--y-direction: applies to the direction of beta"),
        (["--x=0:1:3", "--y-only=a"], "--y-only: applies to the direction of beta"),
        (["--x=0:1:3", "--x-direction=same"], "--x-direction same: only --y-direction can"),
        (["--x=0:1:3", "--x-direction=what"], "'what' is not one of random, random:SEED, to:"),
        (
            ["--x=0:1:3", "--to={two}", "--x-direction=gradient"],
            "--x-direction: defines a direction of the plane, and so does --to {two}",
        ),
        (
            ["--x=0:1:3", "--directions={two}", "--x-only=a"],
            "--x-only: defines a direction of the plane, and so does --directions {two}",
        ),
        (
            ["--x=0:1:3", "--x-direction=to:{two}", "--seed=2"],
            "--seed: shapes directions that are random, but those of this plane are: to {two}",
        ),
        (
            ["--x=0:1:3", "--to={two}", "--normalize=layer"],
            "--normalize: shapes directions that are gradient or random, but those",
        ),
        (["--x=0:1:3", "--x-direction=file:none.h5"], "--x-direction: none.h5: does not exist"),
        (
            ["--x=0:1:3", "--x-direction=file:none.h5", "--x-only=a"],
            "--x-only: chooses the parameters of a direction that is made here, but the direction "
            "of alpha",
        ),
        (
            ["--x=0:1:3", "--x-direction=gradient", "--splits=test"],
            "--x-direction gradient: is the gradient of the training loss, but --splits test "
            "leaves",
        ),
        (
            [*PLANE, "--y-direction=same", "--orthogonal"],
            "--orthogonal: the two directions are parallel",
        ),
    ],
)
def test_bad_input(options, words, networks, tmp_path, alone):
    two, out = str(networks / "two.pt"), tmp_path / "bad.h5"
    done = alone(command(networks, out, *(word.format(two=two) for word in options)), cwd=tmp_path)
    assert done.returncode == 2
    assert words.format(two=two) in " ".join(done.stderr.split())
    assert not out.exists()
