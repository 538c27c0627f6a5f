"""The modes of a network's modules, training or evaluation, which a loss may change."""

from __future__ import annotations

from torch import nn


class Modes:
    """The modes that the modules of a network have."""

    def __init__(self, network: nn.Module) -> None:
        """Note the modes.

        Args:
            network: After eval(), which leaves some modules in training mode if they say so.
        """
        self._network = network
        self._modes = [(module, module.training) for module in network.modules()]

    def restore(self) -> None:
        """Give the modules their modes again, if a call has changed one."""
        if all(module.training == mode for module, mode in self._modes):
            return
        self._network.eval()  # which may merge weights
        for module, mode in self._modes:
            if module.training != mode:
                module.training = mode
