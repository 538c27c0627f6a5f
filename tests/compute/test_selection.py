"""Oracle: the names themselves, written down by hand for networks small enough to see."""

import pytest
from torch import nn

from landscape_mpi.compute.selection import abbreviated, moved_names
from landscape_mpi.errors import InputError


class RootMeanSquareNorm(nn.Module):
    """A normalisation that torch does not know, as many transformers bring it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(nn.Linear(3, 1).weight[0].detach())


@pytest.fixture
def network():
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)
    )


@pytest.fixture
def text_network():
    body = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    head = nn.Linear(3, 9, bias=False)
    network = nn.ModuleDict({"tok_embed": nn.Embedding(9, 3), "body": body, "head": head})
    network["head"].weight = network["tok_embed"].weight
    return network


def test_kinds(network):
    every = ["0.weight", "0.bias", "1.weight", "1.bias", "4.weight", "4.bias"]
    assert moved_names(network, ignore=()) == every
    assert moved_names(network, ignore=("bias",)) == ["0.weight", "1.weight", "1.bias", "4.weight"]
    assert moved_names(network, ignore=("bn",)) == ["0.weight", "0.bias", "4.weight", "4.bias"]
    assert moved_names(network, ignore=("bias", "bn")) == ["0.weight", "4.weight"]


@pytest.mark.parametrize(
    "layer",
    [
        nn.LayerNorm(3),
        nn.GroupNorm(1, 3),
        nn.RMSNorm(3),
        nn.InstanceNorm1d(3, affine=True),
        RootMeanSquareNorm(),
    ],
)
def test_every_normalisation_counts_as_bn(layer):
    network = nn.Sequential(nn.Linear(3, 3), layer)
    assert moved_names(network, ignore=("bn",)) == ["0.weight", "0.bias"]


def test_a_shared_weight_counts_once_and_has_all_its_names(text_network):
    every = ["tok_embed.weight", "body.0.weight"]
    assert moved_names(text_network, ignore=("bias", "bn")) == every
    assert moved_names(text_network, ignore=("bias", "bn", "*embed*")) == ["body.0.weight"]
    assert moved_names(text_network, ignore=("bias", "bn", "head.*")) == ["body.0.weight"]
    only = ("head.*",)
    assert moved_names(text_network, ignore=("bias", "bn"), only=only) == ["tok_embed.weight"]


def test_only_moves_what_it_names_but_for_what_is_ignored(network):
    assert moved_names(network, ignore=(), only=("4.*",)) == ["4.weight", "4.bias"]
    assert moved_names(network, ignore=("bias",), only=("4.*", "0.*")) == ["0.weight", "4.weight"]
    assert moved_names(network, ignore=("1.*",), only=("*.bias",)) == ["0.bias", "4.bias"]


def test_trainable_is_what_requires_a_gradient(network):
    network.requires_grad_(False)
    network[4].requires_grad_(True)
    assert moved_names(network, ignore=(), only=("trainable",)) == ["4.weight", "4.bias"]
    both = moved_names(network, ignore=(), only=("trainable", "0.weight"))
    assert both == ["0.weight", "4.weight", "4.bias"]


@pytest.mark.parametrize(("kind", "found"), [(True, "every"), (False, "no")])
def test_trainable_needs_some_that_are_and_some_that_are_not(network, kind, found):
    network.requires_grad_(kind)
    with pytest.raises(InputError, match=f"--only trainable: {found} parameter of the network"):
        moved_names(network, ignore=(), only=("trainable",))


@pytest.mark.parametrize(
    ("ignore", "only", "words"),
    [
        (
            ("biases",),
            (),
            "--ignore: 'biases' matches no parameter of the network. Did you mean bias? Its names "
            "are 0.weight, 0.bias, 1.weight, 1.bias, 4.weight, 4.bias; a pattern such as",
        ),
        ((), ("trainabel",), "'trainabel' matches no parameter of the network. Did you mean trai"),
        ((), ("fc.*",), "--only: 'fc.*' matches no parameter of the network. Its names are 0.wei"),
        ((), ("0",), "--only: '0' matches no parameter"),
        (
            ("bias", "bn"),
            ("4.weight", "4.bias"),
            "--only 4.bias: names 4.bias, but with --ignore bias,bn none of these would move. "
            "Pass --ignore none, or ignore fewer parameters.",
        ),
        (("*",), (), "--ignore: the network has 0.bias, 0.weight, 1.bias, 1.weight, 4.bias, 4.we"),
    ],
)
def test_what_moves_nothing_is_an_error(network, ignore, only, words):
    with pytest.raises(InputError) as caught:
        moved_names(network, ignore=ignore, only=only)
    assert words in str(caught.value)


def test_a_network_without_parameters():
    with pytest.raises(
        InputError, match="the network has no parameters, but a plane moves floating-point"
    ):
        moved_names(nn.Flatten(), ignore=())


def test_many_names_are_abbreviated():
    assert abbreviated(["a", "b"]) == "a, b"
    assert abbreviated(list("abcdefgh")) == "a, b, c, d, ... 2 more ..., g, h"
