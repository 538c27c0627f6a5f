"""A case that a command names by --model, --data and --loss."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from plain_loop import mean_loss
from torch import nn

from cases.case import Case, Oracle, found


@dataclass(frozen=True, kw_only=True)
class ModelCase(Case):
    """A network, samples of inputs and targets, and a loss of outputs and targets."""

    def source(self) -> list[str]:
        return [f"--model={self.network}", f"--data={self.data}", f"--loss={self.loss}"]

    def build(self) -> nn.Module:
        """Return the network as the user's function makes it."""
        return found(self.network)()

    def samples(self, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        return found(self.data)()[split]

    @abstractmethod
    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the losses of samples, or their mean, by torch's own functions."""

    def center(self) -> nn.Module:
        """Return a network in training mode, with the weights at the center of the plane."""
        return self.build().train()

    def oracle(self) -> Oracle:
        """Send all samples through the network at once."""
        network = self.center()

        def values(split: str) -> dict[str, float]:
            network.load_state_dict(network.state_dict())  # hooks may compute something from it
            return {"loss": mean_loss(network.eval(), self.samples(split), self.losses)}

        return Oracle(network, values)
