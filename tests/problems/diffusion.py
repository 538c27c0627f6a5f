"""The denoising loss of a U-Net of diffusers: noise and time steps are drawn for every batch."""

import torch
from diffusers import DDPMScheduler, UNet2DModel
from sklearn.datasets import load_digits

from landscape_mpi import Problem

STEPS = 100


def network():
    torch.manual_seed(14)
    return UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
    )


def data():
    """Images alone, not in batches yet."""
    images = torch.tensor(load_digits().images[:24] / 8 - 1, dtype=torch.float32)
    return (images[:, None],)


def loss(net, batch):
    (images,) = batch
    noise = torch.randn_like(images)
    steps = torch.randint(STEPS, (len(images),), device=images.device)
    noisy = DDPMScheduler(num_train_timesteps=STEPS).add_noise(images, noise, steps)
    return (net(noisy, steps).sample - noise).square().mean((1, 2, 3))


def problem():
    return Problem(network(), data(), loss, batch_size=10)
