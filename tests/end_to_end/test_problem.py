"""Oracle: what was passed, and the sentences that a user needs to mend it."""

import math
import re

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import landscape_mpi
from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem


def loss(network, batch):
    return network(batch).square().sum(1)


NETWORK = nn.Linear(2, 1)
BATCHES = [torch.zeros(3, 2)]


def made(**changed):
    given = {"network": NETWORK, "data": BATCHES, "loss": loss} | changed
    return Problem(**given)


def test_the_package_gives_the_class():
    assert landscape_mpi.Problem is Problem
    assert "Problem" in dir(landscape_mpi)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        landscape_mpi.Nothing  # noqa: B018


def test_batches_alone_are_training_data():
    assert made().splits == {"train": BATCHES}


def test_training_data_come_first():
    both = {"test": BATCHES, "train": BATCHES * 2}
    assert list(made(data=both).splits) == ["train", "test"]
    assert list(made(data={"test": BATCHES}).splits) == ["test"]


def test_loss_and_metrics_in_their_order():
    problem = made(metrics={"perplexity": (loss, math.exp), "accuracy": loss})
    found = [(f.name, f.function, f.finish) for f in problem.functions]
    assert found == [
        ("loss", loss, None),
        ("perplexity", loss, math.exp),
        ("accuracy", loss, None),
    ]


@pytest.mark.parametrize(
    "data", [BATCHES, (torch.zeros(3, 2), torch.zeros(3)), TensorDataset(torch.zeros(3, 2)), {1: 2}]
)
def test_kinds_of_data(data):
    if isinstance(data, dict):
        data = {"train": [data]}
    made(data=data)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"network": nn.Linear},
            "network is of type Linear. It is a class: pass a network, Linear(",
        ),
        ({"network": NETWORK.state_dict()}, "A state dict is not a network: build the network and"),
        ({"network": lambda: NETWORK}, "It is a function: pass what it returns."),
        ({"network": None}, "network is of type NoneType. Pass the network itself"),
        ({"data": None}, "data['train'] is of type NoneType. Pass a list of batches, a DataLoader"),
        ({"data": []}, "data['train'] is empty. A surface needs at least one batch."),
        ({"data": {"validation": BATCHES}}, "'validation' is not known. Known: train, test."),
        ({"data": {0: BATCHES}}, "'0' is not known. Known: train, test."),
        ({"data": {"tain": BATCHES}}, "'tain' is not known. Did you mean train?"),
        ({"data": {"train": {"x": BATCHES}}}, "It looks like one batch: pass a list of batches"),
        ({"data": {}}, "data is empty. Pass batches by split, {'train': batches}."),
        ({"data": iter(BATCHES)}, "It can be read only once, but every point reads the data"),
        (
            {"data": (b for b in BATCHES)},
            "data['train'] is of type generator. It can be read only once",
        ),
        ({"data": "cifar10"}, "data['train'] is of type str. Pass a list of batches"),
        ({"loss": None}, "loss is of type NoneType. Pass a function: def loss(network, batch):"),
        ({"loss": nn.CrossEntropyLoss()}, "It takes outputs and targets, but a problem calls loss"),
        ({"loss": nn.CrossEntropyLoss}, "loss is of type CrossEntropyLoss. Pass a function"),
        ({"metrics": [loss]}, "metrics is of type list. Pass a dict of functions by name."),
        ({"metrics": {"loss": loss}}, "metrics has the name 'loss', but it becomes a name in the"),
        ({"metrics": {"top-5": loss}}, "Pass names of letters, digits and underscores"),
        ({"metrics": {"a": (loss, math.exp, 3)}}, "Pass a function, or a pair (function, finish)"),
        ({"metrics": {"a": (loss, 3)}}, "metrics['a'] is of type int. Pass a function"),
        ({"seed": -1}, "seed is -1. Pass a whole number of at least 0."),
        ({"seed": True}, "seed is True. Pass a whole number of at least 0."),
        ({"batch_size": 2.5}, "batch_size is 2.5. Pass a whole number of at least 1."),
        ({"collate": 3}, "collate is of type int. Pass a function of a list of samples"),
        (
            {"dtype": torch.float64},
            "dtype is of type dtype. Pass one of float32, float64",
        ),
        ({"dtype": "float46"}, "'float46' is not known. Did you mean float64?"),
        ({"units": None}, "units is of type NoneType. Pass a word such as 'nat'."),
    ],
)
def test_what_is_wrong_is_said_with_the_way_out(changed, words):
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        made(**changed)
    assert str(caught.value).startswith("Problem: ")
    assert "\n" not in str(caught.value)


def test_a_metric_names_its_unit():
    def error(network, batch):
        return torch.ones(1)

    plain = made(metrics={"error": error}).functions[1]
    error.units = "percent"
    named = made(metrics={"error": error, "other": (error, math.exp)}).functions[1:]
    error.units = 3
    assert [plain.units, *(one.units for one in named)] == ["1", "1", "1"]
    error.units = "percent"
    assert [one.units for one in named] == ["percent", "percent"]
