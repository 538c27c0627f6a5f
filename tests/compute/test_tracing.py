"""Oracle: the network itself, called at other weights and on other samples than it is traced with.

Each network takes a decision in forward that the weights or the samples of another call would
change, so that a graph of one call is wrong for it; or one that depends on neither.
"""

import pytest
import torch
from torch import fx, nn
from torch.nn import functional

from landscape_mpi.compute.tracing import ASKED, READ, traced


class Traced(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.scale = nn.Linear(4, 3), nn.Parameter(torch.tensor(1.5))


class ByNorm(Traced):
    """Shrinks its outputs if its weights are long."""

    def forward(self, rows):
        length = torch.cat([p.flatten() for p in self.parameters()]).norm()
        return self.body(rows) * (0.1 if length > 3 else 1.0)


class ByWeight(Traced):
    """A weight as a number of Python."""

    def forward(self, rows):
        return self.body(rows) * float(self._parameters["scale"].detach())


class ByView(Traced):
    """A weight that a plain attribute shares."""

    def __init__(self):
        super().__init__()
        self.row = self.body.weight.data[0]

    def forward(self, rows):
        return self.body(rows) + self.row.sum()


class ByType(Traced):
    """Looks at the values of tensors only."""

    def forward(self, rows):
        if isinstance(rows, torch.Tensor) and bool((rows > 3).any()):
            rows = rows / 10
        return self.body(rows)


class ByIsTensor(Traced):
    def forward(self, rows):
        return self.body(rows) * (len(rows) if torch.is_tensor(rows) else 1)


class Caught(Traced):
    """Takes an error in the question for a no."""

    def forward(self, rows):
        try:
            large = bool((rows > 3).any())
        except Exception:
            large = False
        return self.body(rows / 10 if large else rows)


class CaughtLength(Traced):
    def forward(self, rows):
        try:
            n = len(rows)
        except Exception:
            n = 1
        return self.body(rows) * n


class CaughtLoop(Traced):
    def forward(self, rows):
        try:
            return torch.stack([self.body(row) for row in rows])
        except Exception:
            return rows[:, :3]


DECIDING = {
    ByNorm: READ,
    ByWeight: READ,
    ByView: READ,
    ByType: ASKED,
    ByIsTensor: ASKED,
    Caught: ASKED,
    CaughtLength: ASKED,
    CaughtLoop: ASKED,
}


@pytest.mark.parametrize("kind", DECIDING)
def test_a_decision_that_another_call_takes_otherwise_is_not_traced(kind):
    network = kind()
    with pytest.raises(fx.proxy.TraceError, match=DECIDING[kind]):
        traced(network, network.parameters())


class Plain(Traced):
    """Decides by its shapes, its mode and its buffers."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(4.0))

    def forward(self, rows):
        rows = rows + self.table * 2 if self.table.sum() > 1 else rows
        if self.body.out_features == 3 and not self.training:
            rows = functional.dropout(rows.flatten(1), 0.5, self.training)
        return self.body(rows).relu() * self.scale + rows[:, :3]


def test_what_depends_on_neither_weights_nor_samples_is_traced():
    network = Plain().eval()
    graph = traced(network, network.parameters())
    with torch.no_grad():
        network.scale.fill_(-2.0)
        rows = 5 * torch.randn(7, 4)
        torch.testing.assert_close(graph(rows), network(rows), rtol=0, atol=0)


def test_a_buffer_counts_if_it_moves():
    network = Plain().eval()
    with pytest.raises(fx.proxy.TraceError, match=READ):
        traced(network, [*network.parameters(), network.table])
