"""Print rank 0's messages about an ensemble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.ensemble.inputs import Solution, Solutions
from landscape_mpi.jobs.ensemble.run import Cycling
from landscape_mpi.jobs.training.inputs import TrainingInputs
from landscape_mpi.jobs.training.training_messages import progress_line, sizes_and_place
from landscape_mpi.store.ensemble import Table, score_names
from landscape_mpi.zoo.recipe import Epoch

NO_OUTPUTS = (
    "members are compared by the problem's loss and metrics on its test split; there is no "
    "ensemble of averaged outputs, because the outputs of a problem may have any form"
)


# For classifiers: the printed columns and their formats.
SCORES = {"test_loss": "{:9.4f}", "test_error": "{:8.2f} %"}


def say_start(
    cycling: Cycling,
    solutions: Solutions | None,
    inputs: TrainingInputs,
    device: Device,
    found: str,
) -> None:
    """Print the start, the cycles and the members of a run, and how much is done."""
    assert solutions is not None
    n_ranks, model = cycling.setting["ranks"], cycling.identity["model"]
    print(sizes_and_place(inputs, model, device, n_ranks))
    if cycling.metrics is not None:
        print(NO_OUTPUTS)
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
    """Print the results of an epoch and the number of members."""
    line = progress_line(epoch, cycling.n_epochs)
    print(f"{line}  members {len(cycling.collected)}", flush=True)


def say_comparison(table: Table, folder: Path, metrics: Sequence[str] | None = None) -> None:
    """Print the comparison and the next step.

    Args:
        table: The comparison.
        folder: Folder of the run.
        metrics: Names of a problem's metrics; None for classifiers.
    """
    names = list(table["name"])
    width = max(map(len, names))
    print(
        "on the test split; epochs are the total from the beginning for the networks of a row, if "
        "known"
    )
    scores = SCORES if metrics is None else dict.fromkeys(score_names(metrics), "{:9.4g}")
    heads = [name.replace("_", " ", 1) for name in scores]
    print(f"{'':{width}}  networks  epochs  {'  '.join(heads)}")
    for row, (name, n, epochs) in enumerate(
        zip(names, table["networks"], table["epochs"], strict=True)
    ):
        spent = "" if math.isnan(epochs) else f"{epochs:g}"
        told = [form.format(table[score][row]) for score, form in scores.items()]
        aligned = [f"{text:>{len(head)}}" for text, head in zip(told, heads, strict=True)]
        print(f"{name:{width}}  {n:8}  {spent:>6}  {'  '.join(aligned)}")
    print(
        "FGE ensemble: the softmax outputs of the members (fast geometric ensembling), averaged; "
        "SWA: the members' weights, averaged (stochastic weight averaging)"
        if metrics is None
        else "FGE member: a network of fast geometric ensembling; SWA: the members' weights, "
        "averaged (stochastic weight averaging)"
    )
    if not {"one network", "mean independent"} & {*names}:
        print(
            "no other network is compared: repeat the command with --single FILE or --independent "
            "FILE ... to compare without training again"
        )
    print(f"done: {folder}; next: {typed('plot')} --ensemble {folder}", flush=True)
