"""The samples of a split on a device: images as bytes, normalised batch by batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


class ResidentSplit:
    """The samples of one split on a device, and room for their losses."""

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: str,
    ) -> None:
        # uint8 [n, height, width, channels], float32 [n, features] or int64 [n, length]
        self.inputs = torch.from_numpy(inputs).to(device)
        self.targets = torch.from_numpy(targets).to(device)  # int64 [n] or [n, length]
        self.losses = torch.empty(targets.shape, dtype=torch.float32, device=device)  # nat
        self.wrong = torch.empty(targets.shape, dtype=torch.bool, device=device)
        deviation = torch.tensor(std, dtype=torch.float64)
        center = torch.tensor(mean, dtype=torch.float64)
        self._scale = (1 / (255 * deviation)).float().view(1, -1, 1, 1).to(device)
        self._shift = (-center / deviation).float().view(1, -1, 1, 1).to(device)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: slice) -> torch.Tensor:
        """Return samples as the network sees them.

        Images are normalised, float32 [n, channels, height, width], channels last; rows of a
        table and sequences of symbols are as they are.
        """
        if self.inputs.dtype != torch.uint8:
            return self.inputs[rows]
        images = self.inputs[rows].permute(0, 3, 1, 2).float()
        return images.mul_(self._scale).add_(self._shift)
