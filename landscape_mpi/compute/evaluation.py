"""Compute loss and error of a network over whole splits, on one device.

Images stay on the device as bytes and are normalised batch by batch. On a CPU the batches are
distributed over threads, each of which computes its own batches. So a sample's loss does not
depend, bit for bit, on the number of threads or ranks. Kernels that split one batch over threads do
not guarantee this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.devices.repeatability import compute_repeatably
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.memory import keep_freed_memory
from landscape_mpi.compute.passes import Passes, RecordedPasses, ThreadedPasses
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.steps import ALL as ALL_STEPS
from landscape_mpi.compute.steps import Steps
from landscape_mpi.compute.tensors import named_tensors
from landscape_mpi.errors import UserCodeError, users_own
from landscape_mpi.gc_tuning import ALWAYS, free_unused
from landscape_mpi.problem import Finish

PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Setting:
    """Hold how the points of a surface are evaluated; every field may change the last bits."""

    device: Device  # device of this rank
    precision: str  # one of PRECISIONS
    batch: int  # samples per forward pass
    threads: int = 1  # batches at a time; CPU only, no effect on the results
    compiled: bool = False  # whether torch.compile is used
    points: int = 1  # points in a pass, with their weights stacked
    steps: Steps = ALL_STEPS  # steps that make the network faster

    @property
    def kind(self) -> str:
        """Return the kind of device, e.g. ``cpu``."""
        return self.device.kind

    @property
    def n_threads(self) -> int:
        """Return the number of batches that are computed at the same time."""
        return self.threads if self.steps.threads else 1


class Evaluator:
    """Evaluate a network with its current weights over whole splits."""

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
            network: Network in evaluation mode on the setting's device, weights with channels last.
            setting: How to evaluate.
            dtype: Type of the network's weights.
            loss: Loss of its outputs.
        """
        self._network = network
        self._dtype = dtype
        self._loss = loss
        self._setting = setting
        self.passes: Passes
        if setting.device.can_record:
            self.passes = RecordedPasses(
                self._evaluate_rows,
                batch=setting.batch,
                record=setting.device.record,
                network=type(network),
            )
        else:
            threads = setting.n_threads
            self.passes = ThreadedPasses(self._evaluate_rows, batch=setting.batch, threads=threads)

    def compute_losses(self, samples: ResidentSplit) -> None:
        """Fill in the losses of the samples at the network's current weights.

        NaN and infinity are results; a sample whose loss is NaN is misclassified.
        """
        self.passes.run(samples)

    def outputs_and_losses(
        self, samples: ResidentSplit, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the network's outputs for one batch, and the losses of its samples."""
        with torch.no_grad():
            outputs = self.outputs(samples, rows)
            return outputs, self._losses_and_wrong(outputs, samples.targets[rows])[0]

    def outputs(self, samples: ResidentSplit, rows: slice) -> torch.Tensor:
        """Return the network's outputs for a batch: float64 stays float64, the rest is float32."""
        steps = self._setting.steps
        with torch.inference_mode() if steps.inference else torch.enable_grad():
            how = {"channels_last": steps.channels_last, "copied": not steps.uncopied}
            inputs = samples.batch(rows, **how)
            if inputs.is_floating_point():
                inputs = inputs.to(self._dtype)
            with _precision(self._setting, self._dtype):
                outputs = self._network(inputs).detach()
            return outputs if outputs.dtype == torch.float64 else outputs.float()

    def _evaluate_rows(self, samples: ResidentSplit, rows: slice) -> None:
        with torch.inference_mode() if self._setting.steps.inference else torch.no_grad():
            outputs, targets = self.outputs(samples, rows), samples.targets[rows]
            samples.keep(rows, *self._losses_and_wrong(outputs, targets))

    def _losses_and_wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | bool, torch.Tensor | None]:
        return self._loss.measure(outputs, targets)


