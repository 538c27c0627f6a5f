"""Loss and error of a network over whole splits, on one device.

Images stay on the device as bytes and are normalised batch by batch. On a CPU the
batches are shared out to threads, each computing its batches alone: a sample's loss then
depends neither on the number of threads nor on the number of ranks, bit for bit, which
kernels that split one batch over threads do not promise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.memory import keep_freed_memory
from landscape_mpi.compute.passes import Passes, RecordedPasses, ThreadedPasses
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import InputError
from landscape_mpi.garbage import ALWAYS, make_room

PRECISIONS = ("fp32", "tf32", "bf16")
DEFAULT_BATCH = {"cpu": 64, "cuda": 1024}


@dataclass(frozen=True)
class Setting:
    """How the points of a surface are evaluated; all of it decides the last bits."""

    device: str  # "cpu" or "cuda:2"
    precision: str  # one of PRECISIONS
    batch: int  # samples per forward pass
    threads: int = 1  # batches at a time; CPU only, without effect on the results
    compiled: bool = False  # by torch.compile
    points: int = 1  # in a pass, with their weights stacked

    @property
    def kind(self) -> str:
        """Kind of device, ``cpu`` or ``cuda``."""
        return self.device.split(":")[0]


class Evaluator:
    """Evaluates a network, at the weights it has at the moment, over whole splits."""

    def __init__(
        self,
        network: Callable[[torch.Tensor], torch.Tensor],
        setting: Setting,
        *,
        dtype: torch.dtype = torch.float32,
        loss: Loss = CROSS_ENTROPY,
    ) -> None:
        """Prepare to evaluate.

        Args:
            network: In evaluation mode on the setting's device, weights with channels last.
            setting: How to evaluate.
            dtype: Type of the network's weights.
            loss: What is made of its outputs.
        """
        self._network = network
        self._dtype = dtype
        self._loss = loss
        self._setting = setting
        self.passes: Passes
        if setting.device.startswith("cuda"):
            self.passes = RecordedPasses(self._evaluate_rows, batch=setting.batch)
        else:
            threads = setting.threads
            self.passes = ThreadedPasses(self._evaluate_rows, batch=setting.batch, threads=threads)

    def compute_losses(self, samples: ResidentSplit) -> None:
        """Fill the losses of the samples with those at the network's present weights.

        Not-a-number and infinity are results; a sample whose loss is not a number is
        misclassified.
        """
        self.passes.run(samples)

    def check_is_function(self, samples: ResidentSplit) -> float:
        """Check that the losses depend on weights and samples alone.

        Args:
            samples: One batch to try.

        Returns:
            Mean loss of that batch.

        Raises:
            InputError: If they change from one pass to the next, or with the rest of the batch.
        """
        n = min(self._setting.batch, len(samples))
        first, second = self._first_losses(samples, n), self._first_losses(samples, n)
        if not torch.equal(first.nan_to_num(), second.nan_to_num()):
            raise InputError(
                "--model: the same samples give other losses the second time (dropout that stays "
                "on, or state that changes). A surface needs a network that is a function of its "
                "weights and its input."
            )
        few = max(1, n // 2)
        tolerance = 1e-3 if self._setting.precision == "fp32" else 0.1
        alone = self._first_losses(samples, few)
        if not torch.allclose(alone, first[:few], rtol=tolerance, atol=tolerance, equal_nan=True):
            raise InputError(
                "--model: the loss of a sample depends on the others of its batch "
                "(batch-norm without running statistics, or kept in training mode; or a --loss "
                "that mixes samples). The surface would depend on --batch: give the network a "
                "fixed normalisation."
            )
        return float(first.double().mean())

    def _first_losses(self, samples: ResidentSplit, n: int) -> torch.Tensor:
        self._evaluate_rows(samples, slice(0, n))
        return samples.losses[:n].clone()

    def outputs(self, samples: ResidentSplit, rows: slice) -> torch.Tensor:
        """Return what the network makes of a batch, float32 [n, ...]."""
        with torch.inference_mode():
            inputs = samples.batch(rows)
            if inputs.is_floating_point():
                inputs = inputs.to(self._dtype)
            with _precision(self._setting, self._dtype):
                outputs = self._network(inputs)
            return outputs.float()

    def _evaluate_rows(self, samples: ResidentSplit, rows: slice) -> None:
        with torch.inference_mode():
            outputs, targets = self.outputs(samples, rows), samples.targets[rows]
            samples.keep(rows, *self._losses_and_wrong(outputs, targets))

    def _losses_and_wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | bool]:
        losses = self._loss.of_samples(outputs, targets)
        return losses, self._loss.wrong(outputs, targets, losses)


@contextmanager
def _precision(setting: Setting, dtype: torch.dtype) -> Iterator[None]:
    """Let a float32 network compute its matrix products in bfloat16, where that is asked."""
    mixed = setting.precision == "bf16" and dtype == torch.float32
    with torch.autocast(setting.kind, dtype=torch.bfloat16, enabled=mixed):
        yield


def mean_values(losses_and_wrong: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> np.ndarray:
    """Return mean loss and error of splits, with one transfer from the device for all of them.

    Args:
        losses_and_wrong: For each split the loss of every sample or target, float32, and whether
            a target is missed, bool. They are summed in float64, in the order of the data.

    Returns:
        Mean loss, and misclassified targets, percent, of each split, float64
        [2 * n_splits].
    """
    sums = [values.sum(dtype=torch.float64) for pair in losses_and_wrong for values in pair]
    totals = np.array(torch.stack(sums).tolist()).reshape(-1, 2)
    numbers = np.array([[values.numel() for values in pair] for pair in losses_and_wrong])
    return (totals * (1, 100) / numbers).ravel()


def prepare_device(setting: Setting, network: nn.Module) -> None:
    """Make this process compute in the setting's way, and the same way every time.

    Args:
        setting: How to evaluate.
        network: What will be evaluated, in the place of what was before.
    """
    n_bytes = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    # Center, point and both directions; on a GPU also what its graphs were recorded in.
    make_room(4 * n_bytes if setting.kind == "cpu" else ALWAYS)
    torch.set_num_threads(1)  # parallel over batches instead, see the head of this file
    keep_freed_memory()
    torch.backends.cudnn.benchmark = False  # it times kernels, so its choice is not repeatable
    torch.backends.cudnn.deterministic = True
    allow_tf32 = setting.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    torch.backends.cudnn.allow_tf32 = allow_tf32
    if setting.device.startswith("cuda"):
        torch.cuda.set_device(setting.device)
