"""Hold the samples of a split on a device: images as bytes, normalised batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch


class ResidentSplit:
    """Hold the samples of one split on a device, and arrays for their losses."""

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        device: str,
        one_loss: bool = False,
        weighs: bool = False,
        ignored: int | None = None,
        exact: bool = False,
    ) -> None:
        """Put samples on a device.

        Args:
            inputs: Images [n, height, width, channels], uint8, or float32 if already normalised;
                float32 or int64 with any other number of dimensions. For a network in float64 they
                may be float64.
            targets: int64, float32 or float64, [n], or [n, ...] with several for each sample.
            mean: Mean of the pixels of images, one per channel, in [0, 1] units.
            std: Standard deviation of the pixels, in the same form.
            device: Device of the samples.
            one_loss: Whether a sample has a single loss, however many targets it has.
            weighs: Whether losses have weights.
            ignored: Target that does not count.
            exact: Whether losses are kept in float64; those of float64 inputs always are.
        """
        self.inputs = torch.from_numpy(inputs).to(device)
        self.targets = torch.from_numpy(targets).to(device)
        shape = targets.shape[:1] if one_loss else targets.shape
        exact = exact or self.inputs.dtype == torch.float64
        kind = torch.float64 if exact else torch.float32
        self.losses = torch.empty(shape, dtype=kind, device=device)
        self.wrong = torch.zeros(targets.shape, dtype=torch.bool, device=device)
        self._weights, self._counted = None, None
        if weighs or ignored is not None:
            self._weights = torch.ones_like(self.losses)
            self._counted = self.targets != (torch.nan if ignored is None else ignored)
        deviation = torch.tensor(std, dtype=torch.float64)
        center = torch.tensor(mean, dtype=torch.float64)
        self._scale = (1 / (255 * deviation)).float().view(1, -1, 1, 1).to(device)
        self._shift = (-center / deviation).float().view(1, -1, 1, 1).to(device)
        self._n_points: int | None = None

    def at_points(self, n_points: int) -> ResidentSplit:
        """Return the same samples with arrays for their losses at several points.

        The shapes of ``losses`` and ``wrong`` begin with n_points.
        """
        split = copy.copy(self)
        split._n_points = n_points
        split.losses = self.losses.new_empty((n_points, *self.losses.shape))
        split.wrong = self.wrong.new_zeros((n_points, *self.wrong.shape))
        if self._weights is not None and self._counted is not None:
            split._weights = self._weights.new_ones(split.losses.shape)
            split._counted = self._counted.expand(split.wrong.shape)
        return split

    @property
    def kept(self) -> tuple[torch.Tensor, ...]:
        """Return the losses, and whether targets are missed.

        If some targets do not count, or losses have weights, also return the weights and which
        targets count.
        """
        if self._weights is None or self._counted is None:
            return self.losses, self.wrong
        return self.losses, self.wrong, self._weights, self._counted

    def keep(
        self,
        rows: slice,
        losses: torch.Tensor,
        wrong: torch.Tensor | bool,
        weights: torch.Tensor | None = None,
    ) -> None:
        """Store the losses of some samples.

        Args:
            rows: Rows of the samples.
            losses: Losses [n, ...], or at several points [n_points, n, ...].
            wrong: Whether targets are missed, in the same shape, or one value for all.
            weights: Weights of the losses, if they have any.
        """
        where = rows if self._n_points is None else (slice(None), rows)
        self.losses[where] = losses
        self.wrong[where] = wrong
        if weights is not None and self._weights is not None:
            self._weights[where] = weights

    def snapshot(self) -> torch.Tensor:
        """Return a copy of the inputs."""
        return self.inputs.clone()

    def is_as(self, before: torch.Tensor) -> bool:
        """Return whether the inputs are unchanged since a snapshot."""
        return torch.equal(self.inputs, before)

    def __len__(self) -> int:
        return len(self.targets)

    def batch(
        self, rows: slice, *, channels_last: bool = False, copied: bool = True
    ) -> torch.Tensor:
        """Return samples as the network sees them.

        Images are normalised, float32 [n, channels, height, width]; other inputs are unchanged.

        Args:
            rows: Rows of the samples.
            channels_last: Whether images have the channels-last layout in memory.
            copied: Whether to return copies, which a network may change.
        """
        if self.inputs.ndim != 4:
            return self.inputs[rows].clone() if copied else self.inputs[rows]
        images = self.inputs[rows].permute(0, 3, 1, 2)
        if images.dtype == torch.uint8:
            images = images.float().mul_(self._scale).add_(self._shift)
        elif copied:
            images = images.clone()
        if channels_last:
            return images
        # Not contiguous(), which keeps either layout of images with one channel.
        return images.clone(memory_format=torch.contiguous_format)
