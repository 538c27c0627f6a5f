"""Oracle: the entries that make one output channel, picked by hand for every kind of layer.

A channel times a number, undone behind the layer, is the same function, by a plain torch loop.
Along directions whose filters are those entries the loss then changes the same way; along others
not.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils import weight_norm as old_weight_norm

from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.layer_kinds import filters_in_words, find_kinds, known_kinds

N, N_CHANNELS = 6, 4
FACTORS = (1.0, 10.0, 0.1, 3.0)


class Conv1D(nn.Module):
    """As GPT-2 has it in transformers."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.randn(nx, nf))

    def forward(self, x):
        return x @ self.weight


class InTimesWeight(nn.Module):
    """A linear layer of one's own, with the inputs first."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, N_CHANNELS))

    def forward(self, x):
        return torch.matmul(x, self.w)


class Heads(nn.Module):
    """A weight for each head, as attention of one's own may have it, and places that are added."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(torch.randn(3, 5))
        self.w = nn.Parameter(torch.randn(2, 5, 2))

    def forward(self, x):
        return torch.einsum("nli,hid->nlhd", x + self.places, self.w).flatten(2).mean(1)


class Experts(nn.Module):
    """Two hidden layers side by side, and a weight that is used transposed."""

    def __init__(self):
        super().__init__()
        self.first = nn.Parameter(torch.randn(2, 5, 3))
        self.last = nn.ParameterList([torch.randn(6, N_CHANNELS)])

    def forward(self, x):
        hidden = torch.bmm(x.expand(2, -1, -1), self.first).transpose(0, 1).flatten(1)
        return functional.linear(hidden.relu(), self.last[0].t())


