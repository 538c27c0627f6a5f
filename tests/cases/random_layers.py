"""The parts that random networks are made of: each takes and gives the same shape.

A part is described by a list of words, numbers and other such lists, as JSON has them, so that a
process on another rank can build the same one. Images are [n, 8, 6, 6], sequences [n, 5, 8] and
rows [n, 8].
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

from cases.networks.set_up import Merging

WIDTH, SIZE, LENGTH = 8, 6, 5
Part = Sequence[Any]  # its kind, and what the kind takes


def make_part(part: Part, domain: str) -> nn.Module:
    """Return the part that a description describes."""
    kind, *rest = part
    return PARTS[kind](domain, *rest)


def make_all(parts: Sequence[Part], domain: str) -> nn.Sequential:
    return nn.Sequential(*(make_part(part, domain) for part in parts))


# Linear maps.


class InOut(nn.Module):
    """A linear layer whose weight is [in, out]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)
        self.bias = nn.Parameter(0.1 * torch.randn(WIDTH))

    def forward(self, x):
        return x @ self.weight + self.bias


class OutIn(nn.Module):
    """A bare Parameter [out, in], applied by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, x):
        return torch.einsum("...i,oi->...o", x, self.kernel)


class FlatWeights(nn.Module):
    """Weight and bias in one Parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.randn(WIDTH * WIDTH + WIDTH) / WIDTH**0.5)

    def forward(self, x):
        weight, bias = self.theta.split([WIDTH * WIDTH, WIDTH])
        return functional.linear(x, weight.view(WIDTH, WIDTH), bias)


class OverChannels(nn.Module):
    """Takes the channels of images, or the tokens of sequences, last, and puts them back."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.movedim(1, -1)).movedim(-1, 1)


def make_map(domain: str, kind: str) -> nn.Module:
    """Return a linear map over the channels."""
    if domain == "image":
        if kind in IMAGE_MAPS:
            return IMAGE_MAPS[kind]()
        return OverChannels(ROW_MAPS[kind]())
    if kind in ROW_MAPS:
        return ROW_MAPS[kind]()
    return OverChannels(nn.Conv1d(WIDTH, WIDTH, 3, padding=1))


def _old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(layer)


IMAGE_MAPS = {
    "plain": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
    "no_bias": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
    "grouped": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=2),
    "single": lambda: nn.Conv2d(WIDTH, WIDTH, 3, padding=2, dilation=2, groups=WIDTH),
    "transposed": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 3, padding=1),
    "transposed_grouped": lambda: nn.ConvTranspose2d(WIDTH, WIDTH, 3, padding=1, groups=2),
    "weight_norm": lambda: parametrizations.weight_norm(nn.Conv2d(WIDTH, WIDTH, 1)),
    "old_weight_norm": lambda: _old_weight_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
    "pruned": lambda: prune.l1_unstructured(
        nn.Conv2d(WIDTH, WIDTH, 3, padding=1), "weight", amount=0.3
    ),
}
ROW_MAPS = {
    "plain": lambda: nn.Linear(WIDTH, WIDTH),
    "no_bias": lambda: nn.Linear(WIDTH, WIDTH, bias=False),
    "in_out": InOut,
    "out_in": OutIn,
    "flat": FlatWeights,
    "weight_norm": lambda: parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH)),
    "old_weight_norm": lambda: _old_weight_norm(nn.Linear(WIDTH, WIDTH)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(WIDTH, WIDTH)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(WIDTH, WIDTH), "weight", amount=0.3),
}
MAPS = {
    "image": [*IMAGE_MAPS, "in_out", "out_in", "flat"],
    "sequence": [*ROW_MAPS, "convolution"],
    "rows": [*ROW_MAPS],
}


# Normalisation.


class RootMeanSquare(nn.Module):
    def __init__(self, shape: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.gain, self.dim = nn.Parameter(1 + 0.2 * torch.randn(shape)), dim

    def forward(self, x):
        return x * (x.square().mean(self.dim, keepdim=True) + 1e-6).rsqrt() * self.gain


class OwnLayerNorm(RootMeanSquare):
    def __init__(self, shape: tuple[int, ...], dim: int) -> None:
        super().__init__(shape, dim)
        self.offset = nn.Parameter(0.2 * torch.randn(shape))

    def forward(self, x):
        return super().forward(x - x.mean(self.dim, keepdim=True)) + self.offset


class FunctionalNorm(nn.Module):
    """A batch-norm that is never called, whose tensors are."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)

    def forward(self, x):
        own = self.norm
        return functional.batch_norm(x, own.running_mean, own.running_var, own.weight, own.bias)


