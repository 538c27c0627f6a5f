"""Oracles: counts by hand, and the cells written out step by step from their equations."""

import pytest
import torch

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

TEXT = Sample("text", (30,), 65)
GATES = {"rnn": 1, "lstm": 4, "gru": 3}


@pytest.mark.parametrize("units", [120, 140])
@pytest.mark.parametrize("cell", GATES)
def test_parameter_counts(cell, units):
    network = build_network(f"{cell}{units}", sample=TEXT)
    recurrent = GATES[cell] * units * (2 * units + 2)
    expected = 65 * units + recurrent + (units + 1) * 65
    assert sum(p.numel() for p in network.parameters()) == expected


def step(cell, given, recalled, hidden, memory):
    """One step of a cell from what input and hidden units give to its gates.

    Source: Hochreiter and Schmidhuber 1997; Cho et al. 2014, arXiv:1406.1078.
    """
    if cell == "rnn":
        return (given + recalled).tanh(), memory
    if cell == "lstm":
        enter, keep, new, leave = (given + recalled).chunk(4, dim=1)
        memory = keep.sigmoid() * memory + enter.sigmoid() * new.tanh()
        return leave.sigmoid() * memory.tanh(), memory
    (reset, keep, new), (r, k, n) = given.chunk(3, dim=1), recalled.chunk(3, dim=1)
    keep = (keep + k).sigmoid()
    new = (new + (reset + r).sigmoid() * n).tanh()
    return keep * hidden + (1 - keep) * new, memory


@pytest.mark.parametrize("cell", GATES)
def test_cells_are_those_written_out(cell):
    torch.manual_seed(0)
    network = build_network(f"{cell}7", sample=Sample("text", (5,), 4)).double()
    symbols, w_in, w_hidden, b_in, b_hidden, w_out, b_out = network.state_dict().values()
    text = torch.randint(4, (3, 5))
    hidden = memory = torch.zeros(3, 7, dtype=torch.float64)
    logits = []
    for place in range(5):
        given, recalled = symbols[text[:, place]] @ w_in.T + b_in, hidden @ w_hidden.T + b_hidden
        hidden, memory = step(cell, given, recalled, hidden, memory)
        logits.append(hidden @ w_out.T + b_out)
    expected = torch.stack(logits, dim=1)
    torch.testing.assert_close(network(text), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(text), expected)
