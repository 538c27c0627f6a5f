"""A small U-Net over images of different sizes; pixels of 255 do not count, wherever they are."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from landscape_mpi import Problem

CLASSES, IGNORED = 4, 255
SIZES = ((3, 16, 20), (2, 12, 12), (1, 24, 16), (1, 8, 8))  # images, rows, columns


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Conv2d(16, CLASSES, 1)

    def forward(self, images):
        fine = self.down(images)
        return {"out": self.out(torch.cat([fine, self.up(self.deep(fine))], 1))}


def network():
    torch.manual_seed(8)
    return UNet()


def data():
    """One batch a size, with its name and a mask of what is known; of the last, nothing is."""
    draw = torch.Generator().manual_seed(9)
    made = []
    for n, *size in SIZES:
        images = torch.randn(n, 3, *size, generator=draw)
        masks = (images[:, 0] > 0).long() + 2 * (images[:, 1] > 0).long()
        masks[torch.rand(masks.shape, generator=draw) < 0.3] = IGNORED
        made.append({"name": f"{n} of {size}", "image": images, "mask": masks, "weight": None})
    made[-1]["mask"].fill_(IGNORED)
    return made


def loss(net, batch):
    logits, mask = net(batch["image"])["out"], batch["mask"]
    return cross_entropy(logits, mask, ignore_index=IGNORED, reduction="sum"), (
        mask != IGNORED
    ).sum()


def right_pixels(net, batch):
    mask = batch["mask"]
    right = net(batch["image"])["out"].argmax(1) == mask
    return right.sum(), int((mask != IGNORED).sum())


def problem():
    return Problem(network(), data(), loss, metrics={"pixel_accuracy": right_pixels})
