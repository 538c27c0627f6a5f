"""Train a curve's bends epoch by epoch, on all ranks together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute.curve import CurveNetwork, straight_points
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.tensors import fill_network
from landscape_mpi.engine import provenance
from landscape_mpi.engine.inputs import read_dataset
from landscape_mpi.engine.job_folder import check_identity
from landscape_mpi.engine.processes import Processes
from landscape_mpi.engine.rank_processes import RankProcesses
from landscape_mpi.errors import EXIT_REQUEUE, InputError
from landscape_mpi.jobs.curve.curve_messages import CurveLog
from landscape_mpi.jobs.curve.ends import Ends, read_ends, read_problem_ends
from landscape_mpi.jobs.curve.request import MOST_BENDS, CurveTrainingRequest
from landscape_mpi.jobs.training.inputs import (
    Inputs,
    ProblemInputs,
    TrainingInputs,
    augments,
    make_deterministic,
    refuse_batches,
)
from landscape_mpi.jobs.training.problem_training import gather_problem
from landscape_mpi.jobs.training.run import EpochByEpoch, train_epochs
from landscape_mpi.jobs.training.run_folder import History
from landscape_mpi.output import OutputLock, check_output
from landscape_mpi.zoo.curve_file import CurveContent, CurveFile, read_curve, write_curve
from landscape_mpi.zoo.recipe import BATCH_SIZE, CurveRecipe, Epoch
from landscape_mpi.zoo.trainer import Trainer


@dataclass
class CurveTraining(EpochByEpoch):
    """Hold a curve in training; lock is None on ranks that do not write."""

    asked: CurveTrainingRequest
    trainer: Trainer
    curve: CurveNetwork
    states: list[dict[str, torch.Tensor]]  # points with untrained tensors
    content: CurveContent  # content of the file without the parts that an epoch changes
    setting: dict[str, Any]  # further causes of the last bits: device, threads, ranks
    lock: OutputLock | None
    history: History = field(default_factory=lambda: History([], {}))

    def after_epoch(self, epoch: Epoch) -> None:
        """Write the curve after an epoch."""
        self.history.epochs.append(epoch)
        self.keep(epoch.epoch, epoch.lr)

    def keep(self, epoch: int, lr: float) -> None:
        """Write the curve after a number of epochs."""
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
        write_curve(self.asked.file.out, content)


def train_curve(asked: CurveTrainingRequest, ranks: Ranks) -> int:
    """Train a curve. Collective over the ranks.

    Returns:
        Exit status: 0 when all epochs are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)
    with RankProcesses(ranks) as processes:
        finished = run_training(asked, processes, stop, CurveLog())
    return 0 if finished else EXIT_REQUEUE


def run_training(
    asked: CurveTrainingRequest,
    processes: Processes,
    stop: StopRequest,
    log: CurveLog,
) -> bool:
    """Train a curve until all epochs are done or a signal comes. Collective over the processes.

    Args:
        asked: Request of the curve.
        processes: Processes that train.
        stop: Signals that are checked after every epoch; already listening.
        log: Messages of the training.

    Returns:
        Whether all epochs are done.
    """
    processes.on_root(lambda: _check_options(asked))
    device = processes.take_device(asked.device, asked.threads)
    make_deterministic(device)
    inputs, ends = _read(asked, processes)
    training, left = _set_up(asked, processes, inputs, ends, device)
    if processes.is_root:
        log.say_start(training, inputs, device, left)
    try:
        if left is None:
            processes.on_root(lambda: training.keep(0, 0.0))
        finished = train_epochs(
            training,
            processes,
            stopped=lambda: stop.came,
            say=lambda epoch: log.say_epoch(epoch, training.n_epochs),
        )
    finally:
        if training.lock is not None:
            training.lock.release()
    if processes.is_root:
        log.say_end(training, finished, stop.name)
    return finished


def _read(asked: CurveTrainingRequest, processes: Processes) -> tuple[TrainingInputs, Ends]:
    """Return the training inputs and the ends of the curve. Collective over the processes."""
    if asked.inputs.problem is not None:
        training = gather_problem(
            asked.inputs,
            processes,
            seed=None,
            batch_size=asked.batch_size,
            augment=asked.augment == "crop-flip",
            precision=asked.precision == "bf16",
        )
        read = processes.on_root(lambda: read_problem_ends(asked, training.network))
        n = asked.batches_per_step or 1
        recipe = processes.agree(lambda: _make_recipe(asked, n, augment=False))
        return ProblemInputs(training, recipe), processes.share(read)
    processes.on_root(lambda: refuse_batches(asked.batches_per_step))
    ignored = asked.inputs.loss.ignore_index
    data = processes.share_data(
        processes.on_root(lambda: read_dataset(asked.inputs.data, ignore_index=ignored))
    )
    ends = processes.share(processes.on_root(lambda: read_ends(asked, data)))
    size = asked.batch_size or BATCH_SIZE
    recipe = processes.agree(
        lambda: _make_recipe(asked, size, augment=augments(asked.augment, data))
    )
    assert ends.source is not None
    data = replace(data, class_axis=ends.class_axis)
    return Inputs(data, 0, recipe, ends.source.build()), ends


