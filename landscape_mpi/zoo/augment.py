"""Crop and flip images at random on their device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

N_PADDING = 4  # pixels of black around the image


@dataclass(frozen=True)
class Crops:
    """Hold the crop and the flip of each image of a batch."""

    rows: torch.Tensor  # int64 [n], first row of the crop in the padded image
    columns: torch.Tensor  # int64 [n], first column of the crop
    mirrored: torch.Tensor  # bool [n]

    def of(self, part: slice) -> Crops:
        """Return the crops of a part of the batch."""
        return Crops(self.rows[part], self.columns[part], self.mirrored[part])


def draw_crops(n: int, *, generator: torch.Generator) -> Crops:
    """Draw shifts by up to four pixels each way, and mirror half of n images.

    Args:
        n: Number of images in the batch.
        generator: Generator on the CPU, so that every device gets the same numbers.

    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """
    rows, columns = torch.randint(2 * N_PADDING + 1, (2, n), generator=generator)
    return Crops(rows, columns, torch.randint(2, (n,), generator=generator).bool())


def crop_flip(images: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return the images cropped and mirrored.

    Args:
        images: uint8 [n, channels, height, width], not yet standardised, so that black is 0.
        crops: One crop for each image.
    """
    n, _, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (N_PADDING,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # view [n, channels, 9, 9, h, w]
    rows, columns = crops.rows.to(device), crops.columns.to(device)
    cropped = windows[torch.arange(n, device=device), :, rows, columns]
    mirrored = crops.mirrored.to(device)[:, None, None, None]
    return torch.where(mirrored, cropped.flip(3), cropped)
