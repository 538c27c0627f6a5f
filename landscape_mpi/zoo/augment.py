"""Random crops and flips of images that already lie on the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

N_PADDING = 4  # pixels of black around the image


@dataclass(frozen=True)
class Crops:
    """What is done to each image of a batch."""

    rows: torch.Tensor  # int64 [n], where the crop begins in the padded image
    columns: torch.Tensor  # int64 [n], likewise
    mirrored: torch.Tensor  # bool [n]

    def of(self, part: slice) -> Crops:
        """Return those of a part of the batch."""
        return Crops(self.rows[part], self.columns[part], self.mirrored[part])


def draw_crops(n: int, *, generator: torch.Generator) -> Crops:
    """Draw shifts by up to four pixels each way, and mirror half of n images.

    Args:
        n: Images of the batch.
        generator: On the CPU, so that every device draws the same.

    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """
    rows, columns = torch.randint(2 * N_PADDING + 1, (2, n), generator=generator)
    return Crops(rows, columns, torch.randint(2, (n,), generator=generator).bool())


def crop_flip(images: torch.Tensor, crops: Crops) -> torch.Tensor:
    """Return the images cropped and mirrored.

    Args:
        images: uint8 [n, channels, height, width]; black is 0, so before standardising.
        crops: One for each.
    """
    n, _, height, width = images.shape
    device = images.device
    padded = functional.pad(images, (N_PADDING,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # view [n, channels, 9, 9, h, w]
    rows, columns = crops.rows.to(device), crops.columns.to(device)
    cropped = windows[torch.arange(n, device=device), :, rows, columns]
    mirrored = crops.mirrored.to(device)[:, None, None, None]
    return torch.where(mirrored, cropped.flip(3), cropped)
