"""Read and check the two solutions that a curve joins, and their network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from landscape_mpi.compute.curve import trained_parameters
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.ties import tied_names
from landscape_mpi.engine.checkpoints import load_weights, read_weights
from landscape_mpi.engine.network_source import NetworkSource
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.curve.request import CurveTrainingRequest
from landscape_mpi.tensor_names import is_statistic
from landscape_mpi.zoo.checkpoint import Checkpoint, classifier_size
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.networks import check_network


@dataclass(frozen=True)
class Ends:
    """Hold both ends; the same on every rank once they are shared."""

    source: NetworkSource | None  # None for the network of a problem
    start: dict[str, np.ndarray]  # parameters and buffers
    end: dict[str, np.ndarray]
    trained: tuple[str, ...]  # names of the parameters that the curve moves
    class_axis: int  # axis of the network's outputs along which the classes lie
    sha256: dict[str, str]  # digests of the files, by ``start_sha256`` and ``end_sha256``


def read_ends(asked: CurveTrainingRequest, data: DataSet) -> Ends:
    """Read both ends. Local; call it on one rank.

    Args:
        asked: Request that names the ends and the network.
        data: Data set that determines the network's input.
    """
    model, sample = asked.inputs.network.model, data.sample
    start, end = _read_both(asked)
    n_outputs = classifier_size(start.state) or sample.n_classes
    source = NetworkSource(model, replace(sample, n_classes=n_outputs))
    network = source.build()
    axis = check_network(network, name=model, data=data, class_axis=asked.inputs.loss.class_axis)
    return _ends_of(asked, network, (start, end), source, axis)


def read_problem_ends(asked: CurveTrainingRequest, network: nn.Module) -> Ends:
    """Read both ends of a curve of a problem. Local; call it on one rank.

    Args:
        asked: Request that names the ends.
        network: Network of the problem; afterwards it has the weights of the end.
    """
    return _ends_of(asked, network.train(), _read_both(asked), None, -1)


def _read_both(asked: CurveTrainingRequest) -> tuple[Checkpoint, Checkpoint]:
    trust, key = asked.inputs.network.trust_checkpoint, asked.inputs.network.checkpoint_key
    start, end = (read_weights(path, trust=trust, key=key) for path in (asked.start, asked.end))
    return start, end


def _ends_of(
    asked: CurveTrainingRequest,
    network: nn.Module,
    checkpoints: tuple[Checkpoint, Checkpoint],
    source: NetworkSource | None,
    axis: int,
) -> Ends:
    """Return the ends in the network's form, if a curve can join them."""
    trained = tuple(trained_parameters(network))
    start, end = (_state_of(network, checkpoint) for checkpoint in checkpoints)
    second = {name for name, first in tied_names(network).items() if first in trained}
    moved = (*trained, *second)
    _check_differences(start, end, moved=moved, files=(asked.start, asked.end))
    digests = (checkpoint.sha256 for checkpoint in checkpoints)
    sha256 = dict(zip(("start_sha256", "end_sha256"), digests, strict=True))
    return Ends(source, start, end, trained, axis, sha256)


def _state_of(network: nn.Module, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    load_weights(network, checkpoint)
    return {name: values.copy() for name, values in tensors_of(network).items()}


def _check_differences(
    start: dict[str, np.ndarray],
    end: dict[str, np.ndarray],
    *,
    moved: tuple[str, ...],
    files: tuple[Path, Path],
) -> None:
    """Check that the ends differ only in tensors that a curve can join.

    Raises:
        InputError: If they do not.
    """
    differ = [name for name in start if not np.array_equal(start[name], end[name])]
    if not any(name in moved for name in differ):
        raise InputError(
            f"--end: {files[1]} has the same weights as --start {files[0]}, so there is nothing to "
            "join. Name another solution."
        )
    for name in differ:
        counts = not np.issubdtype(start[name].dtype, np.floating)
        if name not in moved and not is_statistic(name) and not counts:
            raise InputError(
                f"--end: {files[1]} has another {name} than --start {files[0]}, and this tensor is "
                "frozen: it is a buffer, or a parameter whose requires_grad is False. A curve "
                f"moves only trained parameters: pass solutions in which {name} is equal."
            )
