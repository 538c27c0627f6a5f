"""Count the parameters of a network of the zoo for images of CIFAR-10."""

import torch

from landscape_mpi.zoo.networks import build_network


def parameter_count(name):
    """Return the number of parameters of a network."""
    with torch.device("meta"):  # shapes without memory
        network = build_network(name, n_channels=3, n_classes=10)
    return sum(p.numel() for p in network.parameters())
