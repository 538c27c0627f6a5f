"""Networks and data in which something is drawn that no checkpoint holds."""

import itertools
import os
import random
import time

import numpy as np
import torch
from torch import nn

from cases.networks import samples


class Features(nn.Module):
    """Random Fourier features beside the state dict."""

    def __init__(self, frequencies):
        super().__init__()
        torch.manual_seed(81)
        self.frequencies, self.out = frequencies, nn.Linear(32, 1)

    def forward(self, rows):
        phases = rows @ self.frequencies
        return self.out(torch.cat([phases.sin(), phases.cos()], dim=1))


def by_numpy():
    return Features(torch.tensor(np.random.randn(2, 16), dtype=torch.float32))


def by_python():
    rows = [[random.gauss(0, 1) for _ in range(16)] for _ in range(2)]
    return Features(torch.tensor(rows))


def by_torch():
    return Features(torch.randn(2, 16))


def by_nobody():
    """Drawn by a generator that no seed reaches."""
    draws = np.random.default_rng().standard_normal((2, 16))
    return Features(torch.tensor(draws, dtype=torch.float32))


def by_clock():
    return Features(torch.full((2, 16), time.time_ns() % 1000 / 300.0))


class Buffered(Features):
    def __init__(self):
        super().__init__(None)
        del self.frequencies
        self.register_buffer("frequencies", torch.randn(2, 16), persistent=False)


def _regressor():
    torch.manual_seed(82)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))


class Counting(nn.Module):
    """Counts its calls, and computes with the number."""

    def __init__(self):
        super().__init__()
        self.body, self.calls = _regressor(), itertools.count()

    def forward(self, rows):
        return self.body(rows) + 0.05 * next(self.calls)


class Dropping(nn.Module):
    """Dropout that stays on."""

    def __init__(self):
        super().__init__()
        self.body = _regressor()

    def forward(self, rows):
        return nn.functional.dropout(self.body(rows), 0.2, training=True)


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = _regressor()

    def forward(self, rows):
        return self.body(rows) + 0.1 * torch.randn(len(rows), 1)


class NoisyByNumpy(Noisy):
    def forward(self, rows):
        return self.body(rows) + float(np.random.randn())


class Running(nn.Module):
    """Standardises by a mean that it goes on updating in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.body = _regressor()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, rows):
        self.mean.lerp_(rows.mean(0), 0.1)
        return self.body(rows - self.mean)


class Centered(nn.Module):
    """Takes the mean of its batch away."""

    def __init__(self):
        super().__init__()
        self.body = _regressor()

    def forward(self, rows):
        return self.body(rows - rows.mean(0))


def fixed():
    return _regressor()


def data_by_numpy():
    inputs, targets = samples.numbers()["train"]
    noise = torch.tensor(np.random.randn(*inputs.shape), dtype=torch.float32)
    return {"train": (inputs + 0.1 * noise, targets)}


def data_by_nobody():
    inputs, targets = samples.numbers()["train"]
    noise = torch.tensor(np.random.default_rng().standard_normal(inputs.shape), dtype=torch.float32)
    return {"train": (inputs + 0.1 * noise, targets)}


class Augmented(torch.utils.data.Dataset):
    """Another crop of a sample each time it is asked for."""

    def __len__(self):
        return samples.N

    def __getitem__(self, number):
        inputs, targets = samples.numbers()["train"]
        return inputs[number] + 0.1 * np.random.default_rng().standard_normal(), targets[number]


def data_augmented():
    return {"train": Augmented()}


class Centred(nn.Module):
    """A classifier with a mean of the data, in no checkpoint."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(83)
        self.out = nn.Linear(10, 3)
        self.register_buffer("mean", samples.rows()["train"][0].mean(0), persistent=False)

    def forward(self, rows):
        return self.out(rows - self.mean)


class Scaled(nn.Module):
    """Scaled by a number that is kept outside: in the environment, as in a file of settings."""

    def __init__(self):
        super().__init__()
        self.body, self.scale = _regressor(), float(os.environ["SCALE_OF_OUTPUTS"])

    def forward(self, rows):
        return self.scale * self.body(rows)


class Seldom(nn.Module):
    """Leaves out a step in one call of ten."""

    def __init__(self):
        super().__init__()
        self.body = _regressor()

    def forward(self, rows):
        outputs = self.body(rows)
        return outputs if random.random() < 0.9 else 2 * outputs


class Idle(Seldom):
    """Draws a number, and uses it in training only."""

    def forward(self, rows):
        share = random.random()
        return self.body(rows) * (share if self.training else 1.0)
