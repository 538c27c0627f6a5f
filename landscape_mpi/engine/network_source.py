"""The construction of a run's network on every rank, and checks that it suits its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.agreement import relative
from landscape_mpi.compute.movable_network import check_movable
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import abbreviated
from landscape_mpi.compute.tensors import fill_network, is_unfinished, named_tensors
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.checkpoint import Checkpoint, load_state
from landscape_mpi.zoo.dataset import DataSet, Sample
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.own_network import (
    BUILD_SEED,
    call,
    computable,
    finish_layers,
    seed_generators,
    unwrapped,
)

N_TRIED = 4  # samples to compare networks and to try unknown layers
SAME_FUNCTION = 1e-6  # relative
SAME_MODE = 1e-3  # relative; torch may take other kernels without gradients


@dataclass(frozen=True)
class NetworkSource:
    """The construction of the network on every rank; its weights come from rank 0."""

    model: str
    sample: Sample
    extra: Mapping[str, object] = field(default_factory=dict)  # see tensors.extra_state_of

    def build(self, *, seed: int = BUILD_SEED) -> nn.Module:
        """Build the network in training mode, on the CPU, with arbitrary weights.

        Args:
            seed: Seed of the generators, so that the function draws the same on every rank.
        """
        return computable(self.build_as_it_is(seed=seed)).train()

    def build_as_it_is(self, *, seed: int = BUILD_SEED) -> nn.Module:
        """Build the network, in the types and the mode that its function returns."""
        seed_generators(seed)
        network = unwrapped(build_network(self.model, sample=self.sample))
        check_movable(network)
        return network

    def build_with(self, state: Mapping[str, np.ndarray]) -> nn.Module:
        """Build the network with its weights, in training mode, on the CPU.

        Args:
            state: Parameters and buffers of a network in training mode, by name.

        Raises:
            InputError: If the function that builds it gives other tensors than on rank 0.
        """
        network = self.build()
        fill_network(network, state, self.extra)
        return network


def load_weights(network: nn.Module, checkpoint: Checkpoint | None, data: DataSet) -> nn.Module:
    """Load the weights of a network, in training mode."""
    if checkpoint:
        load_state(network, checkpoint)
    if is_unfinished(network):
        finish_layers(network, first_inputs(data, network))
    return network


def first_inputs(data: DataSet, network: nn.Module) -> torch.Tensor:
    """Return a few real samples as inputs of the network."""
    split = next(iter(data.splits.values())).first(N_TRIED)
    samples = ResidentSplit(split.inputs, split.targets, mean=data.mean, std=data.std, device="cpu")
    return _as_seen(samples.batch(slice(0, N_TRIED)), network)


def _as_seen(inputs: torch.Tensor, network: nn.Module) -> torch.Tensor:
    """Return inputs in the plain layout, in the type of the network's computation."""
    return inputs.to(type_of(network)) if inputs.is_floating_point() else inputs


def check_drawn(
    source: NetworkSource, checkpoint: Checkpoint, network: nn.Module, data: DataSet
) -> None:
    """Check that a checkpoint holds everything that the network's function draws at random.

    Raises:
        InputError: If another seed gives other outputs.
    """
    inputs = first_inputs(data, network)
    other = load_weights(source.build(seed=BUILD_SEED + 1), checkpoint, data).eval()
    found = [call(one, inputs) for one in (network, network, other)]
    apart = _apart(*(one for one in found if isinstance(one, torch.Tensor)))
    if apart > SAME_FUNCTION:
        raise InputError(
            f"--model: {source.model} draws random numbers that its state dict does not hold: "
            f"built with another seed and loaded with the same --checkpoint, its outputs differ "
            f"by {apart:.2g} of the largest output. The numbers drawn in training are lost, so the "
            f"surface would be that of another network. Register such tensors as buffers and save "
            f"them, or seed the generator in the function as in training."
        )


def _apart(outputs: torch.Tensor, again: torch.Tensor, other: torch.Tensor) -> float:
    """Return how far other outputs are from the first ones, relative to the largest of these.

    It is 0 for outputs that change from call to call: Agreement.check_plain refuses them later.
    """
    if not torch.equal(outputs.nan_to_num(), again.nan_to_num()):
        return 0.0
    return relative(other, outputs, scale_of=outputs)


def check_gradients(network: nn.Module, model: str, data: DataSet) -> None:
    """Check that a network gives the same outputs with gradients and without.

    Raises:
        InputError: If it does not.
    """
    inputs = first_inputs(data, network)
    found = []
    for enabled in (True, True, False):
        try:
            with torch.set_grad_enabled(enabled):
                found.append(network(inputs.clone()))
        except RuntimeError:  # it takes derivatives itself, so there is one way to call it
            return
    apart = _apart(*(one.detach() for one in found))
    if apart > SAME_MODE:
        raise InputError(
            f"--model: {model} gives other outputs under torch.no_grad() than with gradients, by "
            f"{apart:.2g} of the largest output, so its loss depends on how it is called. Perhaps "
            f"forward asks torch.is_grad_enabled(), or draws random numbers. Let it ask "
            f"self.training instead."
        )


def check_statistics(network: nn.Module, *, option: str = "--model") -> None:
    """Check that batch-norm has running statistics.

    Args:
        network: The network.
        option: The option that named it, for the message.

    Raises:
        InputError: If it has none, and uses those of the batch even in evaluation mode.
    """
    found = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None
    ]
    if found:
        raise InputError(
            f"{option}: {abbreviated(found)}: batch-norm without running statistics "
            "(track_running_stats=False) normalises by the batch, so the outputs for a sample "
            "depend on the other samples of its batch, and the surface would depend on the "
            "division into batches. Give the network a fixed normalisation."
        )


def check_finished(
    network: nn.Module, state: Mapping[str, np.ndarray], *, option: str = "--model"
) -> None:
    """Check that a call has not created further parameters.

    Args:
        network: After the call.
        state: Its parameters and buffers before it.
        option: The option that named the network, for the message.

    Raises:
        InputError: If it has.
    """
    made = [name for name in named_tensors(network) if name not in state]
    if made:
        raise InputError(
            f"{option}: the network makes {abbreviated(made)} when it is first called, so no "
            f"checkpoint was loaded into them, and no direction would move them. Make all layers "
            f"in the constructor, or use torch's lazy layers (nn.LazyLinear)."
        )
