"""A graph network in plain torch: one graph, a sparse adjacency matrix, and a mask of its nodes.

Each layer has a weight of its own, with the inputs first.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from landscape_mpi import Problem

N_NODES = 40


class GraphLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / inputs**0.5)

    def forward(self, nodes, adjacency):
        return adjacency @ (nodes @ self.weight)


class GraphNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = GraphLayer(6, 10), GraphLayer(10, 3)

    def forward(self, nodes, adjacency):
        return self.second(self.first(nodes, adjacency).tanh(), adjacency)


def network():
    torch.manual_seed(31)
    return GraphNetwork()


def data():
    draw = torch.Generator().manual_seed(32)
    near = torch.rand(N_NODES, N_NODES, generator=draw) < 0.08
    near = (near | near.T).float().fill_diagonal_(1)
    batch = {
        "nodes": torch.randn(N_NODES, 6, generator=draw),
        "adjacency": (near / near.sum(1, keepdim=True)).to_sparse(),
        "classes": torch.randint(3, (N_NODES,), generator=draw),
        "mask": torch.rand(N_NODES, generator=draw) < 0.5,
    }
    return [batch]


def loss(net, batch):
    found = net(batch["nodes"], batch["adjacency"])[batch["mask"]]
    return cross_entropy(found, batch["classes"][batch["mask"]], reduction="none")


def problem():
    return Problem(network(), data(), loss)
