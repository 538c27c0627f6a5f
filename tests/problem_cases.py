"""Small problems of the kinds that people bring, in one table, and a user's own loop over them.

Each function returns a new problem, the same one every time.
"""

from __future__ import annotations

import hashlib
import math
import random

import numpy as np
import torch
from tiny_problems import PROBLEMS
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.problem import Problem


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def symbols(n, length, seed=0):
    return torch.randint(1, 11, (n, length), generator=torch.Generator().manual_seed(seed))


class Language(nn.Module):
    """Takes words by name, and returns a dict."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.mix = nn.Embedding(12, 8), nn.GRU(8, 8, batch_first=True)
        self.head = nn.Linear(8, 12)

    def forward(self, input_ids, attention_mask=None):
        found = self.mix(self.table(input_ids))[0]
        if attention_mask is not None:
            found = found * attention_mask[..., None]
        return {"logits": self.head(found)}


def language():
    """Masked targets: a batch counts as many as there are tokens that count."""
    batches = []
    for i in range(7):
        ids = symbols(2 + i % 3, 5 + i, seed=i)
        labels = ids.masked_fill(ids % 3 == 0, -100)
        batches.append({"input_ids": ids, "attention_mask": (ids > 1).float(), "labels": labels})

    def loss(network, batch):
        labels = batch.pop("labels")  # as people do
        logits = network(**batch)["logits"]
        n = (labels[:, 1:] != -100).sum()
        mean = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
        )
        return mean * n, n

    def error(network, batch):
        logits = network(batch["input_ids"])["logits"]
        return (logits[:, -1].argmax(1) != batch["input_ids"][:, -1]).long()

    metrics = {"perplexity": (loss, math.exp), "error": error}
    return Problem(Language(), batches, loss, metrics=metrics, units="nat")


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.code, self.back = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x):
        mean, log_variance = self.code(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return self.back(z), mean, log_variance


def autoencoder():
    """Draws random numbers in the network and in the loss, of all generators."""

    def loss(network, batch):
        (x,) = batch
        back, mean, log_variance = network(x)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
        return (back - x).square().sum(1) + divergence + np.random.rand() + random.random()

    return Problem(Autoencoder(), (drawn(23, 6),), loss, batch_size=4, seed=3)


class Field(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x)


def physics():
    """An equation u'' = -u at points, in float64, whose loss differentiates the network."""

    def loss(network, batch):
        with torch.enable_grad():
            x = batch["x"].requires_grad_()
            u = network(x)
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            residual = (ddu + u).square().sum()
            start = (network(x.new_zeros(1, 1)) - 1).square().sum()
            return residual + len(x) * start, len(x)

    batches = [{"x": torch.linspace(0, 1 + i, 5 + i)[:, None]} for i in range(4)]
    return Problem(Field(), batches, loss, dtype="float64")


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return functional.normalize(self.net(x), dim=-1)


def contrastive():
    """A loss of the whole batch, as a pair of Python numbers."""

    def loss(network, batch):
        one, other = batch
        likeness = network(one) @ network(other).T / 0.5
        own = torch.arange(len(one), device=one.device)
        mean = functional.cross_entropy(likeness, own) + functional.cross_entropy(likeness.T, own)
        return mean.item() * len(one), len(one)

    batches = [(drawn(5, 6, seed=i), drawn(5, 6, seed=i + 50)) for i in range(5)]
    return Problem(Encoder(), batches, loss)


class Dropped(Encoder):
    def forward(self, x):
        return functional.dropout(super().forward(x), 0.3, training=True)


def dropout():
    """Dropout that stays on, and losses of another number than the batch has samples."""

    def loss(network, batch):
        return network(batch).square().flatten()

    return Problem(Dropped(), drawn(14, 6), loss, batch_size=3)


class Hooked(nn.Module):
    """Keeps an activation in itself, and counts what it is asked."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Linear(8, 2)
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.n_calls += 1
        self.kept = self.body(x)
        return self.head(self.body(x.flip(1))) * self.kept.mean()


def hooked():
    """A module that keeps what it computes until the end of a call."""

    def loss(network, batch):
        return network(batch).square().sum(1)

    return Problem(Hooked(), [drawn(3, 6, seed=i) for i in range(8)], loss)


def changing():
    """A loss that changes its batch in place."""

    def loss(network, batch):
        batch["x"] *= 2
        batch["x"].relu_()
        return network(batch["x"]).sum(1)

    batches = [{"x": drawn(3, 6, seed=i), "name": f"batch {i}"} for i in range(5)]
    return Problem(Encoder(), batches, loss, metrics={"again": loss})


def captured():
    """A loss that calls the network that it has caught, not the one that it is given."""
    network = Encoder()

    def loss(_, batch):
        return network(batch).square().mul(torch.arange(1.0, 4.0, device=batch.device)).sum(1)

    return Problem(network, [drawn(3, 6, seed=i) for i in range(5)], loss)


class Merging(nn.Linear):
    """Adds a product of two small matrices to its weight on eval(), as LoRA does."""

    def __init__(self, n_inputs=6):
        torch.manual_seed(0)
        super().__init__(n_inputs, 4)
        self.a, self.b = nn.Parameter(torch.randn(2, n_inputs) / 8), nn.Parameter(torch.randn(4, 2))
        self.merged = False

    def train(self, mode=True):
        if mode == self.merged:
            change = self.b @ self.a
            self.weight.data += -change if mode else change
            self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        x = x.flatten(1)
        outputs = super().forward(x)
        return outputs if self.merged else outputs + x @ self.a.T @ self.b.T


