"""The samples of a split on a device: images as bytes, normalised batch by batch."""

from __future__ import annotations

import copy
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
        one_loss: bool = False,
    ) -> None:
        """Put samples on a device.

        Args:
            inputs: Images [n, height, width, channels], uint8, or float32 and normalised already;
                float32 or int64 of another number of dimensions.
            targets: int64 or float32, [n] or [n, length].
            mean: Of the pixels of images, one per channel, in [0, 1] units.
            std: Likewise.
            device: Where.
            one_loss: Whether a sample has one loss, of however many targets.
        """
        self.inputs = torch.from_numpy(inputs).to(device)
        self.targets = torch.from_numpy(targets).to(device)
        shape = targets.shape[:1] if one_loss else targets.shape
        self.losses = torch.empty(shape, dtype=torch.float32, device=device)
        self.wrong = torch.zeros(targets.shape, dtype=torch.bool, device=device)
        deviation = torch.tensor(std, dtype=torch.float64)
        center = torch.tensor(mean, dtype=torch.float64)
        self._scale = (1 / (255 * deviation)).float().view(1, -1, 1, 1).to(device)
        self._shift = (-center / deviation).float().view(1, -1, 1, 1).to(device)
        self._n_points: int | None = None

    def at_points(self, n_points: int) -> ResidentSplit:
        """Return the same samples with room for their losses at several points.

        Its ``losses`` and ``wrong`` are [n_points, ...] of what they are here.
        """
        split = copy.copy(self)
        split._n_points = n_points
        split.losses = self.losses.new_empty((n_points, *self.losses.shape))
        split.wrong = self.wrong.new_zeros((n_points, *self.wrong.shape))
        return split

    def keep(self, rows: slice, losses: torch.Tensor, wrong: torch.Tensor | bool) -> None:
        """Keep the losses of some samples.

        Args:
            rows: Of the samples.
            losses: [n, ...], at several points [n_points, n, ...].
            wrong: Likewise, or one for all.
        """
        where = rows if self._n_points is None else (slice(None), rows)
        self.losses[where] = losses
        self.wrong[where] = wrong

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, rows: slice) -> torch.Tensor:
        """Return samples as the network sees them.

        Images are normalised, float32 [n, channels, height, width], channels last; all else is
        as it is.
        """
        if self.inputs.ndim != 4:
            return self.inputs[rows]
        images = self.inputs[rows].permute(0, 3, 1, 2)
        if images.dtype != torch.uint8:
            return images
        return images.float().mul_(self._scale).add_(self._shift)
