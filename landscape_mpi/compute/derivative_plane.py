"""Prepare a network on its plane for derivatives of its mean loss.

Derivatives are with respect to the weights of the original network. If batch-norm is folded, a
folded weight is s * weight with a fixed s for each channel, so

    gradient = S gradient_folded,    H v = S H_folded (S v),

and s comes from folding a direction of ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_losses import BatchLosses
from landscape_mpi.compute.derivatives import Tensors
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting, prepare_device
from landscape_mpi.compute.moving_network import FreeNetworks, Layout, MovedNetwork
from landscape_mpi.compute.preparation import Build, counted
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.tensors import refuse_merged
from landscape_mpi.compute.threads import single_core_threads
from landscape_mpi.compute.ties import refuse_ties


class DerivativePlane:
    """Hold a network on its plane, and its loss there, batch by batch."""

    def __init__(
        self,
        network: nn.Module | ProblemNetwork,
        directions: Mapping[str, Direction],
        losses: BatchLosses,
        setting: Setting,
        *,
        parameters: Sequence[str],
        what: str,
        build: Build | None = None,
    ) -> None:
        """Prepare the network.

        Args:
            network: Network with its weights on the CPU, in training mode if eval() changes any
                weight. It belongs to the plane from then on. Or a problem's network, which
                evaluations use in turn.
            directions: Directions by axis, for the network's parameters and buffers.
            losses: Losses of this rank's batches, on the setting's device.
            setting: How to compute; it applies to the whole process.
            parameters: Names of the parameters to differentiate by.
            what: Name of the derivatives, for messages.
            build: Function that builds the network again for a further thread; None if threads may
                share one.

        Raises:
            InputError: If eval() merges weights of the network, some are tied by their memory, or
                the loss depends on parameters that derivatives do not reach.
        """
        self._holder: ProblemNetwork | None = None
        if not isinstance(network, nn.Module):
            self._holder, build = network, network.another
            network = network.at_center()
            setting = replace(setting, steps=replace(setting.steps, channels_last=False))
        prepare_device(setting, network)
        torch.set_num_threads(1)
        refuse_merged(network, what, option=losses.option)
        refuse_ties(network, what, option=losses.option)
        losses.check_network(network, parameters, what)
        own = dict(network.named_parameters())
        ones = {name: np.ones(own[name].shape, np.float32) for name in parameters}
        folded = losses.fold(network, {**directions, "scale": ones}, setting, parameters)
        folded_layers = f"{counted(folded.n_folded, 'batch-norm')} folded"
        self.description = "unfolded" if folded.problem else folded_layers
        scale = folded.directions.pop("scale")
        networks = [folded.network]
        if folded.problem:
            networks = losses.networks(folded.network, setting, build)
        self._losses, self._setting = losses, setting
        self._free: FreeNetworks | None = None  # for threads that need their own networks
        self._move(networks, folded.directions, scale, parameters)
        losses.check(networks[0], parameters, what)
        if len(networks) > 1 and not losses.is_alike(networks[0], networks[-1], parameters):
            self._free = FreeNetworks(networks[:1])
        self._indices = range(losses.n_batches)
        self._pool = single_core_threads(setting.n_threads)

    def _move(
        self,
        networks: Sequence[nn.Module],
        directions: Mapping[str, Direction],
        scale: Direction,
        parameters: Sequence[str],
    ) -> None:
        """Let networks move on the plane, and keep the parameters of the derivatives."""
        self._plane = MovedNetwork(
            networks,
            directions["alpha"],
            directions["beta"],
            device=self._setting.device.name,
            steps=self._setting.steps,
        )
        if len(networks) > 1 or self._losses.takes_turns:
            self._free = FreeNetworks(networks)
        if self._holder is not None:
            self._holder.take(self)
        self._own = {id(each): self._losses.differentiable(each, parameters) for each in networks}
        self._network = networks[0]
        self._parameters = dict(zip(parameters, self._own[id(self._network)], strict=True))
        channels_last = self._setting.steps.channels_last
        self._layout = Layout(self._parameters, channels_last=channels_last)
        self._scale = self._layout.flat(scale, next(iter(self._parameters.values())))

    def _go(self, alpha: float, beta: float) -> None:
        """Give the networks the weights of a point."""
        if self._holder is not None and not self._holder.is_of(self):
            self._holder.at_center()  # another evaluation has moved the network in the meantime
            self._plane.take_back()
            self._holder.take(self)
        self._plane.move_to(alpha, beta)

    @property
    def n_parameters(self) -> int:
        """Return the length of a vector."""
        return len(self._scale)

    @property
    def device(self) -> str:
        """Return where vectors lie."""
        return self._setting.device.name

    def flat(self, direction: Direction) -> torch.Tensor:
        """Return a direction's values for the parameters as a vector, float32, on the device."""
        return self._layout.flat(direction, self._scale).float()

    def by_parameter(self, vector: torch.Tensor) -> Direction:
        """Return a vector [n_parameters] as a direction."""
        parts = self._layout.views(vector.cpu())
        return {
            name: part.contiguous().numpy()
            for name, part in zip(self._parameters, parts, strict=True)
        }

    def _flattened(self, parts: Tensors) -> torch.Tensor:
        """Return the derivatives of all parameters as a vector."""
        return self._layout.flatten(dict(zip(self._parameters, parts, strict=True)))

    @contextmanager
    def _network_alone(self) -> Iterator[tuple[nn.Module, Tensors]]:
        """Lend a network that no other thread uses, if there are several, and its parameters."""
        if self._free is None:
            yield self._network, self._own[id(self._network)]
            return
        with self._free.one() as network:
            yield network, self._own[id(network)]
