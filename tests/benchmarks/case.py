"""The case to measure: a network with trained weights, directions and images."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from plain import Images, PlainEvaluation
from torch import nn

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.networks import build_network

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Case:
    """A network of the zoo on images; without a checkpoint its weights are random."""

    model: str
    n_images: int
    checkpoint: Path | None = None
    data: Path | None = None

    def network(self) -> nn.Module:
        torch.manual_seed(0)
        network = build_network(self.model, n_channels=3, n_classes=10).float().eval()
        if self.checkpoint is not None:
            load_state(network, read_checkpoint(self.checkpoint, trust=False))
        return network

    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Return uint8 [n, 32, 32, 3] and int64 [n]; noise where no data are named."""
        if self.data is None:
            generator = np.random.default_rng(0)
            shape = (self.n_images, 32, 32, 3)
            images = generator.integers(0, 256, shape, np.uint8)
            return images, generator.integers(0, 10, self.n_images)
        with np.load(self.data) as file:
            images = np.ascontiguousarray(file["images"][: self.n_images])
            return images, file["labels"][: self.n_images].astype(np.int64)

    def directions(self) -> dict:
        network = self.network()
        state = tensors_of(network)
        center = {name: state[name] for name in moved_names(network, ignore=("bias", "bn"))}
        how = {"seed": 1, "normalize": "filter"}
        return {axis: random_direction(center, axis=axis, **how) for axis in ("alpha", "beta")}

    def plain(self, *, device: str = "cpu", n_workers: int = 0) -> PlainEvaluation:
        images = Images(*self.images(), mean=MEAN, std=STD)
        directions = self.directions()
        return PlainEvaluation(
            self.network(), directions, images, device=device, n_workers=n_workers
        )

    def ours(self, setting: Setting) -> LossPlane:
        samples = ResidentSplit(*self.images(), mean=MEAN, std=STD, device=setting.device.name)
        sample = samples.batch(slice(0, 2)).cpu()
        return LossPlane(self.network(), self.directions(), {"train": samples}, sample, setting)


def find_checkpoint(model: str) -> Path | None:
    """Return the trained weights of a network in the folder LANDSCAPE_DATA, if there are any."""
    folder = os.environ.get("LANDSCAPE_DATA")
    found = sorted(Path(folder).glob(f"checkpoints/{model}-*.th")) if folder else []
    return found[0] if found else None


def trained(model: str, n_images: int) -> Case:
    """Return a case with the trained weights and the images of the folder LANDSCAPE_DATA."""
    checkpoint = find_checkpoint(model)
    data = Path(os.environ.get("LANDSCAPE_DATA", "")) / "cifar10_first4000.npz"
    if checkpoint is None or not data.exists():
        sys.exit(
            "LANDSCAPE_DATA must name a folder with checkpoints/resnet20-*.th and resnet56-*.th "
            "(trained, parameter-free shortcuts) and cifar10_first4000.npz."
        )
    return Case(f"{model}_pad", n_images, checkpoint, data)


def cpu_setting(precision: str, threads: int) -> Setting:
    """Return what `surface` takes on a CPU when nothing is asked."""
    return Setting(CPU, precision, CPU.default_batch, threads)
