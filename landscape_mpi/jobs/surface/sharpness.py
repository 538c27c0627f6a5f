"""Measure the sharpness of a surface file's minimum with its network: one process, with torch."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from landscape_mpi.compute.ascent import highest_in_box
from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.choice import choose_alone
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.devices.repeatability import compute_repeatably
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.steps import ALL, PLAIN
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.stored_inputs import read_stored_inputs, some_samples
from landscape_mpi.engine.stored_problem import is_of_problem
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.problem_sharpness import ProblemMinimum
from landscape_mpi.jobs.surface.sharpness_request import SharpnessRequest
from landscape_mpi.store import sharpness
from landscape_mpi.store.reader import Surface, read_surface
from landscape_mpi.store.resume import USUAL_SUBSET
from landscape_mpi.store.stored_surface import read_stored_surface
from landscape_mpi.zoo.dataset import NOUNS
from landscape_mpi.zoo.networks import is_of_zoo
from landscape_mpi.zoo.subset import describe


def say_sharpness(asked: SharpnessRequest) -> None:
    """Print the requested numbers, each line as soon as it is known. Local.

    Args:
        asked: The request.

    Raises:
        InputError: If the surface has no training loss, or fewer samples.
    """
    stored = read_stored_surface(asked.surface)
    splits = stored.text("/", "splits").split(",")
    if "train" not in splits:
        raise InputError(
            f"{stored.path}: was computed on the split {','.join(splits)}, but sharpness is "
            "measured on the training loss. Compute the surface with --splits train, or "
            "train,test."
        )
    if is_of_problem(stored):
        minimum = ProblemMinimum(asked, stored)
        _say_ascent(asked, minimum.gradient)
        _say_losses(minimum.fresh_losses(), minimum.name, read_surface(stored.path))
        return
    read = read_stored_inputs(asked.moved, stored)
    n_samples, subset = asked.limit or read.n_training, asked.subset or USUAL_SUBSET
    inputs = some_samples(read, n_samples, subset, stored.path)
    which = "all" if n_samples == read.n_training else describe(subset)
    device = choose_alone(asked.device)
    split = inputs.dataset.splits["train"]
    print(
        f"{stored.path}: {inputs.source.model} on {len(split.targets):,} training "
        f"{NOUNS[split.kind]} ({which}); {device.describe()}",
        flush=True,
    )
    _say_ascent(asked, _gradient_of(inputs, device))
    _say_fresh(asked, inputs, device, read_surface(stored.path))


def _gradient_of(inputs: Inputs, device: Device) -> LossGradient:
    compute_repeatably()
    network = inputs.network_copy().to(device.name)
    names = [name for name, weights in network.named_parameters() if weights.is_floating_point()]
    samples = inputs.resident("train", device=device.name)
    losses = OutputLosses(samples, inputs.loss.load(), batch=device.gradient_batch)
    return LossGradient(network, losses, names)


def _say_ascent(asked: SharpnessRequest, gradient: LossGradient) -> None:
    center, _ = gradient.here()
    print(f"at the center {center:.6g}", flush=True)
    for radius in tqdm(asked.radius, desc="climbing", unit="box", disable=None, leave=False):
        highest = highest_in_box(
            gradient, center, radius, iterations=asked.iterations, seed=asked.seed
        )
        print(
            f"{describe_rise(center, highest)}: the loss rises to {highest:.6g} where no weight w "
            f"moves by more than {radius:g} (|w| + 1)",
            flush=True,
        )


def describe_rise(center: float, highest: float) -> str:
    """Describe the rise of the loss: in percent, or in its own unit if the center is below 0.

    Args:
        center: Loss at the center.
        highest: Largest loss in a box around it.

    Source: Keskar et al. 2017, arXiv:1609.04836, Metric 2.1, which needs a loss of at least 0.
    """
    if center < 0:
        return f"rise {highest - center:.4g} (no percentage of a loss below 0)"
    return f"sharpness {100 * (highest - center) / (1 + center):.4g} %"


def _say_fresh(asked: SharpnessRequest, inputs: Inputs, device: Device, surface: Surface) -> None:
    losses = [
        _fresh_loss(inputs, device, asked.seed + number)
        for number in tqdm(range(asked.fresh_networks), desc="fresh networks", disable=None)
    ]
    known = [loss for loss in losses if loss is not None]
    _say_losses(known, inputs.source.model, surface)


def _say_losses(known: list[float], model: str, surface: Surface) -> None:
    """Print the losses of networks before training, and whether the surface is convex up to them.

    Source: Li et al. 2018, arXiv:1712.09913, section 6.
    """
    if not known:
        print(f"fresh networks: {model} always has the same weights, so there are none")
        return
    told = f"{len(known)} fresh networks: loss {min(known):.4g} to {max(known):.4g}"
    print(f"{told}; {_convexity(surface)}")


def _convexity(surface: Surface) -> str:
    """Describe up to which loss a surface is convex; for several lines, all of them."""
    loss = surface.values["train_loss"]
    parts = [(surface.beta, loss)]
    if surface.has_repeats:
        parts = [(np.zeros(1), line[:, None]) for line in loss.T]
    found = [sharpness.convex_height(surface.alpha, beta, part) for beta, part in parts]
    heights = [height for height in found if height is not None]
    if not np.isfinite(loss).any():
        return "the surface has no finite loss"
    if not heights:
        return f"the whole surface is convex, up to {np.nanmax(loss):.4g}"
    return f"the surface is convex up to {min(heights):.4g}"


def _fresh_loss(inputs: Inputs, device: Device, seed: int) -> float | None:
    """Return the training loss of a network before training; None if the network is not fresh.

    Statistics of batch-norm are measured on the training set: those of a fresh layer mean nothing.
    """
    network = inputs.fresh_network(seed)
    if digest(tensors_of(network)) == inputs.sha256["weights_sha256"]:
        return None
    setting = Setting(
        device,
        "fp32",
        device.default_batch,
        threads=torch.get_num_threads(),
        steps=ALL if is_of_zoo(network) else PLAIN,
    )
    samples = inputs.resident("train", device=device.name)
    plane = LossPlane(
        network,
        {"alpha": {}, "beta": {}},
        {"train": samples},
        inputs.resident("train", device=CPU.name).batch(slice(0, 2)),
        setting,
        loss=inputs.loss.load(),
        statistics_of=samples,
        build=lambda: inputs.fresh_network(seed),
    )
    return float(plane.evaluate(0.0, 0.0)[0])
