"""Restore the modes of a network's modules, training or evaluation, after a loss."""

from __future__ import annotations

from torch import nn


class Modes:
    """Hold the modes of a network's modules."""

    def __init__(self, network: nn.Module) -> None:
        """Store the modes.

        Args:
            network: Network after eval(); some modules may choose to stay in training mode.
        """
        self._network = network
        self._modes = [(module, module.training) for module in network.modules()]

    def restore(self) -> None:
        """Restore the modes if a call has changed one."""
        if all(module.training == mode for module, mode in self._modes):
            return
        self._network.eval()  # eval() may merge weights
        for module, mode in self._modes:
            if module.training != mode:
                module.training = mode
