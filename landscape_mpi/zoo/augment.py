"""Random crops and flips of images that already lie on the device."""

from __future__ import annotations

import torch
from torch.nn import functional

N_PADDING = 4  # pixels of black around the image


def crop_flip(images: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by up to four pixels each way, and mirror half of them.

    Args:
        images: uint8 [n, channels, height, width]; black is 0, so before standardising.
        generator: On the CPU, so that every device draws the same.

    Source: He et al. 2015, arXiv:1512.03385, section 4.2.
    """
    n, _, height, width = images.shape
    padded = functional.pad(images, (N_PADDING,) * 4)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # view [n, channels, 9, 9, h, w]
    draws = torch.randint(2 * N_PADDING + 1, (2, n), generator=generator).to(images.device)
    mirrored = torch.randint(2, (n,), generator=generator).to(images.device).bool()
    cropped = windows[torch.arange(n, device=images.device), :, draws[0], draws[1]]
    return torch.where(mirrored[:, None, None, None], cropped.flip(3), cropped)
