"""What rank 0 reads for a run over a surface: network, weights and data, all of it checked."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tensors import fill_network, named_tensors, tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.job.losses import LossChoice, choose_loss
from landscape_mpi.zoo.checkpoint import (
    Checkpoint,
    classifier_size,
    load_state,
    read_checkpoint,
    refuse_non_finite,
)
from landscape_mpi.zoo.dataset import DataSet, Sample, Split
from landscape_mpi.zoo.datasets import digest_splits, load_dataset
from landscape_mpi.zoo.networks import build_network, check_network


@dataclass(frozen=True)
class NetworkSource:
    """How every rank builds the network anew; its weights come from rank 0."""

    model: str
    sample: Sample

    def build(self) -> nn.Module:
        """Build the network, float32, in evaluation mode, with weights of no meaning."""
        torch.manual_seed(0)  # what the function draws is drawn alike on every rank
        return build_network(self.model, sample=self.sample).float().eval()


@dataclass(frozen=True)
class Inputs:
    """What a run needs to know of the world, on rank 0."""

    source: NetworkSource
    network: nn.Module  # with its weights, float32, on the CPU
    state: dict[str, np.ndarray]  # its parameters and buffers, in the order of the state dict
    dataset: DataSet  # the splits asked for, limited
    loss: LossChoice
    checkpoint: Checkpoint | None
    sha256: dict[str, str]  # of weights_sha256, data_sha256, checkpoint_sha256

    @property
    def n_training(self) -> int:
        """Return the number of training samples, of a run that has some."""
        return len(self.dataset.splits["train"].targets)

    def network_copy(self) -> nn.Module:
        """Return the network built anew, with its weights."""
        network = self.source.build()
        fill_network(network, self.state)
        return network

    def resident(self, split: str, *, device: str) -> ResidentSplit:
        """Return the samples of a split on a device."""
        samples = self.dataset.splits[split]
        return ResidentSplit(
            samples.inputs,
            samples.targets,
            mean=self.dataset.mean,
            std=self.dataset.std,
            device=device,
            one_loss=self.loss.one_loss,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays that the ranks need, by ``state/...`` and ``<split>/...``."""
        arrays = {f"state/{name}": values for name, values in self.state.items()}
        for name, split in self.dataset.splits.items():
            arrays[f"{name}/inputs"] = split.inputs
            arrays[f"{name}/targets"] = split.targets
        return arrays


def read_inputs(options: argparse.Namespace) -> Inputs:
    """Read and check network, weights and data. Local; call it on one rank.

    Args:
        options: ``model``, ``checkpoint``, ``trust_checkpoint``, ``data``, ``data_dir``,
            ``download``, ``mean``, ``std``, ``limit``, ``splits`` and ``loss``.
    """
    checkpoint = _read_checkpoint(options)
    everything = read_dataset(options)
    n_outputs = classifier_size(checkpoint.state) if checkpoint else None
    sample = everything.sample
    source = NetworkSource(options.model, replace(sample, n_classes=n_outputs or sample.n_classes))
    network = source.build()
    if checkpoint:
        load_state(network, checkpoint)
    of_classes = options.loss == "cross_entropy"
    check_network(network, name=options.model, data=everything, classes=of_classes)
    dataset = _select(everything, options)
    refuse_non_finite(options.model, named_tensors(network))
    loss = choose_loss(options.loss, network, dataset, model=options.model)
    state = tensors_of(network)
    sha256 = {"weights_sha256": digest(state), "data_sha256": digest_splits(dataset.splits)}
    if checkpoint:
        sha256["checkpoint_sha256"] = checkpoint.sha256
    return Inputs(source, network, state, dataset, loss, checkpoint, sha256)


def _read_checkpoint(options: argparse.Namespace) -> Checkpoint | None:
    if options.checkpoint is not None:
        return read_checkpoint(options.checkpoint, trust=options.trust_checkpoint)
    if ":" in options.model:
        return None  # the user's function returns a network with its weights
    raise InputError(
        f"--checkpoint: none is given, and --model {options.model} alone has no trained weights. "
        f"The surface lies around a trained network: pass --checkpoint FILE."
    )


def read_dataset(options: argparse.Namespace) -> DataSet:
    """Read the data set that ``data``, ``data_dir``, ``download``, ``mean`` and ``std`` ask for."""
    return load_dataset(
        options.data,
        data_dir=options.data_dir,
        download=options.download,
        mean=options.mean,
        std=options.std,
    )


def _select(dataset: DataSet, options: argparse.Namespace) -> DataSet:
    """Return the splits asked for, the training split limited.

    Raises:
        InputError: If a split is not there.
    """
    splits = {}
    for name in options.splits:
        if name not in dataset.splits:
            raise InputError(
                f"--splits: {name} is asked for, and --data {options.data} has "
                f"{', '.join(dataset.splits)}. Leave it out, or pass data that has it."
            )
        splits[name] = dataset.splits[name]
    if options.limit is not None:
        splits["train"] = _limited(splits, options.limit, options.data)
    return replace(dataset, splits=splits)


def _limited(splits: dict[str, Split], limit: int, data: str) -> Split:
    if "train" not in splits:
        raise InputError(
            f"--limit: takes the first {limit} training samples, and --splits asks for none of "
            f"them. Leave --limit out."
        )
    split = splits["train"]
    n_samples = len(split.targets)
    if limit > n_samples:
        raise InputError(
            f"--limit: asks for the first {limit} training samples, --data {data} has "
            f"{n_samples}. Pass at most that, or leave --limit out for all of them."
        )
    return split.first(limit)