def _check_options(asked: CurveTrainingRequest) -> None:
    """Check the options that need no file.

    Raises:
        InputError: If they are not valid.
    """
    least = 2 if asked.free_ends else 3
    if asked.bends < least:
        raise InputError(
            f"--bends {asked.bends}: both ends count, so no part of the curve could be trained. "
            f"Pass --bends {least} or more{', or --free-ends' if asked.bends == 2 else ''}."
        )
    if asked.bends > MOST_BENDS:
        raise InputError(
            f"--bends {asked.bends}: each bend is a network in memory and in --out, and at most "
            f"{MOST_BENDS:,} are allowed. Pass fewer."
        )
    if asked.momentum >= 1:
        raise InputError(f"--momentum {asked.momentum:g}: must be below 1, e.g. 0.9.")
    check_output(asked.file.out, inputs=[asked.start, asked.end])


def _set_up(
    asked: CurveTrainingRequest,
    processes: Processes,
    inputs: TrainingInputs,
    ends: Ends,
    device: Device,
) -> tuple[CurveTraining, CurveFile | None]:
    """Return the run and the state that it continues from. Collective over the processes."""
    content = _describe(asked, inputs, ends)
    opened = processes.on_root(lambda: _open(asked, content))
    lock = opened[0] if opened else None
    left: CurveFile | None = processes.share(opened[1] if opened else None)
    states = _states_of(left) if left else _straight(ends, asked.bends)
    fill_network(inputs.network, ends.start)
    points = [{name: state[name].numpy() for name in ends.trained} for state in states]
    curve = CurveNetwork(inputs.network, points, kind=asked.kind, free_ends=asked.free_ends)

    def penalty() -> torch.Tensor:
        return asked.weight_decay / 2 * curve.square_norm

    group = processes.start_process_group(device)
    task = inputs.task(device, processes, test=False)
    trainer = Trainer(curve, task, inputs.recipe, device=device.place, group=group, penalty=penalty)
    setting = {"device": device.kind, "threads": torch.get_num_threads(), "ranks": processes.size}
    training = CurveTraining(asked, trainer, curve, states, content, setting, lock)
    if left is not None:
        _go_on(training, left.content)
    return training, left


def _make_recipe(asked: CurveTrainingRequest, batch_size: int, *, augment: bool) -> CurveRecipe:
    return CurveRecipe(
        epochs=asked.epochs,
        batch_size=batch_size,
        lr=asked.lr,
        weight_decay=0.0,  # would decay the points; the paper decays the weights at t
        augment=augment,
        seed=asked.seed,
        momentum=asked.momentum,
        nesterov=False,
        precision=asked.precision,
    )


def _describe(asked: CurveTrainingRequest, inputs: TrainingInputs, ends: Ends) -> CurveContent:
    """Return the content of the file before the first epoch."""
    names = ("kind", "bends", "free_ends", "seed", "epochs", "lr", "momentum", "weight_decay")
    options = {name: getattr(asked, name) for name in names}
    if isinstance(inputs, ProblemInputs):
        subject = inputs.training.identity
        steps: dict[str, Any] = {"batches_per_step": inputs.recipe.batch_size}
    else:
        subject = inputs.subject(asked.inputs.network.model) | inputs.reading
        steps = {
            "batch_size": inputs.recipe.batch_size,
            "augment": "crop-flip" if inputs.recipe.augment else "none",
            "precision": asked.precision,
        }
    identity = {
        **subject,
        **options,
        **ends.sha256,
        "checkpoint_key": asked.inputs.network.checkpoint_key,
        **steps,
    }
    record = {
        "start": str(asked.start),
        "end": str(asked.end),
        "data_dir": str(asked.inputs.data.data_dir or "none"),
        **provenance.made_by("landscape_mpi.curve"),
    }
    return CurveContent(asked.kind, (), ends.trained, identity, record, 0, (), None)


def _open(
    asked: CurveTrainingRequest, content: CurveContent
) -> tuple[OutputLock, CurveFile | None]:
    """Lock the file of the curve, and return the state of an earlier run. Local."""
    lock = OutputLock(asked.file.out)
    try:
        if not asked.file.out.exists() or (asked.file.fresh and not asked.file.out.stat().st_size):
            return lock, None
        found = _read_left(asked.file.out)  # a file of another kind is not replaced either
        if asked.file.fresh:
            return lock, None
        check_identity(asked.file.out, found.content.identity, content.identity, place="--out")
    except BaseException:
        lock.release()
        raise
    return lock, found


def _read_left(out: Path) -> CurveFile:
    """Return the curve in --out.

    Raises:
        InputError: If it is not a curve.
    """
    try:
        return read_curve(out)
    except InputError as problem:
        raise InputError(
            f"--out: {out} exists but holds no curve to resume ({problem}) It is kept: pass "
            "another --out, or remove the file if it is not needed."
        ) from problem


def _states_of(found: CurveFile) -> list[dict[str, torch.Tensor]]:
    return [dict(point) for point in found.content.points]


def _straight(ends: Ends, n_points: int) -> list[dict[str, torch.Tensor]]:
    return [
        {name: torch.from_numpy(np.asarray(values)) for name, values in point.items()}
        for point in straight_points(ends.start, ends.end, n_points)
    ]


def _go_on(training: CurveTraining, content: CurveContent) -> None:
    """Load the state of an earlier run."""
    training.history = History([Epoch(**row) for row in content.history], {})
    training.trainer.n_done = content.n_done
    left = content.training
    if left is None:  # the run is complete
        return
    buffers = dict(training.curve.network.named_buffers())
    for name, values in left["buffers"].items():
        buffers[name].copy_(values)
    network = training.curve.state_dict()
    state = {"epoch": content.n_done, "network": network, "optimizer": left["optimizer"]}
    training.trainer.load_state(state)