class Twice(nn.Module):
    """A layer of two inputs, and attention."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        if isinstance(self.layer, nn.Bilinear):
            return self.layer(x, x)
        return self.layer(x, x, x, need_weights=False)[0].mean(1)


def first(weight, channel):
    return weight[channel]


def second(weight, channel):
    return weight[:, channel]


def of_groups(weight, channel):
    return weight[3:, channel - 2] if channel > 1 else weight[:3, channel]


def of_heads(weight, channel):
    return weight[channel // 2, :, channel % 2]


def conv(kind, n_in=2, **how):
    return lambda: kind(n_in, N_CHANNELS, 2, bias=False, **how)


def normed(make, **how):
    return lambda: parametrizations.weight_norm(make(), **how)


def pruned():
    return prune.random_unstructured(nn.Linear(5, N_CHANNELS, bias=False), "weight", amount=0.3)


PLAIN, V = (
    "0.weight",
    ("0.parametrizations.weight.original0", "0.parametrizations.weight.original1"),
)
CASES = {
    "Conv1d": (conv(nn.Conv1d), (2, 5), PLAIN, first, PLAIN),
    "Conv2d": (conv(nn.Conv2d), (2, 5, 5), PLAIN, first, PLAIN),
    "Conv3d": (conv(nn.Conv3d), (2, 3, 3, 3), PLAIN, first, PLAIN),
    "Conv2d in groups": (conv(nn.Conv2d, groups=2), (2, 5, 5), PLAIN, first, PLAIN),
    "ConvTranspose1d": (conv(nn.ConvTranspose1d), (2, 5), PLAIN, second, PLAIN),
    "ConvTranspose2d": (conv(nn.ConvTranspose2d), (2, 4, 4), PLAIN, second, PLAIN),
    "ConvTranspose3d": (conv(nn.ConvTranspose3d), (2, 2, 2, 2), PLAIN, second, PLAIN),
    "ConvTranspose2d in groups": (
        conv(nn.ConvTranspose2d, n_in=6, groups=2),
        *((6, 4, 4), PLAIN, of_groups, PLAIN),
    ),
    "Linear": (lambda: nn.Linear(5, N_CHANNELS, bias=False), (5,), PLAIN, first, PLAIN),
    "Bilinear": (
        lambda: Twice(nn.Bilinear(5, 5, N_CHANNELS, bias=False)),
        *((5,), "0.layer.weight", first, "0.layer.weight"),
    ),
    "attention": (
        lambda: Twice(nn.MultiheadAttention(N_CHANNELS, 2, bias=False, batch_first=True)),
        *((3, N_CHANNELS), "0.layer.out_proj.weight", first, "0.layer.out_proj.weight"),
    ),
    "Conv1D": (lambda: Conv1D(N_CHANNELS, 5), (5,), PLAIN, second, PLAIN),
    "of one's own": (InTimesWeight, (5,), "0.w", second, "0.w"),
    "heads": (Heads, (3, 5), "0.w", of_heads, "0.w"),
    "list": (Experts, (5,), "0.last.0", second, "0.last.0"),
    "weight norm": (normed(conv(nn.Conv2d)), (2, 5, 5), V[0], first, V[1]),
    "weight norm, transposed": (
        normed(conv(nn.ConvTranspose2d), dim=1),
        *((2, 4, 4), V[0], second, V[1]),
    ),
    "old weight norm": (
        lambda: old_weight_norm(nn.Linear(5, N_CHANNELS, bias=False)),
        *((5,), "0.weight_g", first, "0.weight_v"),
    ),
    "pruned": (pruned, (5,), "0.weight_orig", first, "0.weight_orig"),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*jit.script. is deprecated:DeprecationWarning"),
]


def make_network(make, shape):
    """Return a layer with batch-norm, whose statistics can undo a factor, and a classifier."""
    torch.manual_seed(0)
    layer, inputs = make().eval(), torch.randn(N, *shape)
    outputs = layer(inputs)
    norm = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d][outputs.ndim - 2]
    head = nn.Linear(outputs[0].numel(), 3)
    network = nn.Sequential(layer, norm(N_CHANNELS, eps=1e-12), nn.ReLU(), nn.Flatten(), head)
    return network.eval().requires_grad_(False), inputs


def multiply_channels(network, name, channel_of):
    with torch.no_grad():
        for channel, factor in enumerate(FACTORS):
            channel_of(network.get_parameter(name), channel).mul_(factor)
            network[1].running_mean[channel] *= factor
            network[1].running_var[channel] *= factor**2


def kinds_of(network, inputs):
    return find_kinds(network_again(network), lambda made: made(inputs))


def network_again(network):
    """Copy a network; those with old weight norm keep a tensor that deepcopy refuses."""
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                setattr(module, name, value.detach())
    return copy.deepcopy(network)


def directions_of(network, inputs, normalize):
    center = {name: p.numpy() for name, p in network.named_parameters() if "bias" not in name}
    filters = kinds_of(network, inputs).filters_of
    return random_direction(center, seed=1, axis="alpha", normalize=normalize, filters=filters)


def losses_along(network, direction, inputs):
    targets = torch.arange(N) % 3
    found = []
    for alpha in (-1.0, -0.4, 0.5, 1.0):
        moved = network_again(network)
        for name, values in direction.items():
            moved.get_parameter(name).add_(torch.from_numpy(alpha * values))
        found.append(float(functional.cross_entropy(moved(inputs), targets)))
    return np.array(found)


@pytest.mark.parametrize("case", CASES)
def test_a_channel_rescaled_and_undone_leaves_the_surface(case):
    make, shape, scaled, channel_of, _ = CASES[case]
    network, inputs = make_network(make, shape)
    other = network_again(network)
    multiply_channels(other, scaled, channel_of)
    torch.testing.assert_close(other(inputs), network(inputs), rtol=1e-4, atol=1e-4)
    lines = {}
    for normalize in ("filter", "none"):
        lines[normalize] = [
            losses_along(either, directions_of(either, inputs, normalize), inputs)
            for either in (network, other)
        ]
    np.testing.assert_allclose(*lines["filter"], rtol=1e-4)
    assert not np.allclose(*lines["none"], rtol=1e-2)


@pytest.mark.parametrize("case", CASES)
def test_every_channel_has_the_norm_of_its_weights(case):
    make, shape, _, channel_of, name = CASES[case]
    network, inputs = make_network(make, shape)
    made = directions_of(network, inputs, "filter")[name]
    fixed = directions_of(network, inputs, "dfilter")[name]
    weights = network.get_parameter(name).numpy()
    for channel in range(N_CHANNELS):
        drawn, unit, own = (channel_of(v, channel).ravel() for v in (made, fixed, weights))
        assert np.sqrt(sum(float(x) ** 2 for x in drawn)) == pytest.approx(
            np.sqrt(sum(float(x) ** 2 for x in own)), rel=1e-5
        )
        assert np.sqrt(sum(float(x) ** 2 for x in unit)) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (nn.LSTM(3, 2), "weight_hh_l0"),
        (nn.GRUCell(3, 2), "weight_ih"),
        (nn.Embedding(7, 3), "weight"),
        (nn.EmbeddingBag(7, 3), "weight"),
        (nn.MultiheadAttention(4, 2), "in_proj_weight"),
        (nn.MultiheadAttention(4, 2, kdim=3, vdim=5), "k_proj_weight"),
        (parametrizations.spectral_norm(nn.Linear(3, 2)), "parametrizations.weight.original"),
    ],
)
def test_rows_are_filters(layer, name):
    weight = layer.get_parameter(name).detach().numpy()
    how = {"seed": 1, "axis": "alpha", "normalize": "filter"}
    made = random_direction({name: weight}, **how, filters=known_kinds(layer).filters_of)[name]
    for drawn, own in zip(made, weight, strict=True):
        assert np.linalg.norm(drawn) == pytest.approx(np.linalg.norm(own), rel=1e-5)


class Tokens(nn.Module):
    """Parameters of a network itself."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 5))
        self.places = nn.Parameter(torch.randn(1, 4, 5))
        self.table = nn.Parameter(torch.randn(6, 5))
        self.scale = nn.Parameter(torch.randn(5, 1, 1))
        self.blocks = nn.Linear(5, 5)
        self.bias_table = nn.Parameter(torch.randn(3, 2))
        self.register_buffer("places_of", torch.tensor([0, 1, 2, 0]))

    def forward(self, x):
        x = torch.cat([self.token.expand(len(x), -1, -1), self.table[x]], 1) + self.places
        biases = self.bias_table[self.places_of].sum(0) / 9
        return self.blocks(x) * self.scale[:, 0, 0] + (x[..., :2] @ biases)[..., None]


