"""Train a network epoch by epoch, alone or together with other processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.own_network import seed_generators
from landscape_mpi.zoo.process_group import ALONE, ProcessGroup
from landscape_mpi.zoo.recipe import Epoch, Recipe
from landscape_mpi.zoo.sample_task import SampleTask
from landscape_mpi.zoo.samples import Tally
from landscape_mpi.zoo.training_task import Pass, TrainingTask
from landscape_mpi.zoo.weights import weights_of


def train_network(
    network: nn.Module, data: DataSet, recipe: Recipe, *, device: torch.device
) -> Iterator[Epoch]:
    """Train a network in place, on a device, and yield after each epoch.

    Args:
        network: Network to train; moved to the device; in evaluation mode at every yield.
        data: Data set; put on the device as a whole.
        recipe: How to train.
        device: Device of the training.
    """
    trainer = Trainer(network, SampleTask(data, recipe, device=device), recipe, device=device)
    while trainer.n_done < recipe.epochs:
        yield trainer.run_epoch()


class Trainer:
    """Hold a network in training, with everything that the next epoch depends on."""

    def __init__(
        self,
        network: nn.Module,
        task: TrainingTask,
        recipe: Recipe,
        *,
        device: torch.device,
        group: ProcessGroup = ALONE,
        penalty: Callable[[], torch.Tensor] | None = None,
        rate_of: Callable[[int], float] | None = None,
    ) -> None:
        """Begin a run. Collective over the group.

        Args:
            network: Network to train in place; moved to the device.
            task: Batches and loss, on the device.
            recipe: How to train.
            device: Device of the training.
            group: The processes that train this network together, from the same weights.
            penalty: Function that adds a penalty after a pass; the reported loss does not contain
                it.
            rate_of: Learning rate of each step of the run, counted from 1; None for the recipe's
                rate, which changes between epochs.
        """
        self.network = network.to(device)
        self.recipe = recipe
        self.n_done = 0  # number of epochs done
        self._group = group
        self._penalty = penalty
        self._device = device
        self.task = task
        self._generator = torch.Generator()
        self._optimizer = make_optimizer(network, recipe)
        self._joined = group.join(task.module(self.network))
        self._rate_of = rate_of or self._rate_of_recipe

    @property
    def n_batches(self) -> int:
        """Return the number of batches in an epoch."""
        return self.task.n_batches

    def _rate_of_recipe(self, step: int) -> float:
        return self.recipe.learning_rate((step - 1) // self.n_batches)

    def run_epoch(self, on_batch: Callable[[], object] = lambda: None) -> Epoch:
        """Train for one epoch, and evaluate the test split if there is one. Collective.

        Args:
            on_batch: Function that is called after each batch; it may leave the network in
                evaluation mode.

        Raises:
            InputError: If the loss becomes NaN or infinite.
        """
        start = time.perf_counter()
        self._seed_epoch()
        loss, error = self._pass_over(on_batch)
        self.n_done += 1
        if not math.isfinite(loss):
            raise InputError(
                f"--lr {self.recipe.lr:g}: the training diverged: its loss is {loss} in epoch "
                f"{self.n_done}. Try --lr {self.recipe.lr / 10:g}."
            )
        test_loss, test_error = self.test()
        seconds = time.perf_counter() - start
        lr = self._rate_of(self.n_done * self.n_batches)
        return Epoch(self.n_done, lr, loss, error, test_loss, test_error, seconds)

    def state(self) -> dict[str, Any]:
        """Return everything that the next epoch depends on, the same on the whole group.

        Tensors are not copied.
        """
        return {
            "epoch": self.n_done,
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state() of the same recipe."""
        self.n_done = state["epoch"]
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _seed_epoch(self) -> None:
        """Seed the epoch's random numbers by its number, independent of earlier epochs."""
        numbers = [self.recipe.seed, self.n_done]
        self._generator.manual_seed(_mix(*numbers))  # for order and crops: the same everywhere
        seed_generators(_mix(*numbers, 1 + self._group.rank))  # for dropout and the user's loss

    def test(self) -> tuple[float | None, float | None]:
        """Return loss and error of the test split at the current weights, if any. Collective.

        Afterwards the network is in evaluation mode, with the same buffers on the whole group.
        """
        self.network.eval()
        self._group.share_buffers(self.network)
        return self.task.test(self.network, self._group)

    def _pass_over(self, on_batch: Callable[[], object]) -> tuple[float, float | None]:
        """Train for one epoch; return mean loss and error of its batches."""
        tally = Tally(self._device, has_error=self.task.has_error)
        first_step = self.n_done * self.n_batches + 1
        for step, batch in enumerate(self.task.batches(self._generator), start=first_step):
            self.network.train()
            self._set_rate(self._rate_of(step))
            self._step(batch, tally)
            on_batch()
        return tally.result(self._group)

    def _set_rate(self, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def _step(self, batch: Any, tally: Tally) -> None:
        bf16 = self.recipe.precision == "bf16"
        precision = torch.autocast(self._device.type, torch.bfloat16, enabled=bf16)
        known = Pass(self._generator, self._group, precision)
        share = self.task.share(self._joined, batch, known)
        minimised = share.measured.loss
        if self._penalty is not None:
            minimised = minimised + self._penalty()
        self._optimizer.zero_grad()
        (minimised * share.weight).backward()
        add_penalties(self.network, self.recipe)
        self._optimizer.step()
        if share.counts:
            tally.add(share.measured)


def _mix(*numbers: int) -> int:
    """Return a seed made from several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return a recipe's optimizer for the parameters that are not frozen.

    Raises:
        InputError: If all are frozen.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise InputError(
            "--model: the network has no trainable parameter: it has no parameters, or "
            "requires_grad is False for all of them. Let the function leave requires_grad on for "
            "what is to be trained."
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(trained, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        trained,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


@torch.no_grad()
def add_penalties(network: nn.Module, recipe: Recipe) -> None:
    """Add the gradient of l1 * sum |w| + l2 * sum w^2 to the gradients of all weights w."""
    if recipe.l1 == 0 and recipe.l2 == 0:
        return
    for weight in weights_of(network).values():
        if weight.grad is not None:
            weight.grad.add_(weight.sign(), alpha=recipe.l1).add_(weight, alpha=2 * recipe.l2)
