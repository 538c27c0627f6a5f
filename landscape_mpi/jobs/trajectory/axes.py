"""Choose the two directions of a plane: principal components, random ones, or a file's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape_mpi.compute.directions import random_direction
from landscape_mpi.engine.direction_kind import AXES
from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.jobs.trajectory.request import TrajectoryRequest
from landscape_mpi.store.directions import StoredDirection, read_directions
from landscape_mpi.tensor_names import is_statistic, renamed_like
from landscape_mpi.zoo.weight_vector import Layout

OPTIONS = ("--x-direction", "--y-direction")
SHAPING = ("x_direction", "y_direction", "components", "mean_centred", "seed", "normalize")


@dataclass(frozen=True)
class TrajectoryAxes:
    """Hold the requested directions."""

    kinds: tuple[str, str]  # kinds of alpha and beta: pca1, pca2, ..., random or file
    n_components: int  # 0 if neither direction is a principal component
    mean_centred: bool
    seed: int
    normalize: str
    file: Path | None

    def component(self, axis: int) -> int | None:
        """Return the index of an axis's component; None if it is not a component."""
        number = self.kinds[axis].removeprefix("pca")
        return int(number) - 1 if number.isdecimal() else None

    def label(self, axis: int, shares: np.ndarray) -> str:
        """Return the label of an axis in pictures."""
        number = self.component(axis)
        if number is not None:
            share = f"{100 * shares[number]:.1f} %"
            return f"{_ordinal(number + 1)} PCA component (captures {share})"
        if self.file is not None:
            return f"direction {AXES[axis]} of {self.file.name}"
        scaled = "not normalised" if self.normalize == "none" else f"{self.normalize}-normalised"
        return f"random direction, {scaled}"

    def vector(
        self, axis: int, center: np.ndarray, layout: Layout, *, parameters: Sequence[str]
    ) -> np.ndarray:
        """Return the random or stored direction of an axis, float32 [n_weights].

        Args:
            axis: 0 for alpha, 1 for beta.
            center: Weights for the normalisation of a random direction, float32 [n_weights].
            layout: Layout of the weights.
            parameters: Names of all parameters, including fixed ones.
        """
        if self.file is not None:
            return _stored_vector(self.file, AXES[axis], layout)
        drawn = random_direction(
            layout.unflatten(center),
            seed=self.seed,
            axis=AXES[axis],
            normalize=self.normalize,
            among=parameters,
        )
        return layout.flatten(drawn)


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}th" if number % 100 in {11, 12, 13} else f"{number}{ending}"


def choose_axes(asked: TrajectoryRequest) -> TrajectoryAxes:
    """Return the requested directions.

    Raises:
        InputError: If the options contradict each other.
    """
    given = {name: getattr(asked, name) for name in SHAPING}
    if asked.directions is not None:
        names = [*given, "ignore", "states"]
        clash = [name for name in names if getattr(asked, name) not in {None, False}]
        if clash:
            raise InputError(
                f"--{clash[0].replace('_', '-')}: applies to directions that are made, but "
                f"--directions {asked.directions} reads them from a file. Leave out one of them."
            )
        return TrajectoryAxes(("file", "file"), 0, False, 0, "none", asked.directions)
    kinds = (asked.x_direction or "pca1", asked.y_direction or "pca2")
    if kinds[0] == kinds[1] != "random":
        raise InputError(
            f"--y-direction: {kinds[1]} is also the direction of x, so the two do not span a "
            "plane. Pass another one, such as pca2 or random."
        )
    _check_kinds(kinds, asked)
    numbers = [int(kind.removeprefix("pca")) for kind in kinds if kind != "random"]
    n_components = max(numbers, default=0)
    if asked.components is not None and asked.components < n_components:
        raise InputError(
            f"--components {asked.components}: too few, because an axis is pca{n_components}. "
            f"Pass at least {n_components}."
        )
    n_components = max(n_components, asked.components or 2) if numbers else 0
    seed = 1 if asked.seed is None else asked.seed
    normalize = asked.normalize or "filter"
    return TrajectoryAxes(kinds, n_components, bool(asked.mean_centred), seed, normalize, None)


def _check_kinds(kinds: tuple[str, str], asked: TrajectoryRequest) -> None:
    """Refuse options that apply to neither direction.

    Raises:
        InputError: If there is one.
    """
    needs = {"seed": "random", "normalize": "random", "components": "pca1", "mean_centred": "pca1"}
    for name, kind in needs.items():
        there = any(kind.startswith(other[:3]) for other in kinds)
        if getattr(asked, name) not in {None, False} and not there:
            raise InputError(
                f"--{name.replace('_', '-')}: applies to a direction of kind {kind}, but the axes "
                f"are {kinds[0]} and {kinds[1]}. Leave it out, or pass --y-direction {kind}."
            )


def _stored_vector(path: Path, axis: str, layout: Layout) -> np.ndarray:
    stored = read_directions(path)
    where = f"--directions: {path}: {axis}"
    if axis not in stored:
        raise InputError(
            f"{where}: is missing, but a plane needs two directions. Pass a file that holds both."
        )
    tensors = _by_name(stored[axis], layout, where)
    names = renamed_like(tensors, layout.shapes)
    tensors = {names[name]: values for name, values in tensors.items()}
    for name, values in tensors.items():
        if name not in layout.shapes:
            near = nearest_name(name, layout.shapes)
            raise InputError(
                f"{where}: moves {name}, which the checkpoints do not "
                f"have{f' (they have {near})' if near else ''}. The directions belong to another "
                "network. Pass a file that was made for these checkpoints."
            )
        if values.shape != layout.shapes[name]:
            raise InputError(
                f"{where}: {name} has shape {list(values.shape)}, but in the checkpoints it has "
                f"{list(layout.shapes[name])}. The directions belong to another network. Pass a "
                "file that was made for these checkpoints."
            )
    return layout.flatten(tensors)


def _by_name(stored: StoredDirection, layout: Layout, where: str) -> Mapping[str, np.ndarray]:
    """Return tensors by name; a list has the order of the weights, or of all tensors.

    Raises:
        InputError: If a list's length fits neither.
    """
    if isinstance(stored, dict):
        return stored
    weights = [name for name in layout.shapes if not is_statistic(name)]
    for names in (weights, list(layout.shapes)):
        if len(names) == len(stored):
            return dict(zip(names, stored, strict=True))
    raise InputError(
        f"{where}: holds {len(stored)} tensors, but the checkpoints have {len(weights)} weights, "
        f"{len(layout.shapes)} with running statistics. The directions belong to another network. "
        "Pass a file that was made for these checkpoints."
    )
