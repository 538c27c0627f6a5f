"""What an ensemble begins with: data, recipe, the start, and what it is compared with."""

from __future__ import annotations

import argparse
import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.job.crew import Crew
from landscape_mpi.job.ensemble.folder import EnsembleFolder
from landscape_mpi.job.ensemble.run import Cycling, State
from landscape_mpi.job.job_folder import open_folder
from landscape_mpi.job.training import inputs as training
from landscape_mpi.options import MOST_NETWORKS
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.cycle import Cycle, length_of
from landscape_mpi.zoo.trainer import Trainer

FEWEST_MEASURES = 2  # of a cycle: at its minimum and at its end


@dataclass(frozen=True)
class Solution:
    """A trained network that was given."""

    path: Path
    sha256: str  # of the file
    state: State  # with the names and types of the network
    epochs: float  # of training that it took, NaN where unknown


@dataclass(frozen=True)
class Solutions:
    """What rank 0 has read besides the data."""

    start: Solution
    single: Solution | None
    independent: tuple[Solution, ...]


def read_solutions(
    options: argparse.Namespace, inputs: training.Inputs, crew: Crew
) -> Solutions | None:
    """Read all checkpoints on rank 0, and check them. Collective over the crew."""
    return crew.on_root(lambda: _read_solutions(options, inputs.network))


def _read_solutions(options: argparse.Namespace, network: nn.Module) -> Solutions:
    def read(path: Path) -> Solution:
        return read_solution(path, network, trust=options.trust_checkpoint)

    single = None if options.single is None else read(options.single)
    independent = tuple(read(path) for path in options.independent)
    return Solutions(read(options.start), single, independent)


def read_solution(path: Path, network: nn.Module, *, trust: bool) -> Solution:
    """Read a checkpoint as a network holds it. Local.

    Args:
        path: The file.
        network: Of the same architecture, left as it is.
        trust: Unpickle whatever the file holds.
    """
    checkpoint = read_checkpoint(path, trust=trust)
    filled = copy.deepcopy(network)
    load_state(filled, checkpoint)
    epoch = checkpoint.record.get("epoch")
    epochs = float(epoch) if isinstance(epoch, int | float) else math.nan
    return Solution(path, checkpoint.sha256, filled.state_dict(), epochs)


def files_of(options: argparse.Namespace) -> list[Path]:
    """Return the checkpoints that the options name."""
    return [options.start, *([options.single] if options.single else []), *options.independent]


def set_up(
    options: argparse.Namespace,
    inputs: training.Inputs,
    solutions: Solutions | None,
    device: torch.device,
    crew: Crew,
) -> Cycling:
    """Return the run, its folder made and locked. Collective over the crew."""
    training.make_deterministic(device)
    crew.agree(lambda: check_inputs(options, inputs))
    start = crew.share((solutions.start.state, solutions.start.epochs) if solutions else None)
    cycle = cycle_of(options, inputs)
    identity = identity_of(options, inputs, solutions)
    opened = crew.on_root(
        lambda: open_folder(
            EnsembleFolder, options.run, identity, fresh=options.fresh, inputs=files_of(options)
        )
    )
    left = crew.share(opened[1] if opened else None)
    team = crew.form_team(device)
    inputs.network.load_state_dict(start[0])
    trainer = crew.agree(
        lambda: Trainer(
            inputs.network, inputs.data, inputs.recipe, device=device, team=team, rate_of=cycle.rate
        )
    )
    setting = {"device": device.type, "threads": torch.get_num_threads(), "ranks": crew.size}
    n_iterations = options.epochs * trainer.n_batches
    return Cycling(
        trainer=trainer,
        cycle=cycle,
        measured=frozenset(cycle.fractions(n_iterations, min(options.measures, cycle.length))),
        start=copies_of_parameters(inputs.network),
        start_epochs=start[1],
        record=record_of(options, inputs, setting)
        | training.made_here("landscape_mpi.ensemble", crew),
        folder=opened[0] if opened else None,
        identity=identity,
        setting=setting,
        left=left,
    )


def copies_of_parameters(network: nn.Module) -> State:
    """Return a copy of each parameter by name."""
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def n_batches_of(inputs: training.Inputs) -> int:
    """Return the batches of an epoch."""
    return math.ceil(len(inputs.data.splits["train"].targets) / inputs.recipe.batch_size)


def cycle_of(options: argparse.Namespace, inputs: training.Inputs) -> Cycle:
    """Return the cycle of the learning rate."""
    length = length_of(options.cycle, n_batches_of(inputs))
    return Cycle(options.lr, options.lr_low, length)


def check_inputs(options: argparse.Namespace, inputs: training.Inputs) -> None:
    """Check that data and cycles are such that there is something to compare.

    Raises:
        InputError: If there is no test split, no cycle comes to its minimum, or too many do.
    """
    if "test" not in inputs.data.splits:
        raise InputError(
            f"--data {options.data}: has no test split, and an ensemble is compared with one "
            f"network by the error on it. Give the data a test split."
        )
    cycle, n_batches = cycle_of(options, inputs), n_batches_of(inputs)
    n_members = len(cycle.minima(options.epochs * n_batches))
    if n_members > MOST_NETWORKS:
        raise InputError(
            f"--epochs {options.epochs}: in cycles of {float(options.cycle):g} epochs, "
            f"{n_members:,} members would be collected, and there are at most {MOST_NETWORKS:,}: "
            f"each is a network on disk. Pass fewer --epochs, or a longer --cycle."
        )
    if not n_members:
        first = cycle.length / 2 / n_batches
        raise InputError(
            f"--epochs {options.epochs}: the learning rate comes to its first minimum, where a "
            f"member is collected, after {first:g} epochs of cycles of {float(options.cycle):g}. "
            f"Pass more --epochs, or a shorter --cycle."
        )


def identity_of(
    options: argparse.Namespace, inputs: training.Inputs, solutions: Solutions | None
) -> dict[str, Any]:
    """Return what makes two runs the same, by the name of the option, in plain types."""
    unused = {"optimizer", "lr_drops", "l1", "l2", "label_noise"}
    known = training.identity_of(options, inputs)
    identity = {name: value for name, value in known.items() if name not in unused}
    identity |= {
        "lr_low": options.lr_low,
        "cycle": float(options.cycle),
        "measures": options.measures,
        "start_sha256": solutions.start.sha256 if solutions else "",
    }
    return identity


def record_of(
    options: argparse.Namespace, inputs: training.Inputs, setting: dict[str, Any]
) -> dict[str, Any]:
    """Return what every member says about its making, in plain types."""
    return {
        "model": options.model,
        "data": options.data,
        "data_sha256": inputs.data.sha256,
        "seed": options.seed,
        "start": str(options.start),
        "options": {
            "lr": options.lr,
            "lr_low": options.lr_low,
            "cycle": float(options.cycle),
            "epochs": options.epochs,
            **setting,
        },
    }
