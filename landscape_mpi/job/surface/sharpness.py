"""What a surface file says of a minimum beside what its network says: one process, with torch."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from tqdm import tqdm

from landscape_mpi.compute.ascent import highest_in_box
from landscape_mpi.compute.device import choose_alone, describe_device
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.evaluation import DEFAULT_BATCH, Setting
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.job.stored_inputs import first_samples, read_stored_inputs
from landscape_mpi.store import sharpness
from landscape_mpi.store.reader import Surface, read_surface
from landscape_mpi.store.stored_surface import read_stored_surface
from landscape_mpi.zoo.dataset import NOUNS
from landscape_mpi.zoo.networks import build_network


def say_sharpness(options: argparse.Namespace) -> None:
    """Print what the options ask for, line by line as it is known. Local.

    Args:
        options: ``surface``, ``radius``, ``iterations``, ``fresh_networks``, ``limit``, ``seed``,
            ``device``, and those of read_stored_inputs.

    Raises:
        InputError: If the surface has no training loss, or fewer samples.
    """
    stored = read_stored_surface(options.surface)
    splits = stored.text("/", "splits").split(",")
    if "train" not in splits:
        raise InputError(
            f"{stored.path}: was computed on the split {','.join(splits)}, and sharpness is that "
            f"of the training loss. Compute the surface with --splits train, or train,test."
        )
    read = read_stored_inputs(options, stored)
    inputs = first_samples(read, options.limit or read.n_training, stored.path)
    device = choose_alone(options.device)
    split = inputs.dataset.splits["train"]
    print(
        f"{stored.path}: {inputs.source.model} on the first {len(split.targets):,} training "
        f"{NOUNS[split.kind]}; {describe_device(device)}",
        flush=True,
    )
    _say_ascent(options, inputs, device)
    _say_fresh(options, inputs, device, read_surface(stored.path))


def _say_ascent(options: argparse.Namespace, inputs: Inputs, device: str) -> None:
    network = inputs.network_copy().to(device)
    names = [name for name, _ in network.named_parameters()]
    samples = inputs.resident("train", device=device)
    gradient = LossGradient(network, samples, inputs.loss.load(), names)
    center, _ = gradient.here()
    print(f"at the center {center:.6g}", flush=True)
    for radius in tqdm(options.radius, desc="climbing", unit="box", disable=None, leave=False):
        highest = highest_in_box(
            gradient, center, radius, iterations=options.iterations, seed=options.seed
        )
        print(
            f"sharpness {100 * (highest - center) / (1 + center):.4g} %: the loss rises to "
            f"{highest:.6g} where no weight w moves by more than {radius:g} (|w| + 1)",
            flush=True,
        )


def _say_fresh(options: argparse.Namespace, inputs: Inputs, device: str, surface: Surface) -> None:
    """Say what networks have before training, and whether that lies where it is convex.

    Source: Li et al. 2018, arXiv:1712.09913, section 6.
    """
    losses = [
        _fresh_loss(inputs, device, options.seed + number)
        for number in tqdm(range(options.fresh_networks), desc="fresh networks", disable=None)
    ]
    known = [loss for loss in losses if loss is not None]
    if not known:
        print(
            f"fresh networks: {inputs.source.model} comes with the same weights every time, so "
            f"there are none"
        )
        return
    told = f"{len(known)} fresh networks: loss {min(known):.4g} to {max(known):.4g}"
    print(f"{told}; {_convexity(surface)}")


def _convexity(surface: Surface) -> str:
    """Say how high a surface is convex; of several lines, how high all of them are."""
    loss = surface.values["train_loss"]
    parts = [(surface.beta, loss)]
    if surface.has_repeats:
        parts = [(np.zeros(1), line[:, None]) for line in loss.T]
    found = [sharpness.convex_height(surface.alpha, beta, part) for beta, part in parts]
    heights = [height for height in found if height is not None]
    if not heights:
        return f"the surface is convex as far as it goes, to {np.nanmax(loss):.4g}"
    return f"the surface is convex up to {min(heights):.4g}"


def _fresh_loss(inputs: Inputs, device: str, seed: int) -> float | None:
    """Return the training loss of a network before training, None for one that is not fresh.

    Statistics of batch-norm are measured on the training set: those of a fresh layer mean nothing.
    """
    torch.manual_seed(seed)
    network = build_network(inputs.source.model, sample=inputs.source.sample).float().eval()
    if digest(tensors_of(network)) == inputs.sha256["weights_sha256"]:
        return None
    kind = device.split(":")[0]
    setting = Setting(device, "fp32", DEFAULT_BATCH[kind], threads=torch.get_num_threads())
    samples = inputs.resident("train", device=device)
    plane = LossPlane(
        network,
        {"alpha": {}, "beta": {}},
        {"train": samples},
        inputs.resident("train", device="cpu").batch(slice(0, 2)),
        setting,
        loss=inputs.loss.load(),
        statistics_of=samples,
    )
    return float(plane.evaluate(0.0, 0.0)[0])
