"""The training of a curve's bends, epoch by epoch, all ranks together."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute.curve import CurveNetwork, straight_points
from landscape_mpi.compute.tensors import fill_network
from landscape_mpi.errors import EXIT_REQUEUE, InputError
from landscape_mpi.job import provenance
from landscape_mpi.job.crew import Crew
from landscape_mpi.job.curve import messages
from landscape_mpi.job.curve.ends import Ends, read_ends
from landscape_mpi.job.curve.train import MOST_BENDS
from landscape_mpi.job.inputs import read_dataset
from landscape_mpi.job.job_folder import check_identity
from landscape_mpi.job.rank_crew import RankCrew
from landscape_mpi.job.training.inputs import augments, make_deterministic
from landscape_mpi.job.training.run import train_epochs
from landscape_mpi.job.training.run_folder import History
from landscape_mpi.output import OutputLock, check_output
from landscape_mpi.zoo.curve_file import CurveContent, CurveFile, read_curve, write_curve
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.recipe import CurveRecipe, Epoch
from landscape_mpi.zoo.trainer import Trainer


@dataclass
class CurveTraining:
    """A curve in training; lock is None on ranks that write nothing."""

    options: argparse.Namespace
    trainer: Trainer
    curve: CurveNetwork
    states: list[dict[str, torch.Tensor]]  # of the points: with what is not trained, too
    content: CurveContent  # of the file, but for what an epoch changes
    setting: dict[str, Any]  # what decides the last bits as well: device, threads, ranks
    lock: OutputLock | None
    history: History = field(default_factory=lambda: History([], {}))

    @property
    def n_epochs(self) -> int:
        """Return the epochs of the whole run."""
        return self.trainer.recipe.epochs

    def keep(self, epoch: int, lr: float) -> None:
        """Write the curve as it is after so many epochs."""
        points = [
            state | moved
            for state, moved in zip(self.states, self.curve.named_points(), strict=True)
        ]
        training = None
        if epoch < self.n_epochs:
            training = {
                "optimizer": self.trainer.state()["optimizer"],
                "buffers": dict(self.curve.network.named_buffers()),
                "setting": self.setting,
            }
        rows = [asdict(epoch) for epoch in self.history.epochs]
        content = replace(
            self.content, points=points, n_done=epoch, history=rows, training=training
        )
        write_curve(self.options.out, content)


def train_curve(options: argparse.Namespace, ranks: Ranks) -> int:
    """Train the curve the options ask for. Collective over the ranks.

    Returns:
        Exit status: 0 when all epochs are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)
    crew = RankCrew(ranks)
    crew.on_root(lambda: _check_options(options))
    device = crew.take_device(options.device, options.threads)
    make_deterministic(device)
    data = crew.share_data(crew.on_root(lambda: read_dataset(options)))
    ends = crew.share(crew.on_root(lambda: read_ends(options, data)))
    training, left = _set_up(options, crew, data, ends, device)
    if crew.is_root:
        messages.say_training(training, data, device, left)
    try:
        if left is None:
            crew.on_root(lambda: training.keep(0, 0.0))
        finished = train_epochs(training, crew, stopped=lambda: stop.came, say=messages.say_epoch)
    finally:
        if training.lock is not None:
            training.lock.release()
    if crew.is_root:
        messages.say_trained(training, finished, stop.name)
    crew.leave()
    return 0 if finished else EXIT_REQUEUE


def _check_options(options: argparse.Namespace) -> None:
    """Check what needs no file.

    Raises:
        InputError: If it cannot be.
    """
    least = 2 if options.free_ends else 3
    if options.bends < least:
        raise InputError(
            f"--bends {options.bends}: both ends count, so nothing of the curve could be trained. "
            f"Pass --bends {least} or more{', or --free-ends' if options.bends == 2 else ''}."
        )
    if options.bends > MOST_BENDS:
        raise InputError(
            f"--bends {options.bends}: each is a network of its own in memory and in --out, and "
            f"there are at most {MOST_BENDS:,}. Pass fewer."
        )
    if options.momentum >= 1:
        raise InputError(f"--momentum {options.momentum:g}: must be below 1, e.g. 0.9.")
    check_output(options.out, inputs=[options.start, options.end])


