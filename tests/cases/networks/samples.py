"""Data for the networks here: few samples, several batches of 16, other statistics in each."""

import torch

N = 80


def _numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


def _classes(inputs, n_classes):
    """Return classes that depend on the inputs, so that a network can learn them."""
    score = inputs.flatten(1).float()[:, ::3].sum(1)
    return score.argsort().argsort() * n_classes // len(score)


def rows():
    inputs = _numbers(N, 10)
    return {"train": (inputs, _classes(inputs, 3))}


def images():
    inputs = _numbers(N, 1, 8, 8)
    return {"train": (inputs, _classes(inputs, 4))}


def colors():
    inputs = _numbers(N, 3, 8, 8)
    return {"train": (inputs, _classes(inputs, 4))}


def sequences():
    inputs = _numbers(N, 5, 6)
    return {"train": (inputs, _classes(inputs, 3))}


def tokens():
    """Nine symbols, the first of which fills up what is shorter than others."""
    draw = torch.Generator().manual_seed(8)
    inputs = torch.randint(1, 9, (N, 12), generator=draw)
    lengths = torch.randint(3, 13, (N, 1), generator=draw)
    inputs[torch.arange(12) >= lengths] = 0
    return {"train": (inputs, _classes(inputs, 4))}


def letters():
    """Four symbols, six classes."""
    inputs = torch.randint(0, 4, (N, 15), generator=torch.Generator().manual_seed(9))
    return {"train": (inputs, torch.arange(N) % 6)}


def numbers():
    inputs = _numbers(N, 2)
    return {"train": (inputs, torch.sin(inputs[:, 0]) * inputs[:, 1])}


def exact_numbers():
    inputs, targets = numbers()["train"]
    return {"train": (inputs.double(), targets.double())}


def codes():
    inputs = _numbers(N, 3) @ _numbers(3, 8)
    return {"train": (inputs, inputs.clone())}


def sorted_rows():
    """Three classes in their order, the last of which lies far from the others."""
    inputs = _numbers(6000, 4)
    targets = torch.arange(6000) // 2000
    inputs[targets == 2] += 3
    return {"train": (inputs, targets)}


def volumes():
    inputs = _numbers(N, 1, 4, 4, 4)
    return {"train": (inputs, _classes(inputs, 3))}