def test_what_is_added_or_looked_up_has_its_first_axis_or_none():
    network = Tokens().eval()
    found = kinds_of(network, torch.tensor([[0, 1, 5], [2, 3, 4]]))
    axes = {name: filters.axes for name, filters in found.filters_of.items()}
    assert axes == {
        "token": (),
        "places": (),
        "table": (0,),
        "bias_table": (0,),
        "scale": (),
        "blocks.weight": (0,),
        "blocks.bias": (),
    }
    assert filters_in_words(found, {"table", "scale", "token", "blocks.weight"}) == (
        "Tokens 1 (its first axis, axis 0), Linear 1 (output units, axis 0), 2 tensors as a whole"
    )


def test_the_filters_of_a_network_in_words():
    network = nn.Sequential(nn.ConvTranspose2d(4, 2, 2, groups=2), nn.Conv2d(2, 2, 1), nn.PReLU())
    found = known_kinds(network)
    assert filters_in_words(found, {"0.weight", "1.weight"}) == (
        "ConvTranspose2d 1 (output channels, axis 1 in 2 groups), Conv2d 1 (output channels, axis "
        "0)"
    )


def test_a_parametrisation_of_ones_own_is_tried():
    class LowRank(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(2, 5))
            self.b = nn.Parameter(torch.randn(4, 2))

        def forward(self, weight):
            return weight + self.b @ self.a

    network = nn.Sequential(nn.Linear(5, 4))
    parametrize.register_parametrization(network[0], "weight", LowRank())
    found = kinds_of(network.eval(), torch.randn(3, 5)).filters_of
    assert found["0.parametrizations.weight.original"].axes == (0,)
    assert found["0.parametrizations.weight.0.b"].axes == (0,)
    assert found["0.parametrizations.weight.0.a"].axes == (0,)  # not known, so the first


def test_layers_that_were_compiled_are_known_by_what_they_were():
    layers = nn.Sequential(nn.ConvTranspose2d(4, 4, 2, groups=2), nn.BatchNorm2d(4)).eval()
    compiled = nn.Sequential(InTimesWeight(), torch.jit.script(layers))
    inputs = torch.randn(2, 4, 2, 5)
    found = find_kinds(compiled, lambda made: made(inputs))
    assert found.norms == {"1.1.weight", "1.1.bias"}
    assert found.filters["0.w"].filters.axes == (1,)
    for name, filters in known_kinds(layers).filters.items():
        assert found.filters[f"1.{name}"] == filters
