"""The data sets by name: how each is loaded from what stands behind its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from landscape_mpi.errors import InputError, nearest_name, unknown_name
from landscape_mpi.zoo import digits, mnist, seismic, shakespeare
from landscape_mpi.zoo.cifar import Edition, load_cifar
from landscape_mpi.zoo.cifar10 import CIFAR10
from landscape_mpi.zoo.cifar100 import CIFAR100
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.hooks import NoModuleError
from landscape_mpi.zoo.image_folder import load_folder
from landscape_mpi.zoo.npz import load_npz
from landscape_mpi.zoo.own_data import load_own

FORMS = (
    *("cifar10", "cifar100", "mnist", "fashion_mnist", "digits", "folder:DIR", "npz:FILE"),
    *("seismic", "seismic:SEED", "shakespeare", "shakespeare:LENGTH"),
    "package.module:function",
)
LARGEST_NUMBER = 10**9


class Loaded(NamedTuple):
    """What a loader returns."""

    splits: dict[str, Split]
    n_classes: int


def load_splits(spec: str, *, data_dir: Path | None, download: bool) -> Loaded:
    """Load what spec names.

    Args:
        spec: One of FORMS.
        data_dir: Folder for data sets that are files.
        download: Fetch the files that are not there, where the publisher offers them.

    Raises:
        InputError: If spec is not known, or the data are not as they must be.
        MissingInputError: If files are not there.
    """
    name, colon, argument = spec.partition(":")
    if (name, colon) in {form.partition(":")[:2] for form in FORMS}:
        return _LOADERS[name](argument if colon else None, data_dir, download)
    return _load_own(spec, name)


def _load_own(spec: str, name: str) -> Loaded:
    if ":" not in spec or name in _LOADERS:
        raise unknown_name("--data", spec, FORMS)
    try:
        return Loaded(*load_own(spec))
    except NoModuleError as problem:
        near = nearest_name(name, _LOADERS)
        hint = f" Did you mean the data set {near}?" if near else ""
        raise InputError(f"{problem}{hint}") from problem


def _load_cifar(edition: Edition, argument: None, data_dir: Path | None, download: bool) -> Loaded:
    return Loaded(load_cifar(edition, data_dir, download=download), edition.n_classes)


def _load_mnist(
    collection: mnist.Collection, argument: None, data_dir: Path | None, download: bool
) -> Loaded:
    return Loaded(mnist.load_mnist(collection, data_dir, download=download), mnist.N_CLASSES)


def _load_digits(argument: None, data_dir: Path | None, download: bool) -> Loaded:
    return Loaded(digits.load_digits(), digits.N_CLASSES)


def _load_folder(argument: str, data_dir: Path | None, download: bool) -> Loaded:
    return Loaded(*load_folder(argument, data_dir=data_dir))


def _load_npz(argument: str, data_dir: Path | None, download: bool) -> Loaded:
    splits = load_npz(argument, data_dir=data_dir)
    return Loaded(splits, 1 + max(int(split.targets.max()) for split in splits.values()))


def _load_seismic(argument: str | None, data_dir: Path | None, download: bool) -> Loaded:
    seed = 0 if argument is None else _whole_number("seismic:SEED", argument, least=0)
    splits = seismic.load_seismic(data_dir, seed=seed, download=download)
    return Loaded(splits, seismic.N_CLASSES)


def _load_shakespeare(argument: str | None, data_dir: Path | None, download: bool) -> Loaded:
    length = shakespeare.USUAL_LENGTH
    if argument is not None:
        length = _whole_number("shakespeare:LENGTH", argument, least=1)
    return Loaded(*shakespeare.load_shakespeare(data_dir, length=length, download=download))


def _whole_number(form: str, text: str, *, least: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= 10
    if not is_number or not least <= int(text) <= LARGEST_NUMBER:
        name, _, word = form.partition(":")
        raise InputError(
            f"--data {name}:{text}: {word} must be a whole number from {least} to 10**9."
        )
    return int(text)


_LOADERS: dict[str, Callable[..., Loaded]] = {
    CIFAR10.name: partial(_load_cifar, CIFAR10),
    CIFAR100.name: partial(_load_cifar, CIFAR100),
    **{each.name: partial(_load_mnist, each) for each in mnist.COLLECTIONS},
    "digits": _load_digits,
    "folder": _load_folder,
    "npz": _load_npz,
    "seismic": _load_seismic,
    "shakespeare": _load_shakespeare,
}
