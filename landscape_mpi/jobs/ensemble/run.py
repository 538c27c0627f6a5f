"""Run the cycles of an ensemble, from the start or from where a run stopped, to the last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_mpi.engine.processes import Processes
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.ensemble.folder import EnsembleFolder
from landscape_mpi.jobs.training.run import EpochByEpoch, describe_resuming
from landscape_mpi.store.ensemble import (
    METRICS,
    NAME,
    EnsembleContent,
    Table,
    columns_of,
    write_ensemble,
)
from landscape_mpi.zoo.checkpoint import write_state
from landscape_mpi.zoo.cycle import Cycle
from landscape_mpi.zoo.recipe import Epoch
from landscape_mpi.zoo.trainer import Trainer

State = dict[str, torch.Tensor]
Row = dict[str, float]  # columns of the table "trace"


@dataclass
class Cycling(EpochByEpoch):
    """Hold a run through the cycles; folder is None on ranks that do not write."""

    trainer: Trainer
    cycle: Cycle
    measured: frozenset[int]  # iterations after which error and distance are measured
    start: State  # parameters of the start, on the device
    start_epochs: float  # epochs of its training, NaN if unknown
    record: dict[str, Any]  # record in every member, besides epoch, iteration and lr
    folder: EnsembleFolder | None
    identity: dict[str, Any]
    setting: dict[str, Any]
    left: dict[str, Any] | None  # left by an earlier run, to continue from
    metrics: tuple[str, ...] | None  # metrics of a problem; None for classifiers
    trace: list[Row] = field(default_factory=list)
    collected: list[int] = field(default_factory=list)  # iterations of all members
    fresh: dict[int, State] = field(default_factory=dict)  # this epoch's members by number, on root
    step: int = 0

    @property
    def network(self) -> nn.Module:
        """Return the network."""
        return self.trainer.network

    def epochs_until(self, iteration: int) -> float:
        """Return a number of iterations in epochs."""
        return iteration / self.trainer.n_batches

    def total_epochs(self, iteration: int) -> float:
        """Return the epochs of the start, if known, and of a number of iterations."""
        before = 0.0 if math.isnan(self.start_epochs) else self.start_epochs
        return before + self.epochs_until(iteration)

    def after_step(self) -> None:
        """Measure and collect when the cycle requires it. Collective over the group."""
        self.step += 1
        if self.step in self.measured:
            self.measure()
        if self.cycle.is_minimum(self.step):
            self.collected.append(self.step)
            if self.folder is not None:
                state = self.network.state_dict()
                copies = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
                self.fresh[len(self.collected)] = copies

    def measure(self) -> None:
        """Add a row for the present weights to the trace. Collective over the group."""
        loss, error = self.trainer.test()  # also gives the buffers of rank 0 to all
        assert loss is not None
        row: Row = {
            "iteration": self.step,
            "epoch": self.epochs_until(self.step),
            "lr": self.cycle.rate(self.step),
            "test_loss": loss,
            "distance": distance(dict(self.network.named_parameters()), self.start),
            "collected": int(self.cycle.is_minimum(self.step)),
        }
        if self.metrics is None:
            row["test_error"] = math.nan if error is None else error
        self.trace.append(row)

    def after_epoch(self, epoch: Epoch) -> None:
        """Write the folder's files after an epoch."""
        self.keep()

    def keep(self) -> None:
        """Write the folder's files after an epoch. Local; call it on rank 0."""
        assert self.folder is not None
        for number, state in self.fresh.items():
            self._write_member(number, state)
        self.fresh.clear()
        self.write_file({})
        self.folder.write_resume(
            state=self.trainer.state(),
            trace=self.trace,
            collected=self.collected,
            identity=self.identity,
            setting=self.setting,
        )

    def _write_member(self, number: int, state: State) -> None:
        assert self.folder is not None
        iteration = self.collected[number - 1]
        notes = {
            "epoch": self.total_epochs(iteration),
            "iteration": iteration,
            "lr": self.cycle.rate(iteration),
        }
        write_state(self.folder.member(number), state, self.record | notes)

    def write_file(self, tables: Mapping[str, Table]) -> None:
        """Write the ensemble file: the trace and all results so far."""
        assert self.folder is not None
        names = columns_of("trace", self.metrics)
        columns = {name: np.array([row[name] for row in self.trace]) for name in names}
        attributes = {name: _plain(value) for name, value in self.identity.items()}
        if self.metrics is not None:
            attributes[METRICS] = ",".join(self.metrics) or "none"
        attributes |= {
            "start": self.record["start"],
            "start_epochs": self.start_epochs,
            "cycle_iterations": self.cycle.length,
            "iterations_per_epoch": self.trainer.n_batches,
        }
        origin = self.record.get("provenance", {})
        content = EnsembleContent({"trace": columns, **tables}, attributes, origin)
        write_ensemble(self.folder.path / NAME, content)

    def __enter__(self) -> Cycling:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.folder is not None:
            self.folder.release()


def _plain(value: Any) -> Any:
    return "none" if value is None else value


@torch.no_grad()
def distance(parameters: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]) -> float:
    """Return the L2 norm of the difference of two sets of tensors, summed in float64."""
    squares = [
        (p.double() - others[name].double()).square().sum() for name, p in parameters.items()
    ]
    return math.sqrt(float(torch.stack(squares).sum()))


def begin_or_resume(cycling: Cycling, processes: Processes) -> str:
    """Continue from the folder's state, or begin. Collective over the processes.

    Returns:
        Description of the found state; empty for a run that begins.
    """
    content = cycling.left
    if content is None:
        cycling.measure()
        processes.on_root(cycling.keep)
        return ""
    processes.agree(lambda: check_members(cycling, content["collected"]))
    cycling.trainer.load_state(content["state"])
    cycling.trace, cycling.collected = content["trace"], content["collected"]
    n_done = cycling.trainer.n_done
    cycling.step = n_done * cycling.trainer.n_batches
    return describe_resuming(n_done, cycling.n_epochs, was=content["setting"], now=cycling.setting)


def check_members(cycling: Cycling, collected: list[int]) -> None:
    """Check that the members of a resumed run exist. Local.

    Raises:
        InputError: If one is missing.
    """
    if cycling.folder is None:
        return
    for number, _ in enumerate(collected, start=1):
        path = cycling.folder.member(number)
        if not path.is_file():
            raise InputError(
                f"--run: {path} is missing; it is one of {len(collected)} collected members. Put "
                "it back, or pass --fresh to start over."
            )
