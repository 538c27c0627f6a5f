"""A network that keeps an activation in itself by a hook, as many feature extractors do."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from landscape_mpi import Problem


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(16, 10)
        self.body[1].register_forward_hook(lambda layer, given, made: setattr(self, "early", made))

    def forward(self, images):
        late = self.body(images)
        return self.head(torch.cat([late, self.early], 1).mean((2, 3)))


def network():
    torch.manual_seed(25)
    return Hooked()


def data():
    digits = load_digits()
    images = torch.tensor(digits.images[:48] / 16, dtype=torch.float32)[:, None]
    return images, torch.tensor(digits.target[:48])


def loss(net, batch):
    images, classes = batch
    return cross_entropy(net(images), classes, reduction="none")


def problem():
    return Problem(network(), data(), loss, batch_size=8)
