"""Gather the inputs of an ensemble: data, recipe, start, and the networks to compare with."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine.checkpoints import load_weights, read_weights
from landscape_mpi.engine.job_folder import open_folder
from landscape_mpi.engine.processes import Processes
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.ensemble.averaging import check_problem
from landscape_mpi.jobs.ensemble.folder import EnsembleFolder
from landscape_mpi.jobs.ensemble.request import EnsembleRequest
from landscape_mpi.jobs.ensemble.run import Cycling, State
from landscape_mpi.jobs.training import inputs as training
from landscape_mpi.options import MOST_NETWORKS
from landscape_mpi.store.ensemble import LOSS_UNITS
from landscape_mpi.zoo.cycle import Cycle, length_of
from landscape_mpi.zoo.trainer import Trainer


@dataclass(frozen=True)
class Solution:
    """Hold a given trained network."""

    path: Path
    sha256: str  # digest of the file
    state: State  # in the names and types of the network
    epochs: float  # epochs of its training, NaN if unknown


@dataclass(frozen=True)
class Solutions:
    """Hold the solutions that rank 0 has read besides the data."""

    start: Solution
    single: Solution | None
    independent: tuple[Solution, ...]


def read_solutions(
    asked: EnsembleRequest, inputs: training.TrainingInputs, processes: Processes
) -> Solutions | None:
    """Read all checkpoints on rank 0, and check them. Collective over the processes."""
    return processes.on_root(lambda: _read_solutions(asked, inputs.network))


def _read_solutions(asked: EnsembleRequest, network: nn.Module) -> Solutions:
    trust, key = asked.training.network.trust_checkpoint, asked.training.network.checkpoint_key

    def read(path: Path) -> Solution:
        return read_solution(path, network, trust=trust, key=key)

    single = None if asked.single is None else read(asked.single)
    independent = tuple(read(path) for path in asked.independent)
    return Solutions(read(asked.start), single, independent)


def read_solution(
    path: Path, network: nn.Module, *, trust: bool = False, key: str | None = None
) -> Solution:
    """Read a checkpoint in the form of a network. Local.

    Args:
        path: The file.
        network: Network of the same architecture; it stays unchanged.
        trust: Run pickled code that it may hold.
        key: Name of one of several sets of weights.
    """
    checkpoint = read_weights(path, trust=trust, key=key)
    before = copy.deepcopy(network.state_dict())
    load_weights(network, checkpoint)  # not a copy: torch cannot copy all modules
    state = copy.deepcopy(network.state_dict())
    network.load_state_dict(before)
    epoch = checkpoint.record.get("epoch")
    epochs = float(epoch) if isinstance(epoch, int | float) else math.nan
    return Solution(path, checkpoint.sha256, state, epochs)


def set_up(
    asked: EnsembleRequest,
    inputs: training.TrainingInputs,
    solutions: Solutions | None,
    device: Device,
    processes: Processes,
) -> Cycling:
    """Return the run; make and lock its folder. Collective over the processes."""
    training.make_deterministic(device)
    processes.agree(lambda: check_inputs(asked, inputs))
    start = processes.share((solutions.start.state, solutions.start.epochs) if solutions else None)
    cycle = cycle_of(asked, inputs)
    identity = identity_of(asked, inputs, solutions)
    opened = processes.on_root(
        lambda: open_folder(
            EnsembleFolder, asked.run, identity, fresh=asked.training.fresh, inputs=asked.files
        )
    )
    left = processes.share(opened[1] if opened else None)
    group = processes.start_process_group(device)
    inputs.network.load_state_dict(start[0])

    def make_trainer() -> Trainer:
        task, recipe = inputs.task(device, processes), inputs.recipe
        rate = cycle.rate
        where = device.place
        return Trainer(inputs.network, task, recipe, device=where, group=group, rate_of=rate)

    trainer = processes.agree(make_trainer)
    setting = {"device": device.kind, "threads": torch.get_num_threads(), "ranks": processes.size}
    n_iterations = inputs.recipe.epochs * trainer.n_batches
    return Cycling(
        trainer=trainer,
        cycle=cycle,
        measured=frozenset(cycle.fractions(n_iterations, min(asked.measures, cycle.length))),
        start=copies_of_parameters(inputs.network),
        start_epochs=start[1],
        record=record_of(asked, inputs, setting)
        | training.made_here("landscape_mpi.ensemble", processes),
        folder=opened[0] if opened else None,
        identity=identity,
        setting=setting,
        left=left,
        metrics=inputs.metrics,
    )


def copies_of_parameters(network: nn.Module) -> State:
    """Return a copy of each parameter by name."""
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def n_batches_of(inputs: training.TrainingInputs) -> int:
    """Return the number of steps in an epoch."""
    return math.ceil(inputs.n_training / inputs.recipe.batch_size)


def cycle_of(asked: EnsembleRequest, inputs: training.TrainingInputs) -> Cycle:
    """Return the cycle of the learning rate."""
    length = length_of(asked.cycle, n_batches_of(inputs))
    return Cycle(inputs.recipe.lr, asked.lr_low, length)


def check_inputs(asked: EnsembleRequest, inputs: training.TrainingInputs) -> None:
    """Check that data and cycles give something to compare.

    Raises:
        InputError: If there is no test split, if no cycle reaches its minimum, or if too many do.
    """
    if isinstance(inputs, training.ProblemInputs):
        check_problem(inputs.training)
    elif "test" not in inputs.data.splits:
        raise InputError(
            f"--data {asked.training.data.data}: has no test split, but an ensemble is compared "
            "with a network by the error on that split. Give the data a test split."
        )
    epochs = inputs.recipe.epochs
    cycle, n_batches = cycle_of(asked, inputs), n_batches_of(inputs)
    n_members = len(cycle.minima(epochs * n_batches))
    if n_members > MOST_NETWORKS:
        raise InputError(
            f"--epochs {epochs}: in cycles of {float(asked.cycle):g} epochs, {n_members:,} members "
            f"would be collected, but at most {MOST_NETWORKS:,} are allowed, because each is a "
            "network on disk. Pass fewer --epochs, or a longer --cycle."
        )
    if not n_members:
        first = cycle.length / 2 / n_batches
        raise InputError(
            f"--epochs {epochs}: the learning rate reaches its first minimum, where a member is "
            f"collected, only after {first:g} epochs, with cycles of {float(asked.cycle):g}. Pass "
            "more --epochs, or a shorter --cycle."
        )


def identity_of(
    asked: EnsembleRequest, inputs: training.TrainingInputs, solutions: Solutions | None
) -> dict[str, Any]:
    """Return the values by option, in plain types, that equal runs must share."""
    unused = {"optimizer", "lr_drops", "l1", "l2", "label_noise"}
    known = inputs.identity(asked.training)
    identity = {name: value for name, value in known.items() if name not in unused}
    identity |= {
        "lr_low": asked.lr_low,
        "cycle": float(asked.cycle),
        "measures": asked.measures,
        "start_sha256": solutions.start.sha256 if solutions else "",
        "checkpoint_key": asked.training.network.checkpoint_key,
    }
    if isinstance(inputs, training.ProblemInputs):
        identity[LOSS_UNITS] = inputs.training.problem.units
    return identity


def record_of(
    asked: EnsembleRequest, inputs: training.TrainingInputs, setting: dict[str, Any]
) -> dict[str, Any]:
    """Return every member's record of its origin, in plain types."""
    identity = inputs.identity(asked.training)
    return {
        **{name: identity[name] for name in ("model", "data", "data_sha256")},
        "seed": inputs.recipe.seed,
        "start": str(asked.start),
        "options": {
            "lr": inputs.recipe.lr,
            "lr_low": asked.lr_low,
            "cycle": float(asked.cycle),
            "epochs": inputs.recipe.epochs,
            **setting,
        },
    }
