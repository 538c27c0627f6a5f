"""The inputs that rank 0 reads and checks for a run over a surface: network, weights and data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.layer_kinds import LayerKinds, find_kinds, has_unknown, known_kinds
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import (
    extra_state_of,
    named_tensors,
    tensors_of,
)
from landscape_mpi.engine.checkpoints import load_weights as load_checkpoint
from landscape_mpi.engine.checkpoints import read_weights, say_fit
from landscape_mpi.engine.loss_trials import choose_loss
from landscape_mpi.engine.losses import LossChoice
from landscape_mpi.engine.network_source import (
    NetworkSource,
    check_drawn,
    check_finished,
    check_gradients,
    check_statistics,
    first_inputs,
    load_weights,
)
from landscape_mpi.engine.request import DataRequest, FileRequest, InputsRequest, NetworkRequest
from landscape_mpi.engine.subject import NetworkSubject
from landscape_mpi.errors import InputError
from landscape_mpi.store.resume import USUAL_SUBSET, choose_subset
from landscape_mpi.zoo.catalogue import find_network
from landscape_mpi.zoo.checkpoint import (
    Checkpoint,
    classifier_size,
    refuse_non_finite,
)
from landscape_mpi.zoo.dataset import DataSet
from landscape_mpi.zoo.datasets import EVERY_SAMPLE, digest_splits, load_dataset
from landscape_mpi.zoo.networks import check_network
from landscape_mpi.zoo.output_entry import split_entry
from landscape_mpi.zoo.own_network import (
    BUILD_SEED,
    call,
    computable,
    float_types,
    seed_generators,
)
from landscape_mpi.zoo.used_samples import UsedSamples


@dataclass(frozen=True)
class Inputs:
    """The inputs of a run, on rank 0."""

    source: NetworkSource
    network: nn.Module  # with its weights, in evaluation mode, on the CPU
    state: dict[str, np.ndarray]  # its parameters and buffers, as they are in training mode
    dataset: DataSet  # the splits that were requested, limited
    loss: LossChoice
    checkpoint: Checkpoint | None
    types: tuple[str, ...]  # floating-point types of the weights, as they were stored or built
    sha256: dict[str, str]  # values of weights_sha256, data_sha256, checkpoint_sha256

    @property
    def subject(self) -> NetworkSubject:
        """Return the part of them that every rank needs."""
        n_samples = {name: len(split.targets) for name, split in self.dataset.splits.items()}
        data = self.dataset
        return NetworkSubject(n_samples, self.source, self.loss, data.mean, data.std)

    @property
    def n_training(self) -> int:
        """Return the number of training samples of a run with a training split."""
        return len(self.dataset.splits["train"].targets)

    @property
    def trivial_errors(self) -> dict[str, float]:
        """Return the error of guessing the commonest class, percent, by split."""
        return self.dataset.trivial_errors

    @property
    def finished(self) -> tuple[float, ...]:
        """Return nothing: a network without a problem has no metrics."""
        return ()

    def with_weights(self, checkpoint: Checkpoint) -> nn.Module:
        """Return the network with other weights, in training mode, and print the parts left out."""
        network = self.source.build()
        load_checkpoint(network, checkpoint)
        return network

    def outputs_with(self, state: Mapping[str, np.ndarray]) -> torch.Tensor:
        """Return the network's outputs for a few samples with other parameters and buffers."""
        network = self.source.build_with(state).eval()
        return torch.as_tensor(call(network, first_inputs(self.dataset, network)))

    def network_copy(self) -> nn.Module:
        """Build the network once more, with its weights, in training mode."""
        return self.source.build_with(self.state)

    def fresh_network(self, seed: int) -> nn.Module:
        """Return the network with the weights that a seed gives it, in training mode."""
        return load_weights(self.source.build(seed=seed), None, self.dataset)

    def resident(self, split: str, *, device: str) -> ResidentSplit:
        """Return the samples of a split on a device."""
        samples = self.dataset.splits[split]
        return ResidentSplit(
            samples.inputs,
            samples.targets,
            mean=self.dataset.mean,
            std=self.dataset.std,
            device=device,
            **self.loss.kept_as(type_of(self.network)),
        )

    def layer_kinds(self) -> LayerKinds:
        """Return the kinds of the network's parameters, from a trial on samples if necessary."""
        if not has_unknown(self.network):
            return known_kinds(self.network)
        inputs = first_inputs(self.dataset, self.network)
        return find_kinds(self.network_copy().eval(), lambda network: network(inputs))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays that the ranks need, by ``state/...`` and ``<split>/...``."""
        arrays = {f"state/{name}": values for name, values in self.state.items()}
        for name, split in self.dataset.splits.items():
            arrays[f"{name}/inputs"] = split.inputs
            arrays[f"{name}/targets"] = split.targets
        return arrays


def read_inputs(asked: InputsRequest, *, digest_of_all: bool = False) -> Inputs:
    """Read and check network, weights and data. Local; call it on one rank.

    Args:
        asked: The request for network, data and loss.
        digest_of_all: See load_dataset.
    """
    model = asked.network.model
    checkpoint = _read_checkpoint(asked.network)
    dataset = _read_used(asked, digest_of_all)
    n_outputs = classifier_size(checkpoint.state) if checkpoint else None
    sample = dataset.sample
    source = NetworkSource(model, replace(sample, n_classes=n_outputs or sample.n_classes))
    network = source.build_as_it_is()
    types = checkpoint.dtypes if checkpoint else float_types(network)
    network = load_weights(computable(network).train(), checkpoint, dataset)
    if checkpoint:
        say_fit(network, checkpoint)
    # Copies, since eval() may merge weights, and a call may change them (Embedding's max_norm).
    state = {name: values.copy() for name, values in tensors_of(network).items()}
    source = replace(source, extra=extra_state_of(network))
    network.eval()
    check_statistics(network)
    if type_of(network) == torch.float32:
        dataset = _in_float32(dataset)
    of_classes = asked.loss.loss == "cross_entropy"
    axis = asked.loss.class_axis
    check_network(network, name=model, data=dataset, classes=of_classes, class_axis=axis)
    check_finished(network, state)
    refuse_non_finite(model, named_tensors(network))
    loss = choose_loss(asked.loss, network, dataset, model=model)
    dataset = replace(dataset, ignored=loss.ignored)
    if ":" in model:
        check_gradients(network, model, dataset)
    if checkpoint and ":" in model:
        check_drawn(source, checkpoint, network, dataset)
    sha256 = {"weights_sha256": digest(state), "data_sha256": digest_splits(dataset.splits)}
    if checkpoint:
        sha256["checkpoint_sha256"] = checkpoint.sha256
    return Inputs(source, network, state, dataset, loss, checkpoint, types, sha256)


def _read_used(asked: InputsRequest, digest_of_all: bool) -> DataSet:
    """Return the samples that are requested, without rounding."""
    data = asked.data
    return read_dataset(
        data,
        ignore_index=asked.loss.ignore_index,
        exact=True,
        used=UsedSamples(data.splits, data.limit, data.subset or USUAL_SUBSET),
        digest_of_all=digest_of_all,
    )


def _in_float32(data: DataSet) -> DataSet:
    return replace(data, splits={n: split.in_float32() for n, split in data.splits.items()})


def _read_checkpoint(asked: NetworkRequest) -> Checkpoint | None:
    if asked.checkpoint is not None:
        trust, key = asked.trust_checkpoint, asked.checkpoint_key
        return read_weights(asked.checkpoint, trust=trust, key=key)
    if ":" in asked.model:
        return None  # the user's function returns a network with its weights
    find_network(split_entry(asked.model)[0])  # a misspelt name is the first thing to correct
    raise InputError(
        f"--checkpoint: none is given, but --model {asked.model} alone has no trained weights. A "
        "surface lies around a trained network. Pass --checkpoint FILE."
    )


def read_dataset(
    asked: DataRequest,
    *,
    ignore_index: int | str | None = None,
    exact: bool = False,
    used: UsedSamples = EVERY_SAMPLE,
    digest_of_all: bool = True,
) -> DataSet:
    """Read a data set.

    Args:
        asked: The request; its splits and its limit are not used.
        ignore_index: The target that does not count; see LossRequest.
        exact: See load_dataset.
        used: See load_dataset.
        digest_of_all: See load_dataset.
    """
    seed_generators(BUILD_SEED)  # the user's function may draw random numbers
    return load_dataset(
        asked.data,
        data_dir=asked.data_dir,
        download=asked.download,
        mean=asked.mean,
        std=asked.std,
        ignore_index=ignore_index,
        exact=exact,
        used=used,
        digest_of_all=digest_of_all,
    )


def with_subset(asked: DataRequest, file: FileRequest) -> DataRequest:
    """Fill in the subset of a request: as requested, as in the resumed file, or the default.

    Args:
        asked: The request for data.
        file: The file that the run fills.

    Raises:
        InputError: If a subset is requested without a limit.
    """
    if asked.subset is not None and asked.limit is None:
        raise InputError(
            f"--subset {asked.subset}: chooses the samples of --limit, but no --limit is given, "
            "so all samples are evaluated. Also pass --limit N, or leave out --subset."
        )
    return replace(asked, subset=choose_subset(file.out, asked.subset, fresh=file.fresh))
