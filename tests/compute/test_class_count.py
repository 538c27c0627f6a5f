"""Oracle: losses written down with known numbers of classes, and h5py on the file."""

import math

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape_mpi as lm
from landscape_mpi.compute.class_count import CrossEntropyWatch
from landscape_mpi.problem import Problem
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.default_scale import default_scale

torch.manual_seed(0)
INPUTS, TARGETS = torch.randn(12, 4), torch.randint(0, 3, (12,))
MASKED = torch.where(torch.arange(12) < 3, -100, TARGETS)
NETWORK = nn.Linear(4, 3)


def each(network, batch):
    return functional.cross_entropy(network(batch[0]), batch[1], reduction="none")


def of_module(network, batch):
    return nn.CrossEntropyLoss()(network(batch[0]), batch[1]) * len(batch[1]), len(batch[1])


def with_mask(network, batch):
    mean = functional.cross_entropy(network(batch[0]), MASKED)
    return mean * 9, 9


def by_hand(network, batch):
    return functional.nll_loss(network(batch[0]).log_softmax(1), batch[1], reduction="none")


def of_pixels(network, batch):
    logits = network(batch[0]).reshape(3, 4, 3).movedim(2, 1)
    return functional.cross_entropy(logits, batch[1].reshape(3, 4), reduction="sum"), 12


def smooth(network, batch):
    return functional.cross_entropy(
        network(batch[0]), batch[1], reduction="none", label_smoothing=0.1
    )


def with_penalty(network, batch):
    return each(network, batch) + 0.01 * network.weight.square().sum()


def weighted(network, batch):
    weights = torch.tensor([1.0, 2.0, 3.0])
    return functional.cross_entropy(network(batch[0]), batch[1], weights, reduction="none")


def twice(network, batch):
    return (each(network, batch) + each(network, batch)) / 2


def masked_afterwards(network, batch):
    return each(network, batch)[3:]


def no_probabilities(network, batch):
    return functional.nll_loss(network(batch[0]), batch[1], reduction="none")


def contrastive(network, batch):
    codes = network(batch[0])
    return functional.cross_entropy(codes @ codes.T, torch.arange(len(codes)), reduction="none")


def of_outputs(network, batch):
    return functional.mse_loss(network(batch[0])[:, 0], batch[1].float(), reduction="none")


def found_by(loss):
    with CrossEntropyWatch() as watch, torch.no_grad():
        losses = loss(NETWORK, (INPUTS, TARGETS))
    pair = losses if isinstance(losses, tuple) else (losses.sum(), len(losses))
    return watch.n_classes(torch.tensor([float(part) for part in pair], dtype=torch.float64))


@pytest.mark.parametrize("loss", [each, of_module, with_mask, by_hand, of_pixels])
def test_the_plain_cross_entropy_has_as_many_classes_as_its_inputs(loss):
    assert found_by(loss) == 3


@pytest.mark.parametrize(
    "loss",
    [
        smooth,
        with_penalty,
        weighted,
        twice,
        masked_afterwards,
        no_probabilities,
        contrastive,
        of_outputs,
    ],
)
def test_of_any_other_loss_nothing_is_guessed(loss):
    assert found_by(loss) is None


@pytest.mark.parametrize("loss", [each, "cross_entropy"])
def test_a_surface_from_python_has_the_scale_of_its_classes(loss, tmp_path):
    out = tmp_path / "net.h5"
    axis = (-1, 1, 3)
    lm.compute_surface(NETWORK, (INPUTS, TARGETS), loss=loss, x=axis, y=axis, out=out)
    with h5py.File(out) as file:
        assert file.attrs["n_classes"] == 3
        assert file["train_loss"].attrs["units"] == "nat"
    surface = read_surface(out)
    usual = default_scale([surface], "train_loss")
    assert (usual.kind, usual.top) == ("linear", float(f"{4.3429 * math.log(3):.2g}"))


@pytest.mark.parametrize("loss", [with_penalty, of_outputs])
def test_a_surface_of_another_loss_has_none(loss, tmp_path):
    out = tmp_path / "net.h5"
    axis = (-1, 1, 3)
    lm.compute_surface(NETWORK, (INPUTS, TARGETS), loss=loss, x=axis, y=axis, out=out)
    with h5py.File(out) as file:
        assert "n_classes" not in file.attrs
        assert file["train_loss"].attrs["units"] == "1"


def test_splits_that_disagree_and_units_that_are_given_are_left_alone(tmp_path):
    def of_one_split(network, batch):
        return each(network, batch) * (1.0 if len(batch[1]) == 12 else 0.5)

    data = {"train": (INPUTS, TARGETS), "test": (INPUTS[:6], TARGETS[:6])}
    axis = (-1, 1, 3)
    problem = Problem(NETWORK, data, of_one_split, batch_size=12)
    both = {"x": axis, "y": axis, "splits": ("train", "test")}
    lm.compute_surface(problem, out=tmp_path / "a.h5", **both)
    with h5py.File(tmp_path / "a.h5") as file:
        assert "n_classes" not in file.attrs
    problem = Problem(NETWORK, data, each, batch_size=12, units="bit")
    lm.compute_surface(problem, out=tmp_path / "b.h5", **both)
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["test_loss"].attrs["units"] == "bit"
        assert file.attrs["problem_units"] == "bit"


def test_a_file_of_a_version_that_did_not_look_for_classes_goes_on(tmp_path, monkeypatch):
    out, axis = tmp_path / "net.h5", (-1, 1, 3)
    with monkeypatch.context() as patch:
        patch.setattr(CrossEntropyWatch, "n_classes", lambda self, pair: None)
        first = lm.compute_surface(NETWORK, (INPUTS, TARGETS), loss=each, x=axis, y=axis, out=out)
    again = lm.compute_surface(NETWORK, (INPUTS, TARGETS), loss=each, x=axis, y=axis, out=out)
    assert "n_classes" not in again.attributes
    np.testing.assert_array_equal(again.values["train_loss"], first.values["train_loss"])
