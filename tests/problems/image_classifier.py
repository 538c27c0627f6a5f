"""A vision transformer of timm over a Dataset that gives an image and its class."""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from landscape_mpi import Problem
from problems.vision import timm


class Digits(Dataset):
    def __init__(self, n):
        self.images, self.classes = load_digits(return_X_y=True)
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        image = torch.tensor(self.images[number], dtype=torch.float32).view(1, 8, 8)
        return image / 8 - 1, int(self.classes[number])


def network():
    torch.manual_seed(7)
    size = {"img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 10}
    size |= {"embed_dim": 32, "depth": 2, "num_heads": 2}
    return timm.create_model("vit_tiny_patch16_224", **size)


def data():
    return Digits(40)


def loss(net, batch):
    images, classes = batch
    return cross_entropy(net(images), classes, reduction="none")


def among_three(net, batch):
    """Return whether the class is among the three likeliest."""
    images, classes = batch
    return (net(images).topk(3).indices == classes[:, None]).any(1).double()


def problem():
    return Problem(network(), data(), loss, metrics={"top3": among_three}, batch_size=16)
