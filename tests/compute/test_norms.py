"""Oracle: what each layer computes, written down by hand; whether it standardises is known."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.layer_kinds import find_kinds, has_unknown, known_kinds
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.zoo.catalogue import network_names
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

C = 6


class Layer(nn.Module):
    """A scale and shift for each channel of what a function makes of the input."""

    def __init__(self, shape=(1, C, 1, 1)):
        super().__init__()
        self.g = nn.Parameter(torch.ones(shape))
        self.b = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return self.made_of(x) * self.g + self.b


class ChannelNorm(Layer):
    def made_of(self, x):
        return (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-5).sqrt()


class Standardise(ChannelNorm):
    """One whose name does not tell."""


class UnitLength(Layer):
    def made_of(self, x):
        return functional.normalize(x, dim=1) * C**0.5


class RectifiedNorm(ChannelNorm):
    def forward(self, x):
        return super().forward(x).relu()


class OwnBatchNorm(Layer):
    """With statistics under other names."""

    def __init__(self):
        super().__init__()
        self.register_buffer("moving_mean", torch.zeros(1, C, 1, 1))
        self.register_buffer("moving_var", torch.ones(1, C, 1, 1))

    def made_of(self, x):
        mean, var = self.moving_mean, self.moving_var
        if self.training:
            mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True)
        return (x - mean) / (var + 1e-5).sqrt()


class FunctionalNorm(nn.Module):
    """Calls the function of torch, with a weight that starts at 0, and owns a matrix beside it."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(4))
        self.mixing = nn.Parameter(torch.randn(4, 4))

    def forward(self, x):
        return functional.layer_norm(x, (4,), 1 + self.gamma) @ self.mixing


class ActNorm(Layer):
    """A layer of normalising flows: it has the name of a norm, but only a scale and a shift."""

    def made_of(self, x):
        return x


class LayerScale(ActNorm):
    pass


class ResponseNorm(Layer):
    """Global response normalisation: as large as its input."""

    def made_of(self, x):
        size = x.norm(dim=(2, 3), keepdim=True)
        return x + x * size / size.mean(1, keepdim=True)


class Signs(Layer):
    def made_of(self, x):
        return x.sign()


class Positions(Layer):
    def made_of(self, x):
        return torch.ones_like(x)


class CosineClassifier(nn.Module):
    """Does not change with the size of its input either, but its weight is a matrix."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, C))

    def forward(self, x):
        return functional.linear(functional.normalize(x), functional.normalize(self.weight))


class NormOfTwo(nn.Module):
    """Adds what it normalises, and takes a word that is no tensor."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(C))

    def forward(self, x, *, residual, kind):
        x = x + residual
        return {"rms": x / x.square().mean(-1, keepdim=True).sqrt()}[kind] * self.scale


class CallsNormOfTwo(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = NormOfTwo()

    def forward(self, x):
        return self.norm(x, residual=x, kind="rms")


class BreaksNorm(Layer):
    """Takes nothing but what the samples are."""

    def made_of(self, x):
        if x.min() < 0:
            raise ValueError("pixels are from 0")
        return x


def kinds(network, inputs):
    return find_kinds(network.eval(), lambda made: made(inputs))


def images():
    return torch.rand(4, C, 5, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "layer", [ChannelNorm(), Standardise(), UnitLength(), RectifiedNorm(), OwnBatchNorm()]
)
def test_what_standardises_its_input_stays(layer):
    found = kinds(nn.Sequential(nn.Conv2d(C, C, 1), layer), images())
    assert found.norms == {"1.g", "1.b"}
    assert found.notes == (
        f"layers of the kind {type(layer).__name__} (1) standardise their input, so they count as "
        f"normalisation (--ignore bn)",
    )


def test_a_network_in_float64_is_tried_in_it():
    found = kinds(nn.Sequential(Standardise(), nn.Conv2d(C, C, 1)).double(), images().double())
    assert found.norms == {"0.g", "0.b"}


@pytest.mark.parametrize(
    "layer", [ActNorm(), LayerScale(), ResponseNorm(), Signs(), Positions(), nn.PReLU(C)]
)
def test_a_scale_alone_moves(layer):
    network = nn.Sequential(nn.Conv2d(C, C, 1), layer)
    found = kinds(network, images())
    assert found.norms == set()
    moved = moved_names(network, ignore=("bn",), norms=found.norms)
    assert moved == [name for name, _ in network.named_parameters()]
    said = "do not standardise their input, so they do not count as normalisation"
    assert any(said in words for words in found.notes) == ("Norm" in type(layer).__name__)


def test_a_matrix_is_no_normalisation():
    found = kinds(nn.Sequential(nn.Flatten(), CosineClassifier()), images()[..., 0, 0])
    assert found.norms == set()
    assert found.filters["1.weight"].filters.axes == (0,)


def test_the_functions_of_torch_are_known():
    found = kinds(FunctionalNorm(), images())
    assert found.norms == {"gamma"}
    assert found.filters["mixing"].filters.axes == (1,)


def test_a_layer_is_tried_as_the_network_calls_it():
    found = kinds(CallsNormOfTwo(), torch.randn(3, 2, C))
    assert found.norms == {"norm.scale"}


def test_a_layer_that_cannot_be_tried_is_known_by_its_name():
    found = kinds(nn.Sequential(BreaksNorm()), images())
    assert found.norms == {"0.g", "0.b"}
    assert found.notes == ()


def test_a_network_that_fails_while_it_is_watched_is_known_by_names():
    class InPlace(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(C, C))
            self.norm = ChannelNorm()

        def forward(self, x):
            self.w.clamp_(-1, 1)  # only without gradients
            return self.norm(x)

    found = kinds(InPlace(), images())
    assert found.norms == {"norm.g", "norm.b"}
    assert (
        "layers of unknown kinds are judged by their names (RuntimeError: a leaf" in found.notes[0]
    )


class FrozenBatchNorm(nn.Module):
    """All of it buffers, as detection networks have it, but for a scale."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(C))
        self.register_buffer("running_mean", torch.zeros(C))
        self.register_buffer("running_var", torch.ones(C))


def test_statistics_that_are_parameters_are_no_weights():
    layer = nn.BatchNorm2d(C)
    for name in ("running_mean", "running_var"):
        setattr(layer, name, nn.Parameter(layer._buffers.pop(name), requires_grad=False))
    network = nn.Sequential(nn.Conv2d(C, C, 1, bias=False), layer)
    assert moved_names(network, ignore=()) == ["0.weight", "1.weight", "1.bias"]


@pytest.mark.parametrize(
    "layer",
    [
        FrozenBatchNorm(),
        nn.SyncBatchNorm(C),
        nn.InstanceNorm2d(C, affine=True, track_running_stats=True),
        nn.LayerNorm([C, 2]),
    ],
)
def test_what_is_known_needs_no_trial(layer):
    network = nn.Sequential(nn.Conv2d(C, C, 1), layer)
    assert not has_unknown(network)
    names = {f"1.{name}" for name, _ in layer.named_parameters()}
    assert known_kinds(network).norms == names
    assert moved_names(network, ignore=("bn", "bias")) == ["0.weight"]


def test_networks_of_ours_need_no_trial_and_keep_their_first_axis():
    sample = Sample(kind="image", shape=(3, 32, 32), n_classes=10)
    for name in ("resnet20", "preresnet110", "densenet121", "vgg9"):
        assert name in network_names()
        network = build_network(name, sample=sample)
        assert not has_unknown(network)
        found = known_kinds(network)
        for key, parameter in network.named_parameters():
            assert found.filters[key].filters.axes == ((0,) if parameter.ndim > 1 else ())
