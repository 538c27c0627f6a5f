"""Tiny problems of every kind, and a second, independent way to compute the mean loss of each.

The second way takes all data at once and shares no line with the first: derivatives in closed form
for the differential equation, a matrix of neighbours for the graphs, one padded batch for the
language model. The rows are those of python_problems.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.problem import Problem

State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Tiny:
    """A problem, and its mean loss as a function of the parameters."""

    build: Callable[[], nn.Module]
    batches: Sequence[Any]
    loss: Callable[[nn.Module, Any], torch.Tensor | tuple[torch.Tensor, torch.Tensor | int]]
    mean: Callable[[State], torch.Tensor]

    def problem(self) -> Problem:
        return Problem(self.build(), self.batches, self.loss, dtype="float64")


# A differential equation: u'' + u = sin(3 x), u(-1) = u(1) = 0.


class Field(nn.Module):
    """u(x) = a . tanh(w x + b)."""

    def __init__(self, n: int = 8) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.w, self.b, self.a = (
            nn.Parameter(torch.randn(n, generator=generator, dtype=torch.float64)) for _ in range(3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x[:, None] * self.w + self.b) @ self.a


def residuals(network: nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
    """Squared residuals of the equation, and at the ends."""
    with torch.enable_grad():
        x = batch["x"].clone().requires_grad_(True)
        u = network(x)
        (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        inside = (bend + u - torch.sin(3 * x)).square()
        return inside + batch["weight"] * network(batch["ends"]).square().sum()


def differential_equation() -> Tiny:
    x = torch.linspace(-1, 1, 20, dtype=torch.float64)
    ends = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    batches = [{"x": part, "ends": ends, "weight": 10.0, "name": "a word"} for part in x.split(7)]

    def mean(state: State) -> torch.Tensor:
        w, b, a = state["w"], state["b"], state["a"]

        def u(places: torch.Tensor) -> torch.Tensor:
            return torch.tanh(torch.outer(places, w) + b) @ a

        t = torch.tanh(torch.outer(x, w) + b)
        bend = (-2 * t * (1 - t**2)) @ (a * w**2)
        inside = (bend + u(x) - torch.sin(3 * x)) ** 2
        return inside.mean() + 10 * (u(ends) ** 2).sum()

    return Tiny(Field, batches, residuals, mean)


# A language model, whose labels of -100 do not count.

N_SYMBOLS, WIDTH, LENGTH = 9, 4, 7


class Attention(nn.Module):
    """One layer of causal attention on symbols, and a small network behind it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.symbols = nn.Embedding(N_SYMBOLS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.mix, self.norm = nn.Linear(WIDTH, 3 * WIDTH), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, N_SYMBOLS)
        self.double()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        h = self.symbols(input_ids) + self.places[: input_ids.shape[1]]
        q, k, v = self.mix(self.norm(h)).chunk(3, dim=-1)
        return self.head(h + functional.scaled_dot_product_attention(q, k, v, is_causal=True))


def summed_tokens(
    network: nn.Module, batch: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    logits, labels = network(input_ids=batch["input_ids"])[:, :-1], batch["labels"][:, 1:]
    total = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return total, (labels != -100).sum()


def language_model() -> Tiny:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(N_SYMBOLS, (7, LENGTH), generator=generator)
    labels = ids.clone()
    labels[:, :2], labels[::2, 5:] = -100, -100
    batches = [
        {"input_ids": some, "labels": its}
        for some, its in zip(ids.split(3), labels.split(3), strict=True)
    ]

    def mean(state: State) -> torch.Tensor:
        h = state["symbols.weight"][ids] + state["places"]
        centred = h - h.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        normed = scaled * state["norm.weight"] + state["norm.bias"]
        q, k, v = (normed @ state["mix.weight"].T + state["mix.bias"]).chunk(3, dim=-1)
        scores = q @ k.transpose(1, 2) / WIDTH**0.5
        later = torch.ones(LENGTH, LENGTH).triu(1).bool()
        h = h + scores.masked_fill(later, -torch.inf).softmax(-1) @ v
        logits = (h @ state["head.weight"].T + state["head.bias"])[:, :-1]
        entropies = -logits.log_softmax(-1)[labels[:, 1:] != -100]
        wanted = labels[:, 1:][labels[:, 1:] != -100]
        return entropies[torch.arange(len(wanted)), wanted].mean()

    return Tiny(Attention, batches, summed_tokens, mean)


# Graphs of several sizes; a module keeps what it computes in itself.


class Messages(nn.Module):
    """Each node adds what its neighbours send."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.own, self.sent = nn.Linear(3, 4), nn.Linear(3, 4, bias=False)
        self.head = nn.Linear(4, 2)
        self.received: torch.Tensor | None = None
        self.double()

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        received = torch.zeros(len(x), 4, dtype=x.dtype, device=x.device)
        self.received = received.index_add(0, edges[1], self.sent(x)[edges[0]])
        hidden = torch.tanh(self.own(x) + self.received)
        return self.head(hidden + self.received)


def nodes(network: nn.Module, graph: Graph) -> torch.Tensor:
    """The losses of the nodes that are known."""
    outputs = network(graph.x, graph.edges)[graph.known]
    return functional.cross_entropy(outputs, graph.y[graph.known], reduction="none")


@dataclass(frozen=True)
class Graph:
    """Nodes, the edges between them, and which of them are known."""

    x: torch.Tensor
    edges: torch.Tensor
    y: torch.Tensor
    known: torch.Tensor


def graphs() -> Tiny:
    draw = torch.Generator().manual_seed(5)
    batches = []
    for n in (6, 9, 4):
        x = torch.randn(n, 3, generator=draw, dtype=torch.float64)
        edges = torch.randint(n, (2, 3 * n), generator=draw)
        known = torch.rand(n, generator=draw) < 0.7
        batches.append(Graph(x, edges, torch.randint(2, (n,), generator=draw), known))

    def losses(graph: Graph, state: State) -> torch.Tensor:
        n = len(graph.x)
        matrix = torch.zeros(n, n, dtype=torch.float64)
        for source, target in graph.edges.T.tolist():
            matrix[target, source] += 1
        received = matrix @ graph.x @ state["sent.weight"].T
        own = graph.x @ state["own.weight"].T + state["own.bias"]
        logits = (own + received).tanh() + received
        logits = logits @ state["head.weight"].T + state["head.bias"]
        entropies = -logits.log_softmax(1)[torch.arange(n), graph.y]
        return entropies[graph.known]

    def mean(state: State) -> torch.Tensor:
        return torch.cat([losses(graph, state) for graph in batches]).mean()

    return Tiny(Messages, batches, nodes, mean)
