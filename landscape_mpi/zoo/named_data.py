"""Data sets that --data names, and what the documentation says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Split, UnreadSplit

LARGEST_NUMBER = 10**9
FETCHED = "--data-dir DIR; --download fetches it there"  # how to get the files of most
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one per channel


class Loaded(NamedTuple):
    """What a loader returns."""

    splits: Mapping[str, Split | UnreadSplit]
    n_classes: int | Callable[[Mapping[str, Split]], int]  # or how to count them in what is read


@dataclass(frozen=True)
class Asked:
    """What --data asks for, and where its files are."""

    spec: str  # of --data: a name, perhaps with a colon and an argument behind it
    data_dir: Path | None
    download: bool  # whether to fetch files that are not there, where the publisher offers them

    @property
    def argument(self) -> str:
        """Return what stands behind the colon."""
        return self.spec.partition(":")[2]

    def number(self, word: str, *, usual: int, least: int) -> int:
        """Return the whole number behind the colon.

        Args:
            word: What it is, for messages.
            usual: What it is where there is no colon.
            least: The smallest that makes sense.

        Raises:
            InputError: If it is none, or too small or too large.
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
    """How many samples there are, and of what size."""

    n_train: int
    n_test: int
    shape: tuple[int, ...]  # (channels, height, width), (features,) or (length,)
    n_classes: int  # or the number of symbols

    def words(self, kind: str) -> str:
        """Return it in words, training + test.

        Args:
            kind: Of the samples, a key of dataset.NOUNS.
        """
        of = " x ".join(map(str, self.shape)) + {"table": " numbers", "text": " places"}.get(
            kind, ""
        )
        answers = "symbols" if kind == "text" else "classes"
        return f"{self.n_train:,} + {self.n_test:,} of {of}, {self.n_classes} {answers}"


@dataclass(frozen=True, kw_only=True)
class NamedData:
    """A data set that --data names; registry.DATA_SETS says where each one is."""

    load: Callable[[Asked], Loaded]
    kind: str  # of its samples, a key of dataset.NOUNS; empty where it may be any of them
    size: Size | str  # in words where it is the user's own
    files: str  # where they come from, for --list
    words: str  # what it is and how to get it, for the documentation
    statistics: Statistics | None = None  # of pixels, from 0 to 1; None: the training images' own
    is_photographic: bool = False  # whether a training crops and flips the images by default

    @property
    def size_in_words(self) -> str:
        """Return how many samples there are, and of what size."""
        return self.size if isinstance(self.size, str) else self.size.words(self.kind)