def _set_up(
    options: argparse.Namespace, crew: Crew, data: DataSet, ends: Ends, device: torch.device
) -> tuple[CurveTraining, CurveFile | None]:
    """Return the run, and what it goes on from. Collective over the crew."""
    recipe = crew.agree(lambda: _make_recipe(options, data))
    content = _describe(options, data, ends, recipe)
    opened = crew.on_root(lambda: _open(options, content))
    lock = opened[0] if opened else None
    left: CurveFile | None = crew.share(opened[1] if opened else None)
    states = _states_of(left) if left else _straight(ends, options.bends)
    network = ends.source.build()
    fill_network(network, ends.start)
    points = [{name: state[name].numpy() for name in ends.trained} for state in states]
    curve = CurveNetwork(network, points, kind=options.kind, free_ends=options.free_ends)
    trained = replace(data, splits={"train": data.splits["train"]})

    def penalty() -> torch.Tensor:
        return options.weight_decay / 2 * curve.square_norm

    team = crew.form_team(device)
    trainer = Trainer(curve, trained, recipe, device=device, team=team, penalty=penalty)
    setting = {"device": device.type, "threads": torch.get_num_threads(), "ranks": crew.size}
    training = CurveTraining(options, trainer, curve, states, content, setting, lock)
    if left is not None:
        _go_on(training, left.content)
    return training, left


def _make_recipe(options: argparse.Namespace, data: DataSet) -> CurveRecipe:
    return CurveRecipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        lr=options.lr,
        weight_decay=0.0,  # of the points; that of the paper is of the place on the curve
        augment=augments(options.augment, data),
        seed=options.seed,
        momentum=options.momentum,
        nesterov=False,
        precision=options.precision,
    )


def _describe(
    options: argparse.Namespace, data: DataSet, ends: Ends, recipe: CurveRecipe
) -> CurveContent:
    """Return what the file says before the first epoch."""
    names = ("model", "data", "kind", "bends", "free_ends", "seed", "epochs", "batch_size", "lr")
    identity = {name: getattr(options, name) for name in (*names, "momentum", "weight_decay")}
    identity |= {
        "data_sha256": data.sha256,
        **ends.sha256,
        "augment": "crop-flip" if recipe.augment else "none",
        "precision": options.precision,
        "mean": list(data.mean),
        "std": list(data.std),
    }
    record = {
        "start": str(options.start),
        "end": str(options.end),
        "data_dir": str(options.data_dir or "none"),
        **provenance.made_by("landscape_mpi.curve"),
    }
    return CurveContent(options.kind, (), ends.trained, identity, record, 0, (), None)


def _open(
    options: argparse.Namespace, content: CurveContent
) -> tuple[OutputLock, CurveFile | None]:
    """Lock the file of the curve, and return what a run has left in it. Local."""
    lock = OutputLock(options.out)
    try:
        if not options.out.exists() or (options.fresh and not options.out.stat().st_size):
            return lock, None
        found = _read_left(options.out)  # what is no curve is not replaced either
        if options.fresh:
            return lock, None
        check_identity(options.out, found.content.identity, content.identity, place="--out")
    except BaseException:
        lock.release()
        raise
    return lock, found


def _read_left(out: Path) -> CurveFile:
    """Return what --out holds.

    Raises:
        InputError: If that is no curve.
    """
    try:
        return read_curve(out)
    except InputError as problem:
        raise InputError(
            f"--out: {out} is there and holds no curve to go on from ({problem}) It is left alone: "
            f"pass another --out, or remove it if nobody needs it."
        ) from problem


def _states_of(found: CurveFile) -> list[dict[str, torch.Tensor]]:
    return [dict(point) for point in found.content.points]


def _straight(ends: Ends, n_points: int) -> list[dict[str, torch.Tensor]]:
    return [
        {name: torch.from_numpy(np.asarray(values)) for name, values in point.items()}
        for point in straight_points(ends.start, ends.end, n_points)
    ]


def _go_on(training: CurveTraining, content: CurveContent) -> None:
    """Take up what a run has left."""
    training.history = History([Epoch(**row) for row in content.history], {})
    training.trainer.n_done = content.n_done
    left = content.training
    if left is None:  # it is done
        return
    buffers = dict(training.curve.network.named_buffers())
    for name, values in left["buffers"].items():
        buffers[name].copy_(values)
    network = training.curve.state_dict()
    state = {"epoch": content.n_done, "network": network, "optimizer": left["optimizer"]}
    training.trainer.load_state(state)
