"""Describe the data sets that --data names, also for the documentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Split, UnreadSplit

LARGEST_NUMBER = 10**9
FETCHED = "--data-dir DIR; --download fetches it there"  # how to get the files of most data sets
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one per channel


class Loaded(NamedTuple):
    """Hold the result of a loader."""

    splits: Mapping[str, Split | UnreadSplit]
    n_classes: int | Callable[[Mapping[str, Split]], int]  # or a function to count them


@dataclass(frozen=True)
class Asked:
    """Hold the request of --data and the place of its files."""

    spec: str  # value of --data: a name, optionally followed by a colon and an argument
    data_dir: Path | None
    download: bool  # whether to fetch missing files if the publisher offers them

    @property
    def argument(self) -> str:
        """Return the text after the colon."""
        return self.spec.partition(":")[2]

    def number(self, word: str, *, usual: int, least: int) -> int:
        """Return the whole number after the colon.

        Args:
            word: Name of the number, for messages.
            usual: Value if there is no colon.
            least: Smallest valid number.

        Raises:
            InputError: If it is not a whole number, or too small or too large.
        """
        text = self.argument
        if ":" not in self.spec:
            return usual
        is_number = text.isascii() and text.isdecimal() and len(text) <= 10
        if not is_number or not least <= int(text) <= LARGEST_NUMBER:
            raise InputError(
                f"--data {self.spec}: {word} must be a whole number from {least} to 10**9."
            )
        return int(text)


@dataclass(frozen=True)
class Size:
    """Hold the number of samples and their size."""

    n_train: int
    n_test: int
    shape: tuple[int, ...]  # (channels, height, width), (features,) or (length,)
    n_classes: int  # number of classes, or of symbols

    def words(self, kind: str) -> str:
        """Return the sizes in words, training + test.

        Args:
            kind: Kind of the samples, a key of dataset.NOUNS.
        """
        sizes = " x ".join(map(str, self.shape))
        of = {"table": f"{sizes} numbers", "text": f"length {sizes}"}.get(kind, sizes)
        answers = "symbols" if kind == "text" else "classes"
        return f"{self.n_train:,} + {self.n_test:,} of {of}, {self.n_classes} {answers}"


@dataclass(frozen=True, kw_only=True)
class NamedData:
    """Describe a data set for --data; registry.DATA_SETS lists where each one is."""

    load: Callable[[Asked], Loaded]
    kind: str  # kind of its samples, a key of dataset.NOUNS; empty if it may be any kind
    size: Size | str  # description in words if it is the user's own
    files: str  # where its files come from, for --list
    words: str  # description and source, for the documentation
    statistics: Statistics | None = None  # of pixels, from 0 to 1; None to measure
    is_photographic: bool = False  # whether training crops and flips the images by default

    @property
    def size_in_words(self) -> str:
        """Return the number of samples and their size in words."""
        return self.size if isinstance(self.size, str) else self.size.words(self.kind)
