"""The networks of the zoo by name: what each is given, and how it is built."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from torch import nn

from landscape_mpi.errors import unknown_name
from landscape_mpi.zoo.cnn import Cnn
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.densenet import DenseNet
from landscape_mpi.zoo.feedforward import FeedForward
from landscape_mpi.zoo.preresnet import deep_preresnet, wide_preresnet
from landscape_mpi.zoo.resnet import BIG_STAGES, big_resnet, small_resnet
from landscape_mpi.zoo.rnn import CELLS, CharacterRnn
from landscape_mpi.zoo.transformer import Transformer
from landscape_mpi.zoo.vgg import vgg9, vgg16

HOOK = "package.module:function"
RESNET_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
WIDENINGS = (2, 4, 8)
SUFFIXES = {"": "projection", "_noshort": "none"}  # with the shortcuts they stand for
FEEDFORWARD_WIDTH = 128
SEISMIC_WIDTH = 32


@dataclass(frozen=True)
class Entry:
    """A network of the zoo."""

    kinds: tuple[str, ...]  # of samples it takes, keys of dataset.NOUNS
    build: Callable[[Sample], nn.Module]


def network_names() -> list[str]:
    """Return the names of the networks in the zoo, those with numbers in them as usually asked."""
    return [*_ENTRIES, *_USUAL]


def find_network(name: str) -> Entry:
    """Return the network of a name.

    Raises:
        InputError: If there is none.
    """
    for pattern, read in _PATTERNS.items():
        if match := re.fullmatch(pattern, name):
            return read(match)
    return _ENTRIES[name] if name in _ENTRIES else _refuse(name)


def _refuse(name: str) -> NoReturn:
    raise unknown_name("--model", name, [*network_names(), *_FORMS, HOOK])


def _on_images(make: Callable[..., nn.Module], **settings: object) -> Entry:
    def build(sample: Sample) -> nn.Module:
        return make(n_channels=sample.shape[0], n_classes=sample.n_classes, **settings)

    return Entry(("image",), build)


def _on_sized_images(make: Callable[..., nn.Module], **settings: object) -> Entry:
    def build(sample: Sample) -> nn.Module:
        n_channels, height, width = sample.shape
        images = {"n_channels": n_channels, "size": (height, width)}
        return make(**images, n_classes=sample.n_classes, **settings)

    return Entry(("image",), build)


def _on_vectors(*kinds: str, **settings: Any) -> Entry:
    def build(sample: Sample) -> nn.Module:
        n_features = math.prod(sample.shape)
        return FeedForward(n_features=n_features, n_classes=sample.n_classes, **settings)

    return Entry(kinds, build)


def _residual() -> dict[str, Entry]:
    small = {
        f"resnet{depth}{suffix}": _on_images(small_resnet, depth=depth, shortcut=shortcut)
        for suffix, shortcut in (SUFFIXES | {"_pad": "pad"}).items()
        for depth in RESNET_DEPTHS
    }
    big = {
        f"resnet{depth}{suffix}": _on_images(big_resnet, depth=depth, shortcut=shortcut)
        for suffix, shortcut in SUFFIXES.items()
        for depth in BIG_STAGES
    }
    wide = {
        f"wrn56_{k}{suffix}": _on_images(small_resnet, depth=56, shortcut=shortcut, widening=k)
        for suffix, shortcut in SUFFIXES.items()
        for k in WIDENINGS
    }
    return small | big | wide


def _other_convolutional() -> dict[str, Entry]:
    return {
        "wrn28_10": _on_images(wide_preresnet, depth=28, widening=10),
        "preresnet110": _on_images(deep_preresnet, depth=110),
        "preresnet164": _on_images(deep_preresnet, depth=164),
        "densenet121": _on_images(DenseNet),
        "vgg9": _on_sized_images(vgg9),
        "vgg16": _on_sized_images(vgg16, batch_norm=False),
        "vgg16_bn": _on_sized_images(vgg16, batch_norm=True),
        "cnn1": _on_sized_images(Cnn, n_convolutions=1),
        "cnn3": _on_sized_images(Cnn, n_convolutions=3),
    }


def _read_feedforward(match: re.Match[str]) -> Entry:
    depth, first, last = match.groups()
    skip = None if first is None else (int(first), int(last))
    return _on_vectors("image", "table", depth=int(depth), width=FEEDFORWARD_WIDTH, skip=skip)


def _read_recurrent(match: re.Match[str]) -> Entry:
    def build(sample: Sample) -> nn.Module:
        return CharacterRnn(match[1], int(match[2]), n_symbols=sample.n_classes)

    return Entry(("text",), build)


def _transformer(sample: Sample) -> nn.Module:
    return Transformer(n_symbols=sample.n_classes, length=sample.shape[0])


_ENTRIES = {
    **_residual(),
    **_other_convolutional(),
    "seismic1": _on_vectors("table", depth=2, width=SEISMIC_WIDTH),
    "seismic3": _on_vectors("table", depth=4, width=SEISMIC_WIDTH),
    "transformer": Entry(("text",), _transformer),
}
_PATTERNS = {
    r"feedforward([0-9]{1,9})(?:_skip([0-9]{1,9})_([0-9]{1,9}))?": _read_feedforward,
    r"(rnn|lstm|gru)([0-9]{1,9})": _read_recurrent,
}
_FORMS = (
    "feedforwardDEPTH",
    "feedforwardDEPTH_skipFIRST_LAST",
    "rnnUNITS",
    "lstmUNITS",
    "gruUNITS",
)
_USUAL = (
    "feedforward16",
    "feedforward16_skip2_14",
    *(f"{cell}{units}" for cell in CELLS for units in (120, 140)),
)
