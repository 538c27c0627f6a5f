"""A variational autoencoder: its loss draws random numbers (the reparametrisation trick)."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from landscape_mpi import Problem

SEED = 12


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2 * 4))
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, images):
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return self.decoder(code), mean, log_variance


def network():
    torch.manual_seed(13)
    return VAE()


def data():
    images = torch.tensor(load_digits().data[:50] / 16, dtype=torch.float32)
    return DataLoader(TensorDataset(images), batch_size=16)


def divergence(mean, log_variance):
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def reconstruction(net, batch):
    decoded, *_ = net(batch[0])
    return binary_cross_entropy_with_logits(decoded, batch[0], reduction="none").sum(1)


def loss(net, batch):
    decoded, mean, log_variance = net(batch[0])
    pixels = binary_cross_entropy_with_logits(decoded, batch[0], reduction="none")
    return pixels.sum(1) + divergence(mean, log_variance)


def problem():
    return Problem(network(), data(), loss, metrics={"reconstruction": reconstruction}, seed=SEED)
