"""Oracle: all 162 crops and flips of an image, cut out with numpy; whatever is drawn must be
one of its own image's, and all of them must turn up.
"""

import numpy as np
import torch

from landscape_mpi.zoo.augment import crop_flip, draw_crops


def crops(n, *, seed):
    return draw_crops(n, generator=torch.Generator().manual_seed(seed))


def variants(image):
    """All crops of image [channels, height, width] with four black pixels around, and mirrored."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    for row in range(9):
        for column in range(9):
            crop = padded[:, row : row + height, column : column + width]
            yield crop.tobytes()
            yield crop[:, :, ::-1].tobytes()


def test_every_image_becomes_one_of_its_own_variants_and_all_turn_up():
    images = np.random.default_rng(0).integers(1, 256, (2, 3, 8, 10), dtype=np.uint8)
    batch = torch.from_numpy(images).repeat_interleave(4000, dim=0)
    drawn = crop_flip(batch, crops(len(batch), seed=0)).numpy()
    for i in range(2):
        assert {image.tobytes() for image in drawn[4000 * i : 4000 * (i + 1)]} == set(
            variants(images[i])
        )


def test_seed_decides():
    batch = torch.arange(5 * 64, dtype=torch.uint8).reshape(5, 1, 8, 8)
    first, again, other = (crop_flip(batch, crops(len(batch), seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_part_of_a_batch_is_cropped_as_in_the_whole():
    batch = torch.arange(5 * 64, dtype=torch.uint8).reshape(5, 1, 8, 8)
    drawn = crops(5, seed=1)
    assert torch.equal(crop_flip(batch[2:4], drawn.of(slice(2, 4))), crop_flip(batch, drawn)[2:4])
