"""Train on the samples of a data set, with a loss of outputs and targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from landscape_mpi.zoo.augment import crop_flip, draw_crops
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.process_group import ProcessGroup
from landscape_mpi.zoo.recipe import Recipe
from landscape_mpi.zoo.samples import LossSamples, Samples, TargetLoss, evaluate
from landscape_mpi.zoo.training_task import Pass, Share, TrainingTask, weight_in_group


class SampleTask(TrainingTask):
    """Hold a data set on the device; draw new batches in every epoch."""

    def __init__(
        self,
        data: DataSet,
        recipe: Recipe,
        *,
        device: torch.device,
        loss: TargetLoss | None = None,
    ) -> None:
        """Put the data on the device.

        Args:
            data: Data set, already with label noise.
            recipe: Size of the batches, and whether images are cropped and flipped.
            device: Device of the training.
            loss: Loss of outputs and targets; None for the cross-entropy of the data's classes.
        """
        self._splits = {
            name: Samples(split, data, device)
            if loss is None
            else LossSamples(split, data, device, loss)
            for name, split in data.splits.items()
        }
        self._train, self._device = self._splits["train"], device
        self._batch_size, self._augment = recipe.batch_size, recipe.augment
        self.n_batches = math.ceil(len(self._train.targets) / recipe.batch_size)
        self.has_error = self._train.has_error

    def batches(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yield the indices of the samples of each batch."""
        n = len(self._train.targets)
        # All processes draw the same numbers for whole batches, independent of their number.
        yield from torch.randperm(n, generator=generator).to(self._device).split(self._batch_size)

    def share(self, module: nn.Module, batch: torch.Tensor, known: Pass) -> Share:
        """Return the contribution of this process's samples; see TrainingTask."""
        samples, group, own = self._train, known.group, known.group.part_of(batch)
        n_own = own.stop - own.start
        # A process without samples must enter the backward pass too: it uses one with weight 0.
        own = own if n_own else slice(0, 1)
        inputs, targets = samples.inputs[batch[own]], samples.targets[batch[own]]
        if self._augment:
            crops = draw_crops(len(batch), generator=known.generator)
            inputs = crop_flip(inputs, crops.of(own))
        with known.precision:
            outputs = module(samples.as_seen(inputs))
        measured = samples.measure(outputs.float(), targets)
        if isinstance(samples, LossSamples):
            weight = weight_in_group(measured.n if n_own else 0, group, self._device)
            return Share(measured, weight, bool(n_own))
        # The gradients of all processes are averaged, so each is weighted by its number of targets.
        share = samples.weight_of(targets[:n_own], samples.targets[batch], group.size)
        return Share(measured, share, bool(n_own))

    def test(self, network: nn.Module, group: ProcessGroup) -> tuple[float | None, float | None]:
        """Return loss and error of the test split if there is one; see TrainingTask."""
        if "test" not in self._splits:
            return None, None
        return evaluate(network, self._splits["test"], group)