@contextmanager
def _precision(setting: Setting, dtype: torch.dtype) -> Iterator[None]:
    """Let a float32 network compute its matrix products in bfloat16, if requested."""
    mixed = setting.precision == "bf16" and dtype == torch.float32
    with setting.device.cast(torch.bfloat16, enabled=mixed):
        yield


def mean_values(
    kept: Sequence[tuple[torch.Tensor, ...]], *, finishes: Sequence[Finish | None] | None = None
) -> np.ndarray:
    """Return the mean values of all splits with a single transfer from the device.

    Args:
        kept: For each split, the loss of every sample or target, float32, and whether a target is
            missed, bool. If targets are ignored or weighted, also the weights of the losses and
            which targets count. All are summed in float64, in the order of the data. For a
            problem's splits, the sums and the counts of each function in turn.
        finishes: Function that is applied to the mean of each function of a problem; None for the
            losses and misses of samples.

    Returns:
        Mean loss and misclassified targets, percent, of each split, float64 [2 * n_splits]; for a
        problem the value of each function, float64 [n_functions * n_splits].

    Raises:
        UserCodeError: If one of the functions in finishes raises.
    """
    sums = [values.sum(dtype=torch.float64) for split in kept for values in split]
    totals = np.array(torch.stack(sums).tolist())
    return means_of(totals, kept) if finishes is None else finished_means(totals, finishes)


def means_of(sums: np.ndarray, kept: Sequence[tuple[torch.Tensor, ...]]) -> np.ndarray:
    """Return mean losses and errors from the sums of mean_values' inputs.

    Args:
        sums: Sums, float64 [..., n_tensors].
        kept: Values of one point, as in mean_values.

    Returns:
        Mean losses and errors, float64 [..., 2 * n_splits].
    """
    ends = np.cumsum([len(split) for split in kept])
    means = []
    for split, own in zip(kept, np.split(sums, ends[:-1], axis=-1), strict=True):
        totals, counts = own[..., :2] * (1, 100), own[..., 2:]
        if len(split) == 2:
            counts = np.array([values.numel() for values in split])
        with np.errstate(invalid="ignore"):  # sum of weights that are all 0
            means.append(totals / counts)
    return np.concatenate(means, axis=-1)


def finished_means(sums: np.ndarray, finishes: Sequence[Finish | None]) -> np.ndarray:
    """Return the value of each function of a problem, from its sums and counts.

    A value that overflows, such as exp(1000), becomes infinity.

    Args:
        sums: Sum and count of each function in turn, for each split, float64
            [2 * n_functions * n_splits].
        finishes: Function that is applied to the mean of each function.

    Returns:
        float64 [n_functions * n_splits].

    Raises:
        UserCodeError: If one of these functions raises.
    """
    totals, counts = sums[0::2], sums[1::2]
    with np.errstate(invalid="ignore", divide="ignore"):  # no sample counts
        means = (totals / counts).reshape(-1, len(finishes))
    for means_of_split in means:
        for i, finish in enumerate(finishes):
            if finish is not None:
                means_of_split[i] = _finished(finish, float(means_of_split[i]))
    return means.ravel()


def _finished(finish: Finish, mean: float) -> float:
    try:
        with users_own(
            f"Problem: the function that finishes a metric raised for {mean:.6g}", library_too=True
        ):
            return float(finish(mean))
    except UserCodeError as error:
        if isinstance(error.__cause__, OverflowError):
            return math.inf
        raise


def prepare_device(setting: Setting, network: nn.Module) -> None:
    """Make this process compute as the setting says, with the same bits every time.

    Args:
        setting: How to evaluate.
        network: Network to evaluate; replaces the previous one.
    """
    n_bytes = sum(t.numel() * t.element_size() for t in named_tensors(network).values())
    # Center, point and both directions; on a GPU also the memory of its recorded graphs.
    free_unused(4 * n_bytes if setting.device.is_host else ALWAYS)
    torch.set_num_threads(1)  # batches run in parallel instead; see the head of this file
    keep_freed_memory()
    compute_repeatably(tf32=setting.precision == "tf32")
    setting.device.bind()
