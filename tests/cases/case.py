"""A case: a network with its data, its loss and its seed, and two ways to compute its surface.

One way is the program. The other is the oracle of the case, which uses torch alone.
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import h5py
import numpy as np
from one_process import Ended, run_alone
from plain_loop import move_to, read_plane
from torch import nn

PLANE = ("--x=-1:1:3", "--y=-1:1:3")
Values = Mapping[str, float]  # by name: "loss", then those of the metrics
Run = Callable[[Sequence[str]], Ended]


@dataclass(frozen=True)
class Oracle:
    """A network, and a function that computes its values on a split at its present weights."""

    network: nn.Module
    values: Callable[[str], Values]


@dataclass(frozen=True, kw_only=True)
class Case(ABC):
    """A row of the table.

    Each kind of case defines its options of the program and its oracle.
    """

    name: str
    network: str  # network, data and loss as a command names them, mostly module:function
    data: str
    loss: str
    seed: int = 0  # of the directions
    options: tuple[str, ...] = ()  # of the command, besides those that name the case
    splits: tuple[str, ...] = ("train",)
    close: float = 1e-5  # largest difference allowed between program and oracle, relative
    plane: tuple[str, ...] = PLANE

    def __str__(self) -> str:
        return self.name

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables that the command needs."""
        return {}

    @abstractmethod
    def source(self) -> list[str]:
        """Return the options that name the case."""

    @abstractmethod
    def oracle(self) -> Oracle:
        """Return a new network, at the center of the plane, and what computes its values."""

    def words(self, out: Path, *more: str, plane: Sequence[str] | None = None) -> list[str]:
        """Return the command that computes a surface, and write the files that it needs.

        Args:
            out: File of the surface.
            more: Further options.
            plane: Grid; None for that of the case.
        """
        grid = self.plane if plane is None else plane
        seed = (
            [f"--seed={self.seed}"] if self.seed else []
        )  # planes that draw no direction refuse the option
        words = ["landscape_mpi.surface", *self.source(), *seed, *grid]
        return [*words, *self.options, *more, "--save-directions", f"--out={out}"]

    def surface(
        self, out: Path, *more: str, plane: Sequence[str] | None = None, run: Run = run_alone
    ) -> Ended:
        """Compute a surface, and return what the command said."""
        with mock.patch.dict(os.environ, self.environment):
            ended = run(self.words(out, *more, plane=plane))
        assert ended.status == 0, ended.words
        return ended

    def expected(self, path: Path, split: str = "train") -> dict[str, np.ndarray]:
        """Return the values of the oracle at every point of a surface, each [n_alpha, n_beta]."""
        plane, found = read_plane(path), {}
        for place in np.ndindex(*(len(steps) for steps, _ in plane)):
            oracle = self.oracle()
            move_to(oracle.network, place, plane)
            found[place] = oracle.values(split)
        shape = [n + 1 for n in max(found)]
        return {
            name: np.reshape([values[name] for values in found.values()], shape)
            for name in found[0, 0]
        }

    def check(self, path: Path) -> None:
        """Compare a surface with the oracle."""
        with h5py.File(path) as file:
            for split in self.splits:
                expected = self.expected(path, split)
                losses = expected["loss"][np.isfinite(expected["loss"])]
                if losses.size:
                    assert np.ptp(losses) > 1e-3 * np.abs(losses).max(), "the plane is flat"
                for name, values in expected.items():
                    found = file[f"{split}_{name}"][()]
                    np.testing.assert_allclose(found, values, rtol=self.close, err_msg=name)


Row = TypeVar("Row", bound=Case)


def by_name(rows: Iterable[Row]) -> dict[str, Row]:
    """Return rows by their names, which must differ."""
    listed = list(rows)
    named = {row.name: row for row in listed}
    assert len(named) == len(listed), "two rows have the same name"
    return named


def found(name: str) -> Any:
    """Return what a command names: module:function."""
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)
