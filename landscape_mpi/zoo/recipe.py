"""The recipe by which the paper's networks are trained.

Source: Li et al. 2018, arXiv:1712.09913, appendix: SGD with Nesterov momentum, batches of 128,
weight decay, and a learning rate divided by 10 at epochs 150, 225 and 275 of 300.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.augment import crop_flip
from landscape_mpi.zoo.dataset import DataSet, Split

MOMENTUM = 0.9
DROPS = ((1, 2), (3, 4), (11, 12))  # shares of the epochs after which lr is divided by 10
N_AT_ONCE = 1000  # samples in a batch of evaluation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training run is but for network, data and device."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    augment: bool  # random crops and flips of images
    seed: int  # of the order of the samples, the crops and the flips

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        n_drops = sum(epoch * whole >= self.epochs * part for part, whole in DROPS)
        return self.lr / 10**n_drops


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training split gave; losses in nats, errors in percent."""

    epoch: int  # from 1
    lr: float
    train_loss: float  # as the batches went by: augmented, with changing weights
    train_error: float
    test_loss: float | None  # None without a test split
    test_error: float | None
    seconds: float


class Samples:
    """One split on the device, images as uint8 until a batch is used."""

    def __init__(self, split: Split, data: DataSet, device: torch.device) -> None:
        inputs = torch.from_numpy(split.inputs)
        if split.kind == "image":
            inputs = inputs.permute(0, 3, 1, 2).contiguous()
        self._has_pixels = split.has_pixels
        self.inputs = inputs.to(device)
        self.targets = torch.from_numpy(split.targets).to(device)
        self._mean = torch.tensor(data.mean, device=device)[:, None, None]
        self._std = torch.tensor(data.std, device=device)[:, None, None]

    def as_seen(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs as the network sees them: pixels standardised, all else as it is."""
        return (inputs.float() / 255 - self._mean) / self._std if self._has_pixels else inputs


class Tally:
    """Sums of loss and errors on the device, read once at the end: reading waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)
        self._n = 0

    def add(self, logits: torch.Tensor, targets: torch.Tensor, mean_loss: torch.Tensor) -> None:
        """Count a batch."""
        self._n += targets.numel()
        self._sums[0] += mean_loss.detach().double() * targets.numel()
        self._sums[1] += (logits.argmax(dim=-1) != targets).sum()

    def result(self) -> tuple[float, float]:
        """Return mean loss in nats, error in percent."""
        loss, n_wrong = (self._sums / self._n).tolist()
        return loss, 100 * n_wrong


def train_network(
    network: nn.Module, data: DataSet, recipe: Recipe, *, device: torch.device
) -> Iterator[Epoch]:
    """Train network in place, on device, and yield after each epoch.

    Args:
        network: Moved to device; in evaluation mode whenever an epoch is yielded.
        data: Put on the device as a whole.
        recipe: How to train.
        device: Where.

    Raises:
        InputError: If the loss becomes NaN or infinite.
    """
    network.to(device)
    splits = {name: Samples(split, data, device) for name, split in data.splits.items()}
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.lr,
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    for epoch in range(recipe.epochs):
        start = time.perf_counter()
        lr = optimizer.param_groups[0]["lr"] = recipe.learning_rate(epoch)
        loss, error = _pass_over(network, splits["train"], recipe, optimizer, generator)
        if not math.isfinite(loss):
            raise InputError(
                f"--lr {recipe.lr:g}: the training diverged, its loss is {loss} in epoch "
                f"{epoch + 1}. Try --lr {recipe.lr / 10:g}."
            )
        network.eval()
        test_loss, test_error = (
            evaluate(network, splits["test"]) if "test" in splits else (None, None)
        )
        seconds = time.perf_counter() - start
        yield Epoch(epoch + 1, lr, loss, error, test_loss, test_error, seconds)


@torch.no_grad()
def evaluate(network: nn.Module, samples: Samples) -> tuple[float, float]:
    """Return mean loss in nats and error in percent of a network in evaluation mode."""
    tally = Tally(samples.targets.device)
    for inputs, targets in zip(
        samples.inputs.split(N_AT_ONCE), samples.targets.split(N_AT_ONCE), strict=True
    ):
        logits = network(samples.as_seen(inputs))
        tally.add(logits, targets, _mean_loss(logits, targets))
    return tally.result()


def _mean_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy, nat, over all targets: [n], or [n, length] of sequences."""
    return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _pass_over(
    network: nn.Module,
    samples: Samples,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> tuple[float, float]:
    """Train for one epoch; return mean loss and error of the batches as they went by."""
    network.train()
    tally = Tally(samples.targets.device)
    order = torch.randperm(len(samples.targets), generator=generator).to(samples.targets.device)
    for batch in order.split(recipe.batch_size):
        inputs, targets = samples.inputs[batch], samples.targets[batch]
        if recipe.augment:
            inputs = crop_flip(inputs, generator=generator)
        logits = network(samples.as_seen(inputs))
        loss = _mean_loss(logits, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        tally.add(logits, targets, loss)
    return tally.result()