class NormAndActivation(nn.BatchNorm2d):
    def forward(self, x):
        return functional.elu(super().forward(x))


BATCH_NORMS = {
    "image": {
        "batch": lambda: nn.BatchNorm2d(WIDTH),
        "no_affine": lambda: nn.BatchNorm2d(WIDTH, affine=False),
        "synchronised": lambda: nn.SyncBatchNorm(WIDTH),
        "functional": FunctionalNorm,
        "with_activation": lambda: NormAndActivation(WIDTH),
    },
    "sequence": {
        "batch": lambda: OverChannels(nn.BatchNorm1d(LENGTH)),
        "of_tokens": lambda: nn.BatchNorm1d(LENGTH),
        "no_affine": lambda: nn.BatchNorm1d(LENGTH, affine=False),
    },
    "rows": {
        "batch": lambda: nn.BatchNorm1d(WIDTH),
        "no_affine": lambda: nn.BatchNorm1d(WIDTH, affine=False),
        "functional": FunctionalNorm,
    },
}
BATCH_NORMS["sequence"]["batch"] = lambda: OverChannels(nn.BatchNorm1d(WIDTH))
OTHER_NORMS = {
    "image": {
        "group": lambda: nn.GroupNorm(2, WIDTH),
        "layer": lambda: nn.LayerNorm([WIDTH, SIZE, SIZE]),
        "own_rms": lambda: RootMeanSquare((1, WIDTH, 1, 1), 1),
        "own_layer": lambda: OwnLayerNorm((1, WIDTH, 1, 1), 1),
        "instance": lambda: nn.InstanceNorm2d(WIDTH, affine=True, track_running_stats=True),
    },
    "sequence": {
        "layer": lambda: nn.LayerNorm(WIDTH),
        "rms": lambda: nn.RMSNorm(WIDTH),
        "own_layer": lambda: OwnLayerNorm((WIDTH,), -1),
        "group": lambda: OverTokens(nn.GroupNorm(4, WIDTH)),
    },
    "rows": {
        "layer": lambda: nn.LayerNorm(WIDTH),
        "group": lambda: nn.GroupNorm(2, WIDTH),
        "own_rms": lambda: RootMeanSquare((WIDTH,), -1),
    },
}


