"""The evaluation that everyone in the field uses, to compare ours with.

The unmodified network, channels first, float32, batch 128, a DataLoader whose data set
converts and normalises one image after the other; the weights of a point are set tensor by
tensor. It shares no code with the package but the network's own definition.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

BATCH = 128


class Images(Dataset):
    """Images as bytes, each converted and normalised when it is asked for."""

    def __init__(self, inputs, targets, *, mean, std):
        self.inputs, self.targets = inputs, targets
        self.mean = torch.tensor(mean).view(-1, 1, 1)
        self.std = torch.tensor(std).view(-1, 1, 1)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        image = torch.from_numpy(self.inputs[index]).permute(2, 0, 1).contiguous()
        image = image.to(torch.float32).div(255)
        return image.sub_(self.mean).div_(self.std), int(self.targets[index])


class PlainEvaluation:
    """A network, its directions and a loader."""

    def __init__(
        self,
        network: nn.Module,
        directions: Mapping[str, Mapping[str, np.ndarray]],
        images: Images,
        *,
        device: str = "cpu",
        n_workers: int = 0,
    ) -> None:
        self.network = network.eval().to(device)
        self.device = device
        self.loader = DataLoader(images, batch_size=BATCH, shuffle=False, num_workers=n_workers)
        self.center = {name: p.detach().clone() for name, p in self.network.named_parameters()}
        self.directions = {
            axis: {name: torch.from_numpy(values).to(device) for name, values in direction.items()}
            for axis, direction in directions.items()
        }

    def evaluate(self, alpha: float, beta: float) -> float:
        """Return the mean loss of a point, nats."""
        self._move(alpha, beta)
        total, count = 0.0, 0
        criterion = nn.CrossEntropyLoss()
        with torch.no_grad():
            for images, targets in self.loader:
                logits = self.network(images.to(self.device))
                loss = criterion(logits, targets.to(self.device))
                total += loss.item() * len(targets)
                count += len(targets)
        return total / count

    def _move(self, alpha: float, beta: float) -> None:
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(self.center[name])
                for axis, step in (("alpha", alpha), ("beta", beta)):
                    if name in self.directions[axis]:
                        parameter.add_(self.directions[axis][name], alpha=step)
