"""Losses of outputs and targets, each with a network, its data, and torch's own mean of the loss.

Tests call the function of a row, and pass the options that name it to a command. Commands run in
the folder of the tests and read this file as a user's module (``--model cases.losses:network``).

Oracle: torch's own mean of the loss over all samples, in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from cases.case import by_name, found
from cases.model_case import ModelCase
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


@dataclass(frozen=True, kw_only=True)
class LossCase(ModelCase):
    """A loss with a network and data of this file."""

    function: Loss  # the loss that the options name
    mean: Callable[..., torch.Tensor]  # torch's mean, from outputs and targets
    units: str = "1"

    def source(self) -> list[str]:
        return [*super().source(), "--ignore=none", "--batch=4"]

    @property
    def targets(self) -> np.ndarray:
        return found(self.data)()["train"][1]

    def samples(self, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs and targets in float64; classes stay whole numbers."""
        targets = torch.from_numpy(self.targets)
        exact = targets.double() if targets.is_floating_point() else targets
        return torch.from_numpy(ROWS).double(), exact

    def losses(self, outputs, targets):
        return self.mean(outputs, targets)

    def center(self) -> nn.Module:
        return self.build().double()

    def mean_of_state(self) -> Callable[[Mapping[str, torch.Tensor]], torch.Tensor]:
        """Return the mean over all samples as a function of the parameters, in float64."""
        own, (rows, targets) = self.center(), self.samples()
        return lambda state: self.mean(functional_call(own, dict(state), (rows,)), targets)


def loss_case(
    name: str,
    loss: str,
    function: Loss,
    mean: Callable[..., torch.Tensor],
    *options: str,
    data: str = "classes",
    network: str = "network",
    units: str = "1",
) -> LossCase:
    """Return a case of functions of this file."""
    return LossCase(
        name=name,
        network=f"{__name__}:{network}",
        data=f"{__name__}:{data}",
        loss=loss,
        function=function,
        mean=mean,
        options=options,
        units=units,
    )


CASES = by_name(
    [
        loss_case(
            "mse of numbers", "mse", Loss(FUNCTIONS["mse"]), functional.mse_loss, data="numbers"
        ),
        loss_case("mse of classes", "mse", Loss(FUNCTIONS["mse"], LARGEST), one_hot),
        loss_case(
            "mse of classes, some left out",
            "mse",
            Loss(FUNCTIONS["mse"], LARGEST, ignored=-1),
            one_hot_of_some,
            "--ignore-index=-1",
            data="some",
        ),
        loss_case(
            "bce",
            "bce",
            Loss(FUNCTIONS["bce"], "sign"),
            logit,
            data="halves",
            network="one_output",
            units="nat",
        ),
        loss_case(
            "cross-entropy", "cross_entropy", CROSS_ENTROPY, functional.cross_entropy, units="nat"
        ),
        loss_case(
            "class weights, padding, classes along axis 1",
            "cross_entropy",
            Loss(cross_entropy, LARGEST, class_axis=1, ignored=-100, class_weights=WEIGHTS),
            with_weights,
            "--class-weights=1,5,0.5",
            "--class-axis=1",
            data="padded",
            network="of_places",
            units="nat",
        ),
        loss_case(
            "smoothed, with class weights",
            "cross_entropy",
            Loss(cross_entropy, LARGEST, class_weights=WEIGHTS, label_smoothing=0.2),
            lambda outputs, targets: with_weights(outputs, targets, label_smoothing=0.2),
            "--class-weights=1,5,0.5",
            "--label-smoothing=0.2",
            units="nat",
        ),
        loss_case(
            "own",
            f"{__name__}:smooth",
            Loss(smooth, LARGEST, own=True),
            lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.2),
        ),
        loss_case(
            "own with weights",
            f"{__name__}:weighted",
            Loss(weighted, LARGEST, own=True),
            with_weights,
        ),
        loss_case(
            "own of samples",
            f"{__name__}:length",
            Loss(length, own=True),
            lambda o, t: (((o - t) ** 2).sum(1) + 1).sqrt().mean(),
            data="numbers",
        ),
    ]
)
