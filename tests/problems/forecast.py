"""A recurrent network over an IterableDataset: windows of a signal that is read as it comes."""

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from landscape_mpi import Problem


class Windows(IterableDataset):
    def __init__(self, length, n):
        self.length, self.n = length, n

    def __iter__(self):
        times = torch.arange(self.length + self.n) / 3
        signal = torch.sin(times) + 0.3 * torch.sin(2.7 * times)
        for start in range(self.n):
            window = signal[start : start + self.length + 1]
            yield window[:-1, None], window[-1]


class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.GRU(1, 12, batch_first=True), nn.Linear(12, 1)

    def forward(self, windows):
        return self.out(self.cell(windows)[0][:, -1])[:, 0]


def network():
    torch.manual_seed(24)
    return Forecaster()


def data():
    return DataLoader(Windows(length=9, n=43), batch_size=8)


def loss(net, batch):
    windows, following = batch
    return (net(windows) - following).square()


def problem():
    return Problem(network(), data(), loss)
