"""Small problems of the kinds that people bring, made in Python.

Each function returns a new problem, the same one every time.

Oracle: a user's own loop over the batches (problem_case.py). Some rows have a closed form, too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from cases import closed_forms
from cases.case import by_name
from cases.problem_case import ProblemCase
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

    return Problem(Autoencoder(), (drawn(23, 6),), loss, batch_size=4)


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


def differential_equation():
    return closed_forms.differential_equation().problem()


def masked_language():
    return closed_forms.language_model().problem()


def graphs():
    return closed_forms.graphs().problem()


VIEWS_STAY = "views that a network keeps of its weights stay on the CPU when torch moves it"
STEPS = ("threads", "uncopied", "views")


@dataclass(frozen=True, kw_only=True)
class PythonProblem(ProblemCase):
    """A problem of this file."""

    steps: tuple[str, ...] = STEPS  # steps of the computation that its network allows
    left_out: tuple[str, ...] = ()  # parts that a run on several threads must leave out, in words
    draws: bool = False  # whether its loss draws random numbers
    has_derivatives: bool = False  # whether it has first and second derivatives, in float64
    closed_form: Callable[[], closed_forms.Tiny] | None = None

    def on(self, device: str) -> Problem:
        """Return a new problem, or skip where torch cannot move its network to a device."""
        if self.name == "packed" and device != "cpu":
            pytest.skip(VIEWS_STAY)
        return self.make()


def in_python(make: Callable[[], Problem], close: float = 1e-6, **more: Any) -> PythonProblem:
    """Return a case of a function of this file."""
    name = make.__name__
    return PythonProblem.of(f"{__name__}:{name}", name=name, close=close, **more)


SEVERAL, VECTOR = "several batches at a time", "weights in one vector"
CASES = by_name(
    [
        in_python(language, has_derivatives=True),
        in_python(autoencoder, has_derivatives=True, draws=True, left_out=(SEVERAL,)),
        in_python(physics, has_derivatives=True),
        in_python(contrastive),
        in_python(dropout, has_derivatives=True, draws=True, left_out=(SEVERAL,)),
        in_python(hooked, has_derivatives=True),
        in_python(changing, has_derivatives=True, left_out=("batches that are parts of the data",)),
        in_python(captured, has_derivatives=True),
        in_python(merging, steps=("threads", "uncopied"), left_out=(VECTOR,)),
        in_python(packed, steps=("uncopied",), left_out=(SEVERAL, VECTOR)),
        in_python(halved, close=1e-2),
        in_python(integers, close=1e-4),
        in_python(unknown),
        in_python(differential_equation, closed_form=closed_forms.differential_equation),
        in_python(masked_language, closed_form=closed_forms.language_model),
        in_python(graphs, closed_form=closed_forms.graphs),
    ]
)
