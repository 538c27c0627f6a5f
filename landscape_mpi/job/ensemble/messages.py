"""What rank 0 tells of an ensemble."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from landscape_mpi.job.ensemble.inputs import Solution, Solutions
from landscape_mpi.job.ensemble.run import Cycling
from landscape_mpi.job.training.messages import progress_line, sizes_and_place
from landscape_mpi.store.ensemble import Table
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.recipe import Epoch


def say_start(
    cycling: Cycling, solutions: Solutions | None, data: DataSet, device: torch.device, found: str
) -> None:
    """Say what is trained, from where and how, and how much of it is done."""
    assert solutions is not None
    n_ranks, model = cycling.setting["ranks"], cycling.identity["model"]
    print(sizes_and_place(cycling.network, model, data, device, n_ranks))
    print(f"start: {_named(solutions.start)}")
    cycle, n = cycling.cycle, cycling.trainer.n_batches
    members = cycle.minima(cycling.n_epochs * n)
    print(
        f"cycles of {cycle.length} iterations ({cycle.length / n:g} epochs), learning rate "
        f"{cycle.high:g} to {cycle.low:g}; members: {len(members)}, after "
        f"{', '.join(f'{i / n:g}' for i in members[:8])}{', ...' * (len(members) > 8)} epochs"
    )
    print(found, end="\n" * bool(found), flush=True)


def _named(solution: Solution) -> str:
    epochs = "not known" if math.isnan(solution.epochs) else f"{solution.epochs:g}"
    return f"{solution.path}, epochs it took: {epochs}"


def say_epoch(epoch: Epoch, cycling: Cycling) -> None:
    """Say what an epoch gave, and how many members there are."""
    line = progress_line(epoch, cycling.n_epochs)
    print(f"{line}  members {len(cycling.collected)}", flush=True)


def say_comparison(table: Table, folder: Path) -> None:
    """Say what everything is worth, and what to do next."""
    names = list(table["name"])
    width = max(map(len, names))
    print(
        "on the test split; epochs are all that the networks of a row took from the beginning, "
        "where that is known"
    )
    print(f"{'':{width}}  networks  epochs  test loss  test error")
    for name, n, epochs, loss, error in zip(
        *(table[c] for c in ("name", "networks", "epochs", "test_loss", "test_error")), strict=True
    ):
        spent = "" if math.isnan(epochs) else f"{epochs:g}"
        print(f"{name:{width}}  {n:8}  {spent:>6}  {loss:9.4f}  {error:8.2f} %")
    print(
        "FGE ensemble: the softmax outputs of the members (fast geometric ensembling), averaged; "
        "SWA: the members' weights, averaged (stochastic weight averaging)"
    )
    if not {"one network", "independent ensemble"} & {*names}:
        print(
            "no other network stands beside them: the same command with --single FILE or "
            "--independent FILE ... compares, without training again"
        )
    print(f"done: {folder}; next: python -m landscape_mpi.plot --ensemble {folder}", flush=True)


def say_stopped(cycling: Cycling, signal: str | None) -> None:
    """Say that the run goes on later."""
    print(
        f"stopped by {signal or 'a signal'} with {cycling.trainer.n_done} of {cycling.n_epochs} "
        "epochs done; run the same command again to go on",
        flush=True,
    )
