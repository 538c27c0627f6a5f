"""Losses of outputs and targets, each with a network, its data, and torch's own mean of the loss.

One table for the functions that compute a loss and for the options that name it: commands read this
file as a user's module (``--model loss_cases:network``), in the folder of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from landscape_mpi.compute.losses import CROSS_ENTROPY, FUNCTIONS, Loss, cross_entropy

N, N_CLASSES, N_PLACES = 23, 3, 4
SEED = 0
RANDOM = np.random.default_rng(SEED)
ROWS = RANDOM.standard_normal((N, 5)).astype(np.float32)
CLASSES = RANDOM.integers(0, N_CLASSES, N)
TOKENS = RANDOM.integers(0, N_CLASSES, (N, N_PLACES))
NUMBERS = RANDOM.standard_normal((N, N_CLASSES)).astype(np.float32)
PADDED = np.where(RANDOM.random((N, N_PLACES)) < 0.3, -100, TOKENS)
SOME = np.where(RANDOM.random(N) < 0.3, -1, CLASSES)
WEIGHTS = (1.0, 5.0, 0.5)
LARGEST = "largest output"  # the answer whose error is counted


# Networks and data, as functions of a user's module.


def built(n_outputs: int, *last: nn.Module) -> nn.Module:
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, n_outputs), *last).eval()


def network() -> nn.Module:
    return built(N_CLASSES)


def one_output() -> nn.Module:
    return built(1)


def of_places() -> nn.Module:
    return built(N_CLASSES * N_PLACES, nn.Unflatten(1, (N_CLASSES, N_PLACES)))  # along axis 1


def numbers():
    return {"train": (ROWS, NUMBERS)}


def classes():
    return {"train": (ROWS, CLASSES)}


def halves():
    return {"train": (ROWS, CLASSES % 2)}


def some():
    return {"train": (ROWS, SOME)}


def padded():
    return {"train": (ROWS, PADDED)}


# Losses of samples, as functions of a user's module.


def smooth(outputs, targets):
    return functional.cross_entropy(outputs, targets, label_smoothing=0.2, reduction="none")


def weighted(outputs, targets):
    weights = torch.tensor(WEIGHTS).to(outputs)[targets]
    return functional.cross_entropy(outputs, targets, reduction="none") * weights, weights


def length(outputs, targets):
    return ((outputs - targets).square().sum(1) + 1).sqrt()


def detached(outputs, targets):
    """Hide something from derivatives."""
    return smooth(outputs, targets) * outputs.detach().square().sum(1)


# Means over all samples, by torch.


def one_hot(outputs, targets):
    return functional.mse_loss(outputs, functional.one_hot(targets, N_CLASSES).to(outputs))


def one_hot_of_some(outputs, targets):
    return one_hot(outputs[targets >= 0], targets[targets >= 0])


def logit(outputs, targets):
    return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.to(outputs))


def with_weights(outputs, targets, **more):
    weight = torch.tensor(WEIGHTS).to(outputs)
    return functional.cross_entropy(outputs, targets, weight=weight, **more)


@dataclass(frozen=True)
class Case:
    """A loss with a network and data; the functions are named as on a command line."""

    loss: Loss
    options: tuple[str, ...]  # that name the loss
    mean: Callable[..., torch.Tensor]  # of outputs and targets
    data: str = "classes"
    network: str = "network"
    units: str = "1"

    def build(self) -> nn.Module:
        return globals()[self.network]()

    @property
    def targets(self) -> np.ndarray:
        return globals()[self.data]()["train"][1]

    def mean_of_state(self) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        """Return the mean over all samples as a function of the parameters, in float64."""
        own, rows = self.build().double(), torch.from_numpy(ROWS).double()
        targets = torch.from_numpy(self.targets)
        targets = targets.double() if targets.is_floating_point() else targets
        return lambda state: self.mean(functional_call(own, dict(state), (rows,)), targets)


CASES = {
    "mse of numbers": Case(
        Loss(FUNCTIONS["mse"]), ("--loss=mse",), functional.mse_loss, data="numbers"
    ),
    "mse of classes": Case(Loss(FUNCTIONS["mse"], LARGEST), ("--loss=mse",), one_hot),
    "mse of classes, some left out": Case(
        Loss(FUNCTIONS["mse"], LARGEST, ignored=-1),
        ("--loss=mse", "--ignore-index=-1"),
        one_hot_of_some,
        data="some",
    ),
    "bce": Case(
        Loss(FUNCTIONS["bce"], "sign"),
        ("--loss=bce",),
        logit,
        data="halves",
        network="one_output",
        units="nat",
    ),
    "cross-entropy": Case(CROSS_ENTROPY, (), functional.cross_entropy, units="nat"),
    "class weights, padding, classes along axis 1": Case(
        Loss(cross_entropy, LARGEST, class_axis=1, ignored=-100, class_weights=WEIGHTS),
        ("--class-weights=1,5,0.5", "--class-axis=1"),
        with_weights,
        data="padded",
        network="of_places",
        units="nat",
    ),
    "smoothed, with class weights": Case(
        Loss(cross_entropy, LARGEST, class_weights=WEIGHTS, label_smoothing=0.2),
        ("--class-weights=1,5,0.5", "--label-smoothing=0.2"),
        lambda outputs, targets: with_weights(outputs, targets, label_smoothing=0.2),
        units="nat",
    ),
    "own": Case(
        Loss(smooth, LARGEST, own=True),
        ("--loss=loss_cases:smooth",),
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2),
    ),
    "own with weights": Case(
        Loss(weighted, LARGEST, own=True), ("--loss=loss_cases:weighted",), with_weights
    ),
    "own of samples": Case(
        Loss(length, own=True),
        ("--loss=loss_cases:length",),
        lambda o, t: (((o - t) ** 2).sum(1) + 1).sqrt().mean(),
        data="numbers",
    ),
}
