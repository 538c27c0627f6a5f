"""The recipe by which the paper's networks are trained, and what may differ from it.

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
STAYS_UNTIL, FALLS_UNTIL, LAST_SHARE = 0.5, 0.9, 0.01  # of the epochs; of the learning rate


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a training run is but for network, data and device."""

    epochs: int
    batch_size: int  # of all processes together
    lr: float
    weight_decay: float  # times each parameter, added to its gradient
    augment: bool  # random crops and flips of images
    seed: int  # of the order of the samples, the crops, the flips and the replaced labels
    optimizer: str = "sgd"  # or adam
    momentum: float = 0.9  # of sgd
    nesterov: bool = True  # likewise
    lr_drops: tuple[Fraction, ...] = DROPS  # after these epochs lr / 10; below 1: a share of all
    l1: float = 0.0  # times the sum of absolute weights, added to the loss
    l2: float = 0.0  # times the sum of squared weights, likewise
    label_noise: float = 0.0  # share of the training labels that are replaced
    precision: str = "fp32"  # or bf16: the network in mixed precision, its weights in float32

    @property
    def drop_epochs(self) -> tuple[int, ...]:
        """Return after how many epochs the learning rate is divided by 10, each time."""
        return tuple(
            math.ceil(drop * self.epochs) if drop < 1 else int(drop) for drop in self.lr_drops
        )

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        n_drops = sum(epoch >= drop for drop in self.drop_epochs)
        return self.lr / 10**n_drops


@dataclass(frozen=True, kw_only=True)
class CurveRecipe(Recipe):
    """The recipe for the bends of a curve: the learning rate stays, falls in a line, and stays.

    Source: Garipov et al. 2018, arXiv:1802.10026, appendix.
    """

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        done = epoch / self.epochs
        fallen = min(max((done - STAYS_UNTIL) / (FALLS_UNTIL - STAYS_UNTIL), 0.0), 1.0)
        return self.lr * (1 - (1 - LAST_SHARE) * fallen)


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training split gave; errors in percent, None where there are none."""

    epoch: int  # from 1
    lr: float
    train_loss: float  # as the batches went by: augmented, with changing weights, no penalties
    train_error: float | None
    test_loss: float | None  # None without a test split
    test_error: float | None
    seconds: float


def check_recipe(recipe: Recipe) -> None:
    """Check that the parts of a recipe go together.

    Raises:
        InputError: If they do not.
    """
    late = [drop for drop in recipe.lr_drops if drop >= recipe.epochs]
    if late and late[0] >= 1:
        raise InputError(
            f"--lr-drops {late[0]}: --epochs is {recipe.epochs}, so that drop would never come. "
            "Leave it out, or give shares of the epochs, e.g. 0.5,0.75."
        )
    if recipe.optimizer == "sgd" and recipe.nesterov and recipe.momentum == 0:
        raise InputError(
            "--momentum 0: Nesterov's step needs momentum. Pass --no-nesterov with it, or a "
            "--momentum above 0."
        )
