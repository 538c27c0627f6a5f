"""The inputs that rank 0 reads and checks for a run over a problem: network, weights, batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_functions import call
from landscape_mpi.compute.batch_source import BatchSource, source_of
from landscape_mpi.compute.batch_tree import digest as digest_tree
from landscape_mpi.compute.batch_tree import moved
from landscape_mpi.compute.class_count import CrossEntropyWatch
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.evaluation import finished_means
from landscape_mpi.compute.layer_kinds import LayerKinds, find_kinds, has_unknown, known_kinds
from landscape_mpi.compute.movable_network import check_movable
from landscape_mpi.compute.problem_losses import called
from landscape_mpi.compute.problem_split import type_of
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.compute.tensors import (
    extra_state_of,
    fill_network,
    is_unfinished,
    named_tensors,
    tensors_of,
)
from landscape_mpi.engine.checkpoints import load_weights, read_weights
from landscape_mpi.engine.network_source import check_finished, check_statistics
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import DataRequest, NetworkRequest
from landscape_mpi.engine.subject import ProblemSubject
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.problem import BatchFunction, Problem
from landscape_mpi.zoo.checkpoint import Checkpoint, refuse_non_finite
from landscape_mpi.zoo.own_network import float_types


@dataclass(frozen=True)
class ProblemInputs:
    """The inputs of a run over a problem, on rank 0."""

    source: ProblemSource
    subject: ProblemSubject
    network: nn.Module  # the user's own object, with its weights, in evaluation mode
    state: dict[str, np.ndarray]  # its parameters and buffers, as they are in training mode
    sources: dict[str, BatchSource]  # the batches of the splits that were requested, limited
    checkpoint: Checkpoint | None
    types: tuple[str, ...]  # floating-point types of the weights, as they were stored or built
    sha256: dict[str, str]  # values of weights_sha256, data_sha256, checkpoint_sha256
    finished: tuple[float, ...]  # metrics with a finish, for the first batch at the center

    @property
    def trivial_errors(self) -> dict[str, float]:
        """Return nothing: a problem has no error that is known without a network."""
        return {}

    @property
    def problem(self) -> Problem:
        """Return the problem."""
        return self.source.get()

    def with_weights(self, checkpoint: Checkpoint) -> nn.Module:
        """Return the network with other weights, in training mode, and print the parts left out."""
        network = self._copy()
        load_weights(network, checkpoint)
        return network

    def outputs_with(self, state: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Return the loss of the first batch with other parameters and buffers."""
        network = self._copy()
        fill_network(network, state, self.subject.extra, option=self.subject.option)
        return self._loss_of_first(network.eval())

    def layer_kinds(self) -> LayerKinds:
        """Return the kinds of the network's parameters, from a trial on a batch if necessary."""
        if not has_unknown(self.network):
            return known_kinds(self.network)
        return find_kinds(self._copy().eval(), self._try_first)

    def _copy(self) -> nn.Module:
        network = self.source.another_network()
        fill_network(network, self.state, self.subject.extra, option=self.subject.option)
        return network

    def _try_first(self, network: nn.Module) -> None:
        """Compute the loss of the first batch with its graph, which a trial of layers needs."""
        source = next(iter(self.sources.values()))
        batch = moved(source.read(0), "cpu", type_of(self.problem))
        try:
            with Generators().seeded(batch_seed(self.problem.seed, 0)):
                called(self.problem.functions[0], network, batch, "batch 0")
        except UserCodeError:  # a loss may run only without gradients
            self._loss_of_first(network)

    def _loss_of_first(self, network: nn.Module) -> torch.Tensor:
        return first_loss(self.problem, next(iter(self.sources.values())), network)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays that the ranks need, by ``state/...``; each reads its own batches."""
        return {f"state/{name}": values for name, values in self.state.items()}


def first_loss(
    problem: Problem,
    source: BatchSource,
    network: nn.Module,
    number: int = 0,
    *,
    function: BatchFunction | None = None,
) -> torch.Tensor:
    """Return the sum and the count of the loss of one batch, usually the first, float64 [2].

    Args:
        problem: The problem.
        source: Batches of the split.
        network: The network in evaluation mode, on the CPU.
        number: Number of the batch.
        function: The function to call; None for the loss.
    """
    batch = moved(source.read(number), "cpu", type_of(problem))
    with Generators().seeded(batch_seed(problem.seed, number)):
        where = f"batch {number} of data[{source.name!r}] at the center"
        return call(function or problem.functions[0], network, batch, where)


def _finished(problem: Problem, source: BatchSource, network: nn.Module) -> tuple[float, ...]:
    """Return the values of the metrics that have a finish, of the first batch.

    A finish that raises for this mean gives NaN, since the mean over a split may suit it.
    """
    values = []
    for function in problem.functions:
        if function.finish is None:
            continue
        pair = first_loss(problem, source, network.eval(), function=function)
        try:
            values.append(float(finished_means(pair.cpu().numpy(), [function.finish])[0]))
        except UserCodeError:
            values.append(math.nan)
    return tuple(values)


def check_counted(problem: Problem, source: BatchSource, network: nn.Module) -> int | None:
    """Check that some batch of a split counts: its mean loss is divided by the sum of counts.

    Returns:
        The number of classes, if the loss of that batch is the plain cross-entropy; otherwise None.

    Args:
        problem: The problem.
        source: Batches of the split, read until one counts.
        network: The network in evaluation mode, on the CPU.

    Raises:
        InputError: If no batch counts.
    """
    for number in range(len(source)):
        with CrossEntropyWatch() as watch:
            pair = first_loss(problem, source, network, number)
        if float(pair[1]) != 0:
            return watch.n_classes(pair)
    raise InputError(
        f"Problem: nothing counts in data[{source.name!r}]: the loss returned a count of 0 for "
        f"each of its {len(source)} batches, so their mean would be 0 / 0. The second number of a "
        "pair is the number of samples (or targets) in the sum. Check what the loss leaves out, "
        "e.g. labels of -100."
    )


def read_problem(
    source: ProblemSource, network: NetworkRequest, data: DataRequest
) -> ProblemInputs:
    """Read and check a problem. Local; call it on one rank.

    Args:
        source: Source of the problem.
        network: The request for its weights; its own without a checkpoint.
        data: The request for splits and for the number of training samples or batches.

    Raises:
        InputError: If a part of the problem does not suit a run.
    """
    problem = source.get()
    check_movable(problem.network)
    own = problem.network.train()
    batches = batches_of(problem, data.splits, data.limit)
    checkpoint = None
    if network.checkpoint is not None:
        trust, key = network.trust_checkpoint, network.checkpoint_key
        checkpoint = read_weights(network.checkpoint, trust=trust, key=key)
        load_weights(own, checkpoint)
    if is_unfinished(own):
        first_loss(problem, next(iter(batches.values())), own.eval())
        own.train()
    source.set_aside()
    types = checkpoint.dtypes if checkpoint else float_types(own)
    # Copies, since eval() may merge weights, and a call may change them.
    state = {name: values.copy() for name, values in tensors_of(own).items()}
    extra = extra_state_of(own)
    own.eval()
    check_statistics(own, option="Problem")
    counts = {check_counted(problem, one, own) for one in batches.values()}
    check_finished(own, state, option="Problem")
    refuse_non_finite(source.name, named_tensors(own))
    fingerprints = [one.fingerprint() for one in batches.values()]
    sha256 = {"weights_sha256": digest(state), "data_sha256": digest_tree(fingerprints)}
    if checkpoint:
        sha256["checkpoint_sha256"] = checkpoint.sha256
    n_classes = counts.pop() if len(counts) == 1 else None
    subject = replace(_subject(source, problem, batches, extra), n_classes=n_classes)
    finished = _finished(problem, next(iter(batches.values())), own)
    if finished:  # a metric may have changed running statistics, or the mode
        fill_network(own.train(), state, extra, option="Problem")
        own.eval()
    return ProblemInputs(source, subject, own, state, batches, checkpoint, types, sha256, finished)


def training_digest(problem: Problem) -> str:
    """Return the SHA-256 that identifies all training batches of a problem."""
    return digest_tree([source_of(problem, "train").fingerprint()])


def batches_of(
    problem: Problem, splits: tuple[str, ...] | None, limit: int | None
) -> dict[str, BatchSource]:
    """Return the batches of the splits that were requested, with the training split limited.

    Args:
        problem: The problem.
        splits: Names of the splits; None for all that it has.
        limit: Training samples, or batches if the data are in batches; None for all.

    Raises:
        InputError: If a split is missing, or the limit exceeds it.
    """
    found = {}
    for name in splits or problem.splits:
        if name not in problem.splits:
            raise InputError(
                f"--splits names {name}, but the data of the problem have only "
                f"{', '.join(problem.splits)}. Leave it out, or give the problem this split."
            )
        found[name] = source_of(problem, name)
    if limit is not None:
        if "train" not in found:
            raise InputError(
                f"--limit {limit}: limits the training data, but --splits {','.join(found)} has "
                "none of them. Leave out --limit, or add train to --splits."
            )
        found["train"] = limited(found["train"], limit)
    return found


def limited(source: BatchSource, limit: int) -> BatchSource:
    """Return the source of the first samples, or of the first batches if data are in batches.

    Args:
        source: Source of the training data.
        limit: Number of samples or batches.

    Raises:
        InputError: If there are fewer.
    """
    few = source.limited(limit)
    if few.n_counted < limit:
        raise InputError(
            f"--limit {limit}: data[{source.name!r}] of the problem has only {few.n_counted} "
            f"{source.counts}. Pass at most {few.n_counted}, or leave out --limit to use all of "
            "them."
        )
    return few


def name_of(function: object) -> str:
    """Return the name of a function in the user's code, or its type."""
    return getattr(function, "__qualname__", type(function).__name__)


def _subject(
    source: ProblemSource, problem: Problem, batches: Mapping[str, BatchSource], extra: Any
) -> ProblemSubject:
    return ProblemSubject(
        {name: len(one) for name, one in batches.items()},
        source.name,
        type(problem.network).__name__,
        tuple(function.name for function in problem.functions),
        problem.units,
        problem.seed,
        problem.dtype or "none",
        name_of(problem.loss),
        ",".join(float_types(problem.network)),
        batches["train"].counts if "train" in batches else "batches",
        extra,
        tuple(function.units for function in problem.functions[1:]),
    )
