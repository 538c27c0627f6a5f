"""The two solutions that a curve joins: read, checked, and the network they are of."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from landscape_mpi.compute.curve import trained_parameters
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import NetworkSource
from landscape_mpi.zoo.checkpoint import Checkpoint, classifier_size, load_state, read_checkpoint
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.networks import check_network
from landscape_mpi.zoo.weight_vector import is_statistic


@dataclass(frozen=True)
class Ends:
    """Both ends; the same on every rank once they are shared."""

    source: NetworkSource
    start: dict[str, np.ndarray]  # parameters and buffers
    end: dict[str, np.ndarray]
    trained: tuple[str, ...]  # names of the parameters that the curve moves
    sha256: dict[str, str]  # of the files, by ``start_sha256`` and ``end_sha256``


def read_ends(options: argparse.Namespace, data: DataSet) -> Ends:
    """Read both ends. Local; call it on one rank.

    Args:
        options: ``start``, ``end``, ``model`` and ``trust_checkpoint``.
        data: What the network takes.
    """
    start, end = (
        read_checkpoint(path, trust=options.trust_checkpoint)
        for path in (options.start, options.end)
    )
    sample = data.sample
    n_outputs = classifier_size(start.state) or sample.n_classes
    source = NetworkSource(options.model, replace(sample, n_classes=n_outputs))
    network = source.build()
    trained = tuple(trained_parameters(network))
    check_network(network, name=options.model, data=data)
    states = [_state_of(network, checkpoint) for checkpoint in (start, end)]
    _check_differences(*states, trained=trained, files=(options.start, options.end))
    sha256 = {"start_sha256": start.sha256, "end_sha256": end.sha256}
    return Ends(source, states[0], states[1], trained, sha256)


def _state_of(network: nn.Module, checkpoint: Checkpoint) -> dict[str, np.ndarray]:
    load_state(network, checkpoint)
    return {name: values.copy() for name, values in tensors_of(network).items()}


def _check_differences(
    start: dict[str, np.ndarray],
    end: dict[str, np.ndarray],
    *,
    trained: tuple[str, ...],
    files: tuple[Path, Path],
) -> None:
    """Check that the ends differ in what a curve can join, and in nothing else.

    Raises:
        InputError: If they do not.
    """
    differ = [name for name in start if not np.array_equal(start[name], end[name])]
    if not any(name in trained for name in differ):
        raise InputError(
            f"--end: {files[1]} has the weights of --start {files[0]}, so there is nothing to "
            f"join. Name another solution."
        )
    for name in differ:
        counts = not np.issubdtype(start[name].dtype, np.floating)
        if name not in trained and not is_statistic(name) and not counts:
            raise InputError(
                f"--end: {files[1]} has another {name} than --start {files[0]}, and that is "
                f"frozen: a buffer, or a parameter whose requires_grad is False. A curve moves "
                f"what is trained; take solutions that have the same."
            )
