"""All names that options accept, each with the location of its code, one per line.

A line gives the name and the location, ``module:object``. The module is imported only when the
object is used, so ``--help`` waits for none of them. CONTRIBUTING.md shows what to write there.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

from landscape_mpi.errors import unknown_name

T = TypeVar("T")
USER_FUNCTION = "package.module:function"  # form of the user's own networks and data


class Registry(Generic[T]):
    """Objects by name, in the order of lists."""

    def __init__(self, option: str, places: Mapping[str, str]) -> None:
        """Store the locations of the objects.

        Args:
            option: The option that names them, for messages.
            places: ``module:object`` by name; modules are those of this package.
        """
        self.option = option
        self._places = dict(places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, name: str) -> T:
        if name not in self._places:
            raise unknown_name(self.option, name, self._places)
        module, _, thing = self._places[name].partition(":")
        found: T = getattr(importlib.import_module(f"{__package__}.{module}"), thing)
        return found

    def place(self, name: str) -> str:
        """Return the location of an object, ``module:object``."""
        return self._places[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield names and objects; their modules are imported."""
        for name in self:
            yield name, self[name]


# NAME, NAME:ARGUMENT, or NAME[:ARGUMENT] if it is optional; an argument FILE or DIR is a path.
DATA_SETS: Registry[Any] = Registry(
    "--data",
    {
        "cifar10": "zoo.cifar10:DATA_SET",
        "cifar100": "zoo.cifar100:DATA_SET",
        "mnist": "zoo.mnist:MNIST_DATA_SET",
        "fashion_mnist": "zoo.mnist:FASHION_MNIST_DATA_SET",
        "digits": "zoo.digits:DATA_SET",
        "folder:DIR": "zoo.image_folder:DATA_SET",
        "npz:FILE": "zoo.npz:DATA_SET",
        "seismic[:SEED]": "zoo.seismic:DATA_SET",
        "shakespeare[:LENGTH]": "zoo.shakespeare:DATA_SET",
        USER_FUNCTION: "zoo.own_data:DATA_SET",
    },
)
# Families of networks, each named by one member.
NETWORKS: Registry[Any] = Registry(
    "--model",
    {
        "resnet56": "zoo.resnet:SMALL",
        "resnet18": "zoo.resnet:BIG",
        "wrn56_8": "zoo.resnet:WIDE",
        "wrn28_10": "zoo.preresnet:FAMILY",
        "densenet121": "zoo.densenet:FAMILY",
        "vgg9": "zoo.vgg:FAMILY",
        "cnn3": "zoo.cnn:FAMILY",
        "feedforward16": "zoo.feedforward:FAMILY",
        "seismic3": "zoo.feedforward:SEISMIC",
        "lstm120": "zoo.rnn:FAMILY",
        "transformer": "zoo.transformer:FAMILY",
    },
)
NORMALIZATIONS: Registry[Any] = Registry(
    "--normalize",
    {
        "filter": "compute.normalizations.filter:FILTER",
        "layer": "compute.normalizations.layer:LAYER",
        "weight": "compute.normalizations.weight:WEIGHT",
        "dfilter": "compute.normalizations.filter:UNIT_FILTER",
        "dlayer": "compute.normalizations.layer:UNIT_LAYER",
        "none": "compute.normalizations.none:NONE",
    },
)
# Kinds of devices; "auto" takes the first one that this machine has.
DEVICES: Registry[Any] = Registry(
    "--device",
    {
        "cuda": "compute.devices.cuda:CudaDevice",
        "xpu": "compute.devices.xpu:XpuDevice",
        "cpu": "compute.devices.cpu:CpuDevice",
    },
)
QUANTITIES: Registry[Any] = Registry(
    "--also",
    {
        "gradient_norm": "engine.quantities.gradient_norm:GRADIENT_NORM",
    },
)
PICTURES: Registry[Any] = Registry(
    "--kind",
    {
        "contour": "views.flat_pictures:CONTOUR",
        "filled": "views.flat_pictures:FILLED",
        "heatmap": "views.flat_pictures:HEATMAP",
        "surface": "views.shaded:SURFACE",
        "ring": "views.ring:RING",
    },
)
# Colour maps of matplotlib: perceptually uniform ones, then diverging ones.
COLOR_MAPS: tuple[str, ...] = (
    "viridis",
    "plasma",
    "inferno",
    "magma",
    "cividis",
    "coolwarm",
    "bwr",
    "seismic",
    "RdBu",
    "RdGy",
    "RdYlBu",
    "RdYlGn",
    "Spectral",
    "BrBG",
    "PRGn",
    "PiYG",
    "PuOr",
)
REVERSED = "_r"  # this ending reverses a map


def named_path(data: str) -> str | None:
    """Return the file or folder that --data names, or None.

    Args:
        data: ``npz:FILE``, ``folder:DIR`` or another name of a data set.
    """
    name, colon, path = data.partition(":")
    is_path = any(f"{name}:{word}" in DATA_SETS for word in ("FILE", "DIR"))
    return path if colon and is_path else None
