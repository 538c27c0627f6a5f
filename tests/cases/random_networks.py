"""Random networks with their data and loss, each from a description that fits into a line.

``network``, ``data`` and ``loss`` are what a command names; they read the description from the
environment, so that they are the same on every rank. random_draws.py draws the rows of the table.

Oracle: the unmodified network, called on all samples at once. Its result in float64 shows how far
off float32 may be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cases.model_case import ModelCase
from cases.random_layers import LENGTH, SIZE, WIDTH, make_all

VARIABLE = "RANDOM_NETWORK"
Description = dict[str, Any]
PREFIXES = {"": "", "parallel": "module.", "sequential": "0."}  # of names, by wrapper
SHAPES = {"image": (3, SIZE, SIZE), "sequence": (LENGTH, 6), "rows": (7,)}
N_SYMBOLS, N_CLASSES = 11, 4


class Assembled(nn.Module):
    """A stem, parts that keep the shape, and a head."""

    def __init__(self, given: Description) -> None:
        super().__init__()
        self.given, domain = given, given["domain"]
        self.stem: nn.Module
        if domain == "image":
            self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        elif given["symbols"]:
            self.stem = nn.Embedding(N_SYMBOLS, WIDTH)
        else:
            self.stem = nn.Linear(SHAPES[domain][-1], WIDTH)
        self.body = make_all(given["parts"], domain)
        n_inputs = {"image": WIDTH * SIZE**2, "sequence": WIDTH * LENGTH, "rows": WIDTH}[domain]
        n_outputs = {"classes": N_CLASSES, "places": N_CLASSES, "number": 1}[given["task"]]
        flat = given["head"] == "flat" and given["task"] != "places"
        self.head = nn.Linear(n_inputs if flat else WIDTH, n_outputs)
        self.auxiliary = nn.Linear(WIDTH, 2)

    def forward(self, x, mask=None):
        x = self.body(self.stem(x))
        outputs = self.head(x if self.given["task"] == "places" else self._pooled(x))
        if self.training and self.given["two_outputs"]:
            return outputs, self.auxiliary(x.mean((2, 3) if x.ndim == 4 else 0))
        if self.given["penalty"]:
            penalty = self._penalty()
            outputs = torch.cat([outputs, penalty * torch.ones_like(outputs[..., :1])], dim=-1)
        return outputs

    def _pooled(self, x):
        if self.given["head"] == "flat":
            return x.flatten(1) if x.is_contiguous() else x.reshape(x.shape[0], -1)
        if x.ndim == 4:
            return x.mean((2, 3))
        return x.mean(1) if x.ndim == 3 else x

    def _penalty(self):
        if self.given["penalty"] == "parameters":
            return sum(p.abs().sum() for p in self.body.parameters())
        if self.given["penalty"] == "names":
            named = self.named_parameters()
            return sum(p.square().sum() for name, p in named if name.endswith("weight"))
        return nn.utils.parameters_to_vector(self.parameters()).norm()


def wrapped(network: nn.Module, how: str) -> nn.Module:
    """Return a network in a wrapper."""
    if how == "parallel":
        return nn.DataParallel(network)
    if how == "sequential":
        return nn.Sequential(network)
    return network


def build(given: Description) -> nn.Module:
    """Return the network, its running statistics and scales such as training leaves."""
    torch.manual_seed(given["seed"])
    network = Assembled(given)
    for name, tensor in network.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.3)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1 and "orig" not in name:
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return wrapped(network, given["wrapper"])


def make_samples(given: Description) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs and targets."""
    draw, n = torch.Generator().manual_seed(given["seed"] + 1), given["n"]
    if given["symbols"]:
        inputs = torch.randint(N_SYMBOLS, (n, LENGTH), generator=draw)
    else:
        inputs = torch.randn(n, *SHAPES[given["domain"]], generator=draw)
    if given["task"] == "number":
        return inputs, torch.randn(n, generator=draw)
    shape = (n, LENGTH) if given["task"] == "places" else (n,)
    return inputs, torch.randint(N_CLASSES, shape, generator=draw)


def losses_of(given: Description, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of every sample or place, by torch's own functions."""
    penalty = 0.01 * outputs[..., -1] if given["penalty"] else torch.zeros(())
    outputs = outputs[..., :-1] if given["penalty"] else outputs
    if given["task"] == "number":
        return (outputs.squeeze(-1) - targets).square() + penalty
    logits = outputs.movedim(-1, 1) if given["task"] == "places" else outputs
    smoothing = 0.1 if given["smooth"] else 0.0
    found = functional.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
    return found + penalty


def loss_option(given: Description) -> str:
    """Return what --loss is to be: a name where one says it."""
    if given["penalty"] or (given["smooth"] and given["task"] != "number"):
        return f"{__name__}:loss"
    return "mse" if given["task"] == "number" else "cross_entropy"


# The functions that a command names.


def _given() -> Description:
    return json.loads(os.environ[VARIABLE])


def network() -> nn.Module:
    return build(_given())


def data() -> dict[str, Any]:
    return {"train": make_samples(_given())}


def loss(outputs, targets):
    return losses_of(_given(), outputs, targets)


# The rows.


@dataclass(frozen=True, kw_only=True)
class RandomNetwork(ModelCase):
    """A network that a description describes."""

    given: Description
    dtype: torch.dtype = torch.float32  # of the oracle

    @property
    def environment(self) -> dict[str, str]:
        """Return the variable that tells the functions of this file which network it is."""
        return {VARIABLE: json.dumps(self.given)}

    def build(self) -> nn.Module:
        return build(self.given).to(self.dtype)

    def samples(self, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = (
            tensor.to(self.dtype) if tensor.is_floating_point() else tensor
            for tensor in make_samples(self.given)
        )
        return inputs, targets

    def losses(self, outputs, targets):
        return losses_of(self.given, outputs, targets)

    def apart(self, path: Path, losses: np.ndarray) -> tuple[float, float]:
        """Return how far losses are from the oracle, and how far they may be, both relative."""
        expected, allowed = self.expected(path)["loss"], self.close
        found = distance(losses, expected)
        if found > allowed:  # float32 itself may be farther off
            exact = replace(self, dtype=torch.float64).expected(path)["loss"]
            allowed = max(allowed, 10 * distance(expected, exact))
        return found, allowed

    def check(self, path: Path) -> None:
        with h5py.File(path) as file:
            found, allowed = self.apart(path, file["train_loss"][()])
        assert found <= allowed


def random_network(given: Description, options: Sequence[str]) -> RandomNetwork:
    """Return a case of a description; the first two options are those of its plane."""
    plane, others = options[:2], options[2:]
    seed = [word for word in others if word.startswith("--seed=")]
    return RandomNetwork(
        name=f"random-{given['domain']}-{given['seed']}",
        network=f"{__name__}:network",
        data=f"{__name__}:data",
        loss=loss_option(given),
        seed=int(seed[0].removeprefix("--seed=")) if seed else 0,
        plane=tuple(plane),
        options=tuple(word for word in others if word not in seed),
        given=given,
    )


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference, relative; infinite where not-a-number stands on one side."""
    same = np.isclose(found, expected, rtol=0, atol=0, equal_nan=True)
    apart = np.abs(found - expected) / np.abs(expected)
    return float(np.where(same, 0, np.where(np.isnan(apart), np.inf, apart)).max())
