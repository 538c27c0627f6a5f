"""The plan of a run: read and checked on rank 0, known to every rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.compute.layer_kinds import LayerKinds
from landscape_mpi.compute.paths import Paths
from landscape_mpi.engine.adaptive.level_grid import coarsest_points
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.engine.random_directions import RandomDirections
from landscape_mpi.engine.request import Evaluation, Rounds
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.subject import Subject
from landscape_mpi.store.creation import Attributes, SurfaceContent
from landscape_mpi.store.resume import StoredSetting
from landscape_mpi.store.sampling_fields import sampling_fields
from landscape_mpi.store.schema import Field, adaptive_fields

Planned = TypeVar("Planned")
Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Directions:
    """The origin of the directions of a plane; empty for paths, which have none."""

    random: RandomDirections | None = None  # None if no direction is random
    sent: tuple[str, ...] = ()  # axes whose direction rank 0 sends; every rank makes the others
    sha256: str | None = None  # digest of those in the file; None if there are none
    repeats: int | None = None  # number of lines with separate directions; beta counts them from 0


@dataclass(frozen=True)
class Plan:
    """The plan of a run, the same on all ranks."""

    out: Path
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    subject: Subject
    n_pending: int  # points left to compute
    evaluation: Evaluation = field(default_factory=Evaluation)
    rounds: Rounds = field(default_factory=Rounds)
    directions: Directions = field(default_factory=Directions)
    paths: Paths | None = None  # alpha and beta are places on it; None if they span a plane
    reestimates: bool = False  # whether batch-norm statistics are measured at every point
    begun: StoredSetting | None = None  # the setting with which the resumed file was started
    tolerance: Tolerance | None = None  # for points that are not computed; None if all are computed
    sampling: SamplingRule | None = None  # when samples suffice; None if all are taken

    @property
    def n_points(self) -> int:
        """Return the number of points of the grid."""
        return len(self.alpha) * len(self.beta)

    @property
    def n_together(self) -> int:
        """Return the number of points left that need no other values, with a tolerance a level."""
        if self.tolerance is None:
            return self.n_pending
        return min(self.n_pending, coarsest_points(len(self.alpha), len(self.beta)))

    def content(self, attributes: Mapping[str, Attributes], **more: Any) -> SurfaceContent:
        """Return the contents of the file before any evaluation.

        Args:
            attributes: Attributes by group.
            more: Other fields of SurfaceContent.
        """
        return SurfaceContent(
            alpha=self.alpha,
            beta=self.beta,
            quantities=self.subject.quantities,
            fields={item.name: item for item in self.subject.fields},
            adaptive=self._adaptive_fields(),
            sampling=self.sampling_fields,
            loss_units=self.subject.loss_units,
            attributes=attributes,
            **more,
        )

    @property
    def sampling_fields(self) -> tuple[Field, ...]:
        """Return the datasets beside the quantities if samples are a part of all."""
        if self.sampling is None:
            return ()
        subject = self.subject
        return sampling_fields(subject.loss_fields, subject.n_samples, subject.noun)

    @property
    def n_values(self) -> int:
        """Return the number of values that ranks compute at a point."""
        return len(self.subject.quantities) + len(self.sampling_fields)

    def _adaptive_fields(self) -> tuple[Field, ...]:
        if self.tolerance is None:
            return ()
        return adaptive_fields(self.subject.fields, self.tolerance.unit)


def as_begun(asked: Evaluation, begun: StoredSetting) -> Evaluation:
    """Return an evaluation with the resumed file's settings where they decide the last bits."""
    return replace(
        asked,
        precision=begun.precision if asked.precision == "auto" else asked.precision,
        batch=asked.batch or begun.batch,
        compile="on" if begun.compiled else "off",
        points_at_once=begun.points_at_once,
    )


@dataclass(frozen=True)
class RootInputs:
    """The inputs that rank 0 keeps until the others need them."""

    # ``state/...``, ``<split>/...``, ``alpha/...``, ``beta/...``; of paths ``point_<number>/...``
    arrays: dict[str, np.ndarray]
    content: SurfaceContent  # attributes of the file, except those known once the ranks are bound
    fresh: bool  # whether an existing file is replaced
    accept_device: bool = False  # whether other models of devices may have started the file
    layers: LayerKinds | None = None  # kinds of the network's layers, if directions are chosen here


def plan_on_root(
    ranks: Ranks, read: Callable[[], tuple[Planned, Kept]]
) -> tuple[Planned, Kept | None]:
    """Read and check every input on rank 0. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        read: Called on rank 0; returns the plan for all ranks, and the inputs that rank 0 keeps.

    Returns:
        The plan on every rank; on rank 0 also the inputs that it keeps.
    """
    planned, kept = on_root(ranks, read) or (None, None)
    return ranks.comm.bcast(planned, root=ROOT), kept
