"""Hold the network of a problem: the user's own object, which is moved.

A loss may ignore the network that it is called with and use the same object from a closure. So the
object itself moves; only further threads compute with copies. Evaluations take turns with it. Each
starts with the network at the center, in training mode, with its tensors at their original place in
memory, because a module may keep views of them as plain attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.preparation import Build
from landscape_mpi.compute.tensors import Extra, fill_network, named_tensors
from landscape_mpi.compute.ties import converted, tie_again, ties_of


class ProblemNetwork:
    """Hold a network, its center, and further networks like it."""

    def __init__(
        self,
        network: nn.Module,
        center: Mapping[str, np.ndarray],
        *,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        extra: Extra | None = None,
        build: Build | None = None,
    ) -> None:
        """Take a network; make a NetworkLoan first to restore it later.

        Args:
            network: The user's own object.
            center: Result of tensors_of for the network at the center, in training mode.
            device: Device that it computes on.
            dtype: Type that all of it is converted to; None to keep its types.
            extra: Result of extra_state_of for the network.
            build: Function that builds the network again, with arbitrary weights; None to copy it.

        Raises:
            InputError: If the names of the center are not those of the network.
        """
        self.network, self.device = network, device
        self._center, self._dtype, self._extra = center, dtype, extra
        self._build = build
        self._owner: object = None
        if dtype is not None:
            converted(network, dtype)
        converted(network, device)
        self._placed = {name: t.data for name, t in named_tensors(network).items()}
        self.at_center()

    def at_center(self) -> nn.Module:
        """Return the network at the center, in training mode and in its own memory.

        Raises:
            InputError: If the names of its tensors differ from the center's.
        """
        self._owner = None
        for name, tensor in named_tensors(self.network).items():
            if name in self._placed:
                tensor.data = self._placed[name]
        fill_network(self.network, self._center, self._extra, option="Problem")
        return self.network

    def is_of(self, owner: object) -> bool:
        """Return whether an evaluation was the last one to take the network."""
        return self._owner is owner

    def take(self, owner: object) -> None:
        """Record which evaluation moves the network from now on."""
        self._owner = owner

    def another(self, unused: nn.Module | None = None) -> nn.Module:
        """Return a further network with the weights of the center, in training mode.

        Args:
            unused: A network like this one, to be used; None to build or copy one.

        Raises:
            Exception: If it can be neither built nor copied; any error from its own code.
        """
        self.at_center()
        if unused is None and self._build is None:
            made = copy.deepcopy(self.network)
            tie_again(made, ties_of(self.network))
            return made
        made = unused if unused is not None else self._built()
        if self._dtype is not None:
            converted(made, self._dtype)
        fill_network(made, self._center, self._extra, option="Problem")
        return converted(made, self.device)

    def _built(self) -> nn.Module:
        assert self._build is not None
        return self._build()

    def like_this(
        self, dtype: torch.dtype | None = None, *, unused: nn.Module | None = None
    ) -> ProblemNetwork:
        """Return a further network that evaluations can take in turn.

        Args:
            dtype: Type that all of it is converted to; None to keep its types.
            unused: See another().

        Raises:
            Exception: If it can be neither built nor copied.
        """
        return ProblemNetwork(
            self.another(unused),
            self._center,
            device=self.device,
            dtype=dtype,
            extra=self._extra,
        )