class OverTokens(nn.Module):
    """Takes the features of sequences second, as convolutions do, and puts them back."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


BATCH_NORMS["sequence"]["batch"] = lambda: OverTokens(nn.BatchNorm1d(WIDTH))


def norms_of(domain: str) -> list[str]:
    return [*BATCH_NORMS[domain], *OTHER_NORMS[domain], "none"]


def make_norm(domain: str, kind: str) -> nn.Module:
    if kind == "none":
        return nn.Identity()
    return (BATCH_NORMS[domain] | OTHER_NORMS[domain])[kind]()


ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu_in_place": lambda: nn.ReLU(inplace=True),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "prelu": nn.PReLU,
    "silu": nn.SiLU,
}


class Chain(nn.Module):
    """A map, a norm behind or before it, an activation."""

    def __init__(self, domain, kind, norm, activation, before):
        super().__init__()
        self.map, self.norm = make_map(domain, kind), make_norm(domain, norm)
        self.activation, self.before = ACTIVATIONS[activation](), before

    def forward(self, x):
        if self.before:
            return self.map(self.activation(self.norm(x)))
        return self.activation(self.norm(self.map(x)))


# Ways to put parts together.


class Residual(nn.Module):
    def __init__(self, domain, parts, scaled):
        super().__init__()
        self.inside = make_all(parts, domain)
        self.scale = nn.Parameter(torch.tensor(0.7)) if scaled else 1.0

    def forward(self, x):
        return x + self.scale * self.inside(x.clone())


class Branched(nn.Module):
    def __init__(self, domain, first, second, joined):
        super().__init__()
        self.branches = nn.ModuleDict(
            {"one": make_all(first, domain), "two": make_all(second, domain)}
        )
        self.joined = joined

    def forward(self, x):
        one, two = (branch(x.clone()) for branch in self.branches.values())
        if self.joined == "gate":
            return one * two.sigmoid()
        if self.joined == "larger":
            return torch.where(one > two, one, two)
        return one - 0.5 * two


class Shared(nn.Module):
    """One part, called several times."""

    def __init__(self, domain, part, times):
        super().__init__()
        self.part, self.times = make_part(part, domain), times

    def forward(self, x):
        for _ in range(self.times):
            x = 0.5 * x + self.part(x.clone())
        return x


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, domain):
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.two.weight = self.one.weight
        self.is_image = domain == "image"

    def forward(self, x):
        x = x.movedim(1, -1) if self.is_image else x
        x = self.two(self.one(x).tanh())
        return x.movedim(-1, 1) if self.is_image else x


class Hooked(nn.Module):
    """Hooks around a part: before, behind, or keeping what an inner layer gave."""

    def __init__(self, domain, part, where):
        super().__init__()
        self.inside = make_part(part, domain)
        if where == "before":
            self.inside.register_forward_pre_hook(lambda layer, given: (given[0] * 0.8,))
        elif where == "behind":
            self.inside.register_forward_hook(lambda layer, given, made: made + 0.2)
        else:
            self.inside.register_forward_hook(
                lambda layer, given, made: setattr(self, "kept", made)
            )
        self.where = where

    def forward(self, x):
        made = self.inside(x.clone())
        return made if self.where != "keep" else x + self.kept.abs()


class Skips(nn.Module):
    """A way down that appends to a list and a way up that pops from it."""

    def __init__(self, domain, parts):
        super().__init__()
        self.down, self.up = make_all(parts, domain), make_all(parts, domain)
        self.skips = []

    def forward(self, x):
        for part in self.down:
            x = part(x)
            self.skips.append(x.clone())
        for part in self.up:
            x = part(x + self.skips.pop())
        return x


class Buffered(nn.Module):
    """Scaled by buffers, of which one is in no checkpoint."""

    def __init__(self, domain, persistent):
        super().__init__()
        shape = (WIDTH, 1, 1) if domain == "image" else (WIDTH,)
        self.register_buffer("scale", 0.5 + torch.rand(shape), persistent=persistent)
        self.register_buffer("none", None)

    def forward(self, x):
        return x * self.scale if self.none is None else self.none


class Viewed(nn.Module):
    """Takes its input apart by memory order and puts it together again."""

    def __init__(self, domain, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        x = x * 1.0 if self.how == "reshape" else x.contiguous()
        if self.how == "strided":
            return torch.as_strided(x, x.shape, x.stride()).flip(1)
        if self.how == "view":
            return x.view(x.size(0), -1).roll(3, 1).view(x.shape)
        return x.reshape(x.shape[0], 2, -1).flip(1).reshape(x.shape)


class Branching(nn.Module):
    """A branch on the value of a weight."""

    def __init__(self, domain, part):
        super().__init__()
        self.inside = make_part(part, domain)
        self.switch = nn.Parameter(torch.tensor([[0.2, -0.1]]))

    def forward(self, x):
        if self.switch.detach().sum().item() > 0.1:
            return self.inside(x)
        return x - 0.3 * self.inside(x.clone()).tanh()


class Optional(nn.Module):
    """Called with what it need not be called with."""

    def __init__(self, domain, part, how):
        super().__init__()
        self.inside = make_part(part, domain)
        self.call = {"none": self._none, "keywords": self._keywords, "star": self._star}[how]

    def forward(self, x, mask=None):
        return self.call(x if mask is None else x * mask)

    def _inner(self, *, x, scale=None, mask=None):
        x = self.inside(x)
        x = x if scale is None else scale * x
        return x if mask is None else x * mask

    def _none(self, x):
        return self._inner(x=x)

    def _keywords(self, x):
        return self._inner(mask=None, x=x, scale=0.9)

    def _star(self, x):
        return self._inner(**{"x": x, "mask": torch.ones_like(x)})


class LowRank(Merging):
    """A product of rank 2 that eval() merges into the weight."""

    def __init__(self, domain):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)
        self.down = nn.Parameter(torch.randn(2, WIDTH) / WIDTH**0.5)
        self.up = nn.Parameter(0.5 * torch.randn(WIDTH, 2))
        self.merged, self.is_image = False, domain == "image"

    def forward(self, x):
        x = x.movedim(1, -1) if self.is_image else x
        y = functional.linear(x, self.weight)
        y = y if self.merged else y + x @ self.down.T @ self.up.T
        return y.movedim(-1, 1) if self.is_image else y


class CalledWith(nn.Module):
    """Calls a part with tensors made of its own."""

    def __init__(self, domain, part):
        super().__init__()
        self.inside = make_part(part, domain)

    def forward(self, x):
        halves = {name: 0.5 * p for name, p in self.inside.named_parameters()}
        return functional_call(self.inside, halves, (x,))


class Dropping(nn.Module):
    """Dropout that eval() ends."""

    def __init__(self, domain, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        return functional.dropout(x, self.p, self.training)


class Listed(nn.Module):
    """Maps in a ParameterList, mixed by weights that sum to one."""

    def __init__(self, domain):
        super().__init__()
        draws = (torch.randn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(3))
        self.maps = nn.ParameterList(nn.Parameter(draw) for draw in draws)
        self.shares, self.is_image = nn.Parameter(torch.randn(3)), domain == "image"

    def forward(self, x):
        weight = sum(s * m for s, m in zip(self.shares.softmax(0), self.maps, strict=True))
        x = x.movedim(1, -1) if self.is_image else x
        x = functional.linear(x, weight)
        return x.movedim(-1, 1) if self.is_image else x


# Of sequences alone.


class Attention(nn.Module):
    def __init__(self, domain, how):
        super().__init__()
        self.how = how
        if how == "torch":
            self.inside = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        else:
            self.inside = nn.Linear(WIDTH, 3 * WIDTH)
            self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x, mask=None):
        if self.how == "torch":
            return x + self.inside(x, x, x, need_weights=False, attn_mask=mask)[0]
        n, length, _ = x.shape
        parts = self.inside(x).view(n, length, 3, 2, WIDTH // 2).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        if self.how == "own":
            scores = query @ key.transpose(-2, -1) / 2
            if mask is not None:
                scores = scores.masked_fill(mask, -torch.inf)
            mixed = scores.softmax(-1) @ value
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return x + self.out(mixed.transpose(1, 2).reshape(n, length, WIDTH))


class Encoder(nn.Module):
    def __init__(self, domain, first):
        super().__init__()
        self.inside = nn.TransformerEncoderLayer(
            WIDTH, 2, 12, batch_first=True, norm_first=first, dropout=0.1
        )

    def forward(self, x):
        return self.inside(x)


class Recurrent(nn.Module):
    def __init__(self, domain, kind):
        super().__init__()
        self.inside = getattr(nn, kind)(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.inside(x)[0]


class Stepping(nn.Module):
    """A cell in a loop, its hidden state kept as an attribute meanwhile."""

    def __init__(self, domain):
        super().__init__()
        self.cell, self.hidden = nn.GRUCell(WIDTH, WIDTH), None

    def forward(self, x):
        self.hidden = x.new_zeros(x.shape[0], WIDTH)
        given = []
        for step in range(x.shape[1]):
            self.hidden = self.cell(x[:, step], self.hidden)
            given.append(self.hidden)
        return torch.stack(given, dim=1)


PARTS = {
    "chain": Chain,
    "residual": Residual,
    "branched": Branched,
    "shared": Shared,
    "tied": Tied,
    "hooked": Hooked,
    "skips": Skips,
    "buffered": Buffered,
    "viewed": Viewed,
    "branching": Branching,
    "optional": Optional,
    "low_rank": LowRank,
    "called_with": CalledWith,
    "dropping": Dropping,
    "listed": Listed,
    "attention": Attention,
    "encoder": Encoder,
    "recurrent": Recurrent,
    "stepping": Stepping,
}
