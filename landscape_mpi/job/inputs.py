"""What rank 0 reads for a run over a surface: network, weights and data, all of it checked."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.directions import digest, tensors_of
from landscape_mpi.compute.evaluation import ResidentSplit
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.checkpoint import Checkpoint, classifier_size, load_state, read_checkpoint
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network


@dataclass(frozen=True)
class NetworkSource:
    """How every rank builds the network anew; its weights come from rank 0."""

    model: str
    n_channels: int
    n_classes: int

    def build(self) -> nn.Module:
        """Build the network, float32, with weights of no meaning."""
        network = build_network(self.model, n_channels=self.n_channels, n_classes=self.n_classes)
        return network.float().eval()


@dataclass(frozen=True)
class Inputs:
    """What a run needs to know of the world, on rank 0."""

    source: NetworkSource
    network: nn.Module  # with its weights, float32, on the CPU
    state: dict[str, np.ndarray]  # its parameters and buffers, in the order of the state dict
    dataset: DataSet  # the splits asked for, limited
    checkpoint: Checkpoint | None
    sha256: dict[str, str]  # of weights_sha256, data_sha256, checkpoint_sha256

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
            ``download``, ``mean``, ``std``, ``limit`` and ``splits``.
    """
    checkpoint = _read_checkpoint(options)
    dataset = _read_dataset(options)
    source = NetworkSource(
        model=options.model,
        n_channels=len(dataset.mean),
        n_classes=(classifier_size(checkpoint.state) if checkpoint else None) or dataset.n_classes,
    )
    network = source.build()
    if checkpoint:
        load_state(network, checkpoint)
    _try_network(network, dataset, options)
    state = tensors_of(network)
    sha256 = {"weights_sha256": digest(state), "data_sha256": _digest_data(dataset)}
    if checkpoint:
        sha256["checkpoint_sha256"] = checkpoint.sha256
    return Inputs(source, network, state, dataset, checkpoint, sha256)


def _read_checkpoint(options: argparse.Namespace) -> Checkpoint | None:
    if options.checkpoint is not None:
        return read_checkpoint(options.checkpoint, trust=options.trust_checkpoint)
    if ":" in options.model:
        return None  # the user's function returns a network with its weights
    raise InputError(
        f"--checkpoint: none is given, and --model {options.model} alone has no trained weights. "
        f"The surface lies around a trained network: pass --checkpoint FILE."
    )


def _read_dataset(options: argparse.Namespace) -> DataSet:
    dataset = load_dataset(
        options.data,
        data_dir=options.data_dir,
        download=options.download,
        mean=options.mean,
        std=options.std,
    )
    splits = {}
    for name in options.splits:
        if name not in dataset.splits:
            raise InputError(
                f"--splits: {name} is asked for, and --data {options.data} has "
                f"{', '.join(dataset.splits)}. Leave it out, or pass data that has it."
            )
        splits[name] = dataset.splits[name]
    if options.limit is not None and "train" in splits:
        splits["train"] = _limited(splits["train"], options.limit, options.data)
    return replace(dataset, splits=splits)


def _limited(split: Split, limit: int, data: str) -> Split:
    n_samples = len(split.targets)
    if limit > n_samples:
        raise InputError(
            f"--limit: asks for the first {limit} training samples, --data {data} has "
            f"{n_samples}. Pass at most that, or leave --limit out for all of them."
        )
    return split.first(limit)


def _digest_data(dataset: DataSet) -> str:
    state = hashlib.sha256()
    for name, split in dataset.splits.items():
        for array in (split.inputs, split.targets):
            state.update(f"{name} {array.dtype.str} {array.shape};".encode())
            state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _try_network(network: nn.Module, dataset: DataSet, options: argparse.Namespace) -> None:
    """Send two samples through the network, so that a misfit shows before the run."""
    for name, split in dataset.splits.items():
        first = split.first(2)
        samples = ResidentSplit(
            first.inputs, first.targets, mean=dataset.mean, std=dataset.std, device="cpu"
        )
        logits = _forward(network, samples.batch(slice(0, 2)), options)
        _check_logits(logits, len(first.targets), options)
        _check_labels(split.targets, logits.shape[1], name, options)


def _forward(network: nn.Module, images: torch.Tensor, options: argparse.Namespace) -> torch.Tensor:
    try:
        with torch.inference_mode():
            return network(images)
    except Exception as problem:  # the network may be the user's, and raise anything
        words = str(problem).splitlines() or [""]
        shape = " x ".join(str(n) for n in images.shape[1:])
        raise InputError(
            f"--model: {options.model} does not take a sample of --data {options.data}, which is "
            f"{shape} (channels, height, width): {type(problem).__name__}: {words[0]}"
        ) from problem


def _check_logits(logits: object, n: int, options: argparse.Namespace) -> None:
    if not isinstance(logits, torch.Tensor) or logits.dim() != 2 or logits.shape[0] != n:
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise InputError(
            f"--model: {options.model} gives {shape} for {n} samples. Cross-entropy needs a tensor "
            f"of logits, shape ({n}, number of classes)."
        )


def _check_labels(
    targets: np.ndarray, n_classes: int, name: str, options: argparse.Namespace
) -> None:
    if targets.max() >= n_classes:
        raise InputError(
            f"--data: {options.data} has labels up to {targets.max()} in its {name} split, the "
            f"network has {n_classes} outputs, for labels 0 to {n_classes - 1}. Pass the data this "
            f"network was trained on."
        )
