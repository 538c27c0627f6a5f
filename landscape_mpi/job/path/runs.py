"""The runs a plane is made of: found, looked through and compared, file by file."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, agree, on_root
from landscape_mpi.errors import MissingInputError
from landscape_mpi.output import check_output
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.plane_file import check_plane_replaceable
from landscape_mpi.zoo.training_run import TrainingRun, find_runs
from landscape_mpi.zoo.weight_vector import (
    Header,
    Layout,
    check_layout,
    choose_layout,
    is_statistic,
    read_header,
)


@dataclass(frozen=True)
class Runs:
    """The checkpoints of all runs, each once, and what of them moves; the same on every rank."""

    runs: tuple[TrainingRun, ...]
    headers: dict[Path, Header]  # of every file, and of the center
    files: tuple[Path, ...]  # the vectors, in the order of the runs
    center: Path
    layout: Layout
    trust: bool

    def rows_of(self, run: TrainingRun) -> list[int]:
        """Return which of the vectors are a run's."""
        return [self.files.index(file) for file in run.files]

    @property
    def others(self) -> np.ndarray:
        """Return which of the vectors are not the center itself, int64 [n]."""
        center = self.headers[self.center].sha256
        others = [self.headers[file].sha256 != center for file in self.files]
        return np.flatnonzero(others)


def read_runs(ranks: Ranks, options: argparse.Namespace) -> Runs:
    """Find the runs and read every file's header. Collective over the ranks.

    Args:
        ranks: All ranks of the run, each of which reads its share of the files.
        options: ``runs``, ``center``, ``ignore``, ``states``, ``directions``, ``out`` and
            ``trust_checkpoint``.
    """
    found = on_root(ranks, lambda: _find(options))
    runs, center, states = ranks.comm.bcast(found, root=ROOT)
    files = tuple(dict.fromkeys(file for run in runs for file in run.files))
    headers = _read_headers(ranks, list(dict.fromkeys([*files, center])), options)
    layout = agree(ranks, lambda: _choose(headers, center, options.ignore or (), states))
    return Runs(tuple(runs), headers, files, center, layout, options.trust_checkpoint)


def _find(options: argparse.Namespace) -> tuple[list[TrainingRun], Path, bool]:
    """Return the runs, the center, and whether running statistics move.

    Raises:
        MissingInputError: If the center is not there.
    """
    runs = find_runs(options.runs)
    center = options.center or runs[0].files[-1]
    if not center.is_file():
        raise MissingInputError(f"--center: {center}: no such checkpoint.")
    inputs = [center, *(file for run in runs for file in run.files)]
    states = options.states
    if options.directions is not None:
        inputs.append(options.directions)
        stored = read_directions(options.directions).values()
        states = any(is_statistic(str(name)) for tensors in stored for name in tensors)
    check_output(options.out, inputs=inputs)
    check_plane_replaceable(options.out)
    return runs, center, states


def _read_headers(
    ranks: Ranks, files: list[Path], options: argparse.Namespace
) -> dict[Path, Header]:
    """Read every file once: its record, and its digest."""

    def read() -> list[Header]:
        own = files[ranks.rank :: ranks.size]
        return [read_header(file, trust=options.trust_checkpoint) for file in own]

    parts = ranks.comm.allgather(agree(ranks, read))
    by_path = {header.path: header for part in parts for header in part}
    return {file: by_path[file] for file in files}


def _choose(
    headers: dict[Path, Header], center: Path, ignore: tuple[str, ...], states: bool
) -> Layout:
    layout = choose_layout(headers[center], ignore=ignore, states=states)
    for header in headers.values():
        check_layout(header, layout, like=center)
    return layout
