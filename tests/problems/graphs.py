"""A graph network of torch_geometric over its own loader, which makes one Batch of many graphs."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, GINConv, global_mean_pool

from landscape_mpi import Problem


class GraphNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = GCNConv(5, 16)
        self.second = GINConv(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)))
        self.out = nn.Linear(16, 3)

    def forward(self, x, edge_index, batch):
        x = self.first(x, edge_index).relu()
        return self.out(global_mean_pool(self.second(x, edge_index), batch))


def network():
    torch.manual_seed(15)
    return GraphNetwork()


def graphs():
    draw = torch.Generator().manual_seed(16)
    return [graph(4 + number % 6, draw) for number in range(30)]


def graph(nodes, draw):
    edges = torch.randint(nodes, (2, 3 * nodes), generator=draw)
    x = torch.randn(nodes, 5, generator=draw)
    return Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([nodes % 3]))


def data():
    return DataLoader(graphs(), batch_size=8)


def loss(net, batch):
    return cross_entropy(net(batch.x, batch.edge_index, batch.batch), batch.y, reduction="none")


def problem():
    return Problem(network(), data(), loss)
