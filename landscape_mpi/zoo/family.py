"""Describe networks of the zoo that are built alike, also for the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from landscape_mpi.zoo.dataset import Sample


@dataclass(frozen=True, kw_only=True)
class Family:
    """Describe a family of networks for --model; registry.NETWORKS lists where each one is."""

    names: tuple[str, ...]  # names that --list shows
    kinds: tuple[str, ...]  # kinds of samples they take, keys of dataset.NOUNS
    build: Callable[[str, Sample], nn.Module]  # from a name and a description of the input
    words: str  # description for the documentation
    title: str = ""  # title of their row there, if it is not their names
    pattern: str | None = None  # regular expression of further names, which contain numbers
    forms: tuple[str, ...] = ()  # the same for readers: lstmUNITS

    def has(self, name: str) -> bool:
        """Return whether the family has a network of this name."""
        if self.pattern is not None and re.fullmatch(self.pattern, name):
            return True
        return name in self.names
