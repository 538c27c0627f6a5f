"""What rank 0 tells of a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from landscape_mpi.job.training.messages import progress_line
from landscape_mpi.job.training.run import describe_resuming
from landscape_mpi.zoo.curve_file import CurveFile
from landscape_mpi.zoo.dataset import NOUNS, DataSet
from landscape_mpi.zoo.recipe import Epoch

if TYPE_CHECKING:
    from landscape_mpi.job.curve.training import CurveTraining


def say_training(
    training: CurveTraining, data: DataSet, device: torch.device, left: CurveFile | None
) -> None:
    """Say which curve is trained, on what and where, and how much of it is done."""
    options, n_ranks = training.options, training.setting["ranks"]
    n_weights = training.curve.free.shape[1]
    n = len(data.splits["train"].targets)
    where = f"CPU, threads: {torch.get_num_threads()}"
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    ranks = f"; {n_ranks} ranks, each with a t of its own" if n_ranks > 1 else ""
    ends = "free" if options.free_ends else "fixed"
    print(
        f"{options.kind} of {options.bends} points, ends {ends}: {options.start} to {options.end}\n"
        f"{options.model}: {n_weights:,} weights at a point; {data.name}: {n:,} train "
        f"{NOUNS[data.sample.kind]}; {where}{ranks}",
        flush=True,
    )
    if left is not None:
        known = left.content.training
        was = known["setting"] if known else training.setting
        print(
            describe_resuming(
                training.trainer.n_done, training.n_epochs, was=was, now=training.setting
            ),
            flush=True,
        )


def say_epoch(epoch: Epoch, n_epochs: int) -> None:
    """Say what an epoch gave: means over t."""
    print(progress_line(epoch, n_epochs), flush=True)


def say_trained(training: CurveTraining, finished: bool, signal: str | None) -> None:
    """Say what was written, and what to do next."""
    out, n_done = training.options.out, training.trainer.n_done
    if not finished:
        print(
            f"stopped by {signal or 'a signal'} with {n_done} of {training.n_epochs} epochs done; "
            f"run the same command again to go on",
            flush=True,
        )
        return
    print(
        f"done: {out}; next: python -m landscape_mpi.curve evaluate {out} --out "
        f"{out.with_suffix('.h5').name}",
        flush=True,
    )