def merging():
    """A network that merges weights on eval()."""

    def loss(network, batch):
        return network(batch).square().sum(1)

    return Problem(Merging(), [drawn(3, 6, seed=i) for i in range(4)], loss)


class Packed(nn.Module):
    """Its layers are views of one parameter, made once."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.all = nn.Parameter(torch.randn(6 * 4 + 4) / 8)
        self.weight, self.bias = self.all[:-4].view(4, 6), self.all[-4:]

    def forward(self, x):
        return functional.linear(x, self.weight, self.bias)


def packed():
    """A network that keeps views of its weights."""

    def loss(network, batch):
        return network(batch).square().sum(1)

    return Problem(Packed(), [drawn(3, 6, seed=i) for i in range(4)], loss)


def halved():
    """Weights in bfloat16."""

    def loss(network, batch):
        return network(batch).square().mul(torch.arange(1.0, 4.0, device=batch.device)).sum(1)

    return Problem(Encoder(), [drawn(3, 6, seed=i) for i in range(4)], loss, dtype="bfloat16")


def integers():
    """A loss of whole numbers."""

    def loss(network, batch):
        return (network(batch) * 1e6).round().long().sum(1)

    return Problem(Encoder(), [drawn(3, 6, seed=i) for i in range(4)], loss)


def unknown():
    """A batch whose loss is not a number, beside a metric of which it is no part."""

    def loss(network, batch):
        return network(batch).square().mul(torch.arange(1.0, 4.0, device=batch.device)).sum(1)

    def known(network, batch):
        losses = loss(network, batch)
        return losses.nansum(), losses.isfinite().sum()

    batches = [drawn(3, 6, seed=i) for i in range(4)]
    batches[2][0] = torch.nan
    return Problem(Encoder(), batches, loss, metrics={"known": known})


def as_case(make_tiny):
    """Return a function that makes a problem of tiny_problems.py."""

    def make():
        return make_tiny().problem()

    make.__name__ = make_tiny.__name__
    return make


VIEWS_STAY = "views that a network keeps of its weights stay on the CPU when torch moves it"

CASES = (
    language,
    autoencoder,
    physics,
    contrastive,
    dropout,
    hooked,
    changing,
    captured,
    merging,
    packed,
    halved,
    integers,
    unknown,
    *map(as_case, PROBLEMS.values()),
)
NOISY = (autoencoder, dropout)


def batches_of(problem):
    """Return the batches, cut by hand where they are no list yet."""
    data, size = problem.data, problem.batch_size
    if isinstance(data, tuple):
        return list(zip(*(tensor.split(size) for tensor in data), strict=True))
    return list(data.split(size)) if isinstance(data, torch.Tensor) else data


def directions_of(state):
    generator = np.random.default_rng(3)
    return {
        axis: {
            name: (0.2 * generator.standard_normal(values.shape)).astype(np.float32)
            for name, values in state.items()
            if values.dtype.kind == "f"
        }
        for axis in ("alpha", "beta")
    }


def center_of(problem):
    return {n: v.copy() for n, v in tensors_of(problem.network.train()).items()}


def converted(tree, dtype):
    """Return a copy of a batch whose floating-point tensors are of a type."""
    if isinstance(tree, dict):
        return {name: converted(value, dtype) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(converted(value, dtype) for value in tree)
    if not isinstance(tree, torch.Tensor):
        return tree
    return tree.to(dtype) if dtype and tree.is_floating_point() else tree.clone()


def seed_by_hand(seed, i):
    number = int.from_bytes(hashlib.sha256(f"{seed}/{i}/".encode()).digest()[:8], "big") >> 1
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def as_number(value):
    return value.item() if isinstance(value, torch.Tensor) else value


def plain_values(make, alpha, beta):
    """Return the value of each function at a point, as a user's own loop gives it."""
    problem = make()
    state = center_of(problem)
    dtype = None if problem.dtype is None else getattr(torch, problem.dtype)
    if dtype:
        problem.network.to(dtype)
    steps = directions_of(state)
    moved = dict(state)
    for name in steps["alpha"]:
        exact = np.float64 if dtype == torch.float64 else np.float32
        moved[name] = moved[name].astype(exact)
        for axis, by in (("alpha", alpha), ("beta", beta)):
            moved[name] = (moved[name] + by * steps[axis][name].astype(exact)).astype(exact)
    fill_network(problem.network, moved)
    problem.network.eval()
    found = []
    for function in problem.functions:
        total = count = 0.0
        for i, batch in enumerate(batches_of(problem)):
            seed_by_hand(problem.seed, i)
            with torch.no_grad():
                values = function.function(problem.network, converted(batch, dtype))
            if isinstance(values, tuple):
                total, count = total + as_number(values[0]), count + as_number(values[1])
            else:
                total, count = total + values.detach().double().sum().item(), count + len(values)
        mean = total / count
        found.append(function.finish(mean) if function.finish else mean)
    return found
