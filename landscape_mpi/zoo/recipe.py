"""Define the recipe that trains the paper's networks, and its variations.

Source: Li et al. 2018, arXiv:1712.09913, appendix: SGD with Nesterov momentum, batches of 128,
weight decay, and a learning rate divided by 10 at epochs 150, 225 and 275 of 300.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from landscape_mpi.errors import InputError

DROPS = (Fraction(1, 2), Fraction(3, 4), Fraction(11, 12))  # 150, 225 and 275 of 300
BATCH_SIZE = 128
STAYS_UNTIL, FALLS_UNTIL, LAST_SHARE = 0.5, 0.9, 0.01  # fractions of the epochs; of the rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hold the settings of a training run, without network, data and device."""

    epochs: int
    batch_size: int  # batch of all processes together
    lr: float
    weight_decay: float  # multiplied by each parameter and added to its gradient
    augment: bool  # whether images are randomly cropped and flipped
    seed: int  # seed of the order of the samples, the crops, the flips and the replaced labels
    optimizer: str = "sgd"  # or adam
    momentum: float = 0.9  # for sgd
    nesterov: bool = True  # for sgd
    lr_drops: tuple[Fraction, ...] = DROPS  # divide lr by 10 after these epochs; below 1: fractions
    l1: float = 0.0  # factor of the sum of absolute weights that is added to the loss
    l2: float = 0.0  # factor of the sum of squared weights that is added to the loss
    label_noise: float = 0.0  # fraction of replaced training labels
    precision: str = "fp32"  # or bf16 for mixed precision with weights in float32

    @property
    def drop_epochs(self) -> tuple[int, ...]:
        """Return the epochs after which the learning rate is divided by 10."""
        return tuple(
            math.ceil(drop * self.epochs) if drop < 1 else int(drop) for drop in self.lr_drops
        )

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        n_drops = sum(epoch >= drop for drop in self.drop_epochs)
        return self.lr / 10**n_drops


@dataclass(frozen=True, kw_only=True)
class CurveRecipe(Recipe):
    """Train the bends of a curve: the learning rate is constant, falls linearly, and is constant.

    Source: Garipov et al. 2018, arXiv:1802.10026, appendix.
    """

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        done = epoch / self.epochs
        fallen = min(max((done - STAYS_UNTIL) / (FALLS_UNTIL - STAYS_UNTIL), 0.0), 1.0)
        return self.lr * (1 - (1 - LAST_SHARE) * fallen)


@dataclass(frozen=True)
class Epoch:
    """Hold the results of a pass over the training split; errors in percent, None if undefined."""

    epoch: int  # number, from 1
    lr: float
    train_loss: float  # over the batches as used: augmented, weights changing, no penalties
    train_error: float | None
    test_loss: float | None  # None without a test split
    test_error: float | None
    seconds: float


def check_recipe(recipe: Recipe) -> None:
    """Check that the parts of a recipe are compatible.

    Raises:
        InputError: If they are not.
    """
    late = [drop for drop in recipe.lr_drops if drop >= recipe.epochs]
    if late and late[0] >= 1:
        raise InputError(
            f"--lr-drops {late[0]}: --epochs is {recipe.epochs}, so this drop would never come. "
            "Leave it out, or pass fractions of the epochs, e.g. 0.5,0.75."
        )
    if recipe.optimizer == "sgd" and recipe.nesterov and recipe.momentum == 0:
        raise InputError(
            "--momentum 0: Nesterov's step needs momentum. Pass --no-nesterov too, or a "
            "--momentum above 0."
        )
