"""Find the trainings of a plane, and read and compare their files one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, agree, on_root
from landscape_mpi.errors import MissingInputError
from landscape_mpi.jobs.trajectory.request import TrajectoryRequest
from landscape_mpi.output import check_output
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.plane_file import check_plane_replaceable
from landscape_mpi.tensor_names import is_statistic
from landscape_mpi.zoo.training_order import OrderedRun, order_run
from landscape_mpi.zoo.training_run import TrainingRun, find_runs
from landscape_mpi.zoo.weight_vector import (
    Header,
    Layout,
    check_layout,
    choose_layout,
    read_header,
    same_weights,
)


@dataclass(frozen=True)
class Trainings:
    """The checkpoints of all trainings, each once, and the moving tensors; on every rank."""

    runs: tuple[TrainingRun, ...]
    headers: dict[Path, Header]  # headers of every file and of the center
    files: tuple[Path, ...]  # files of the vectors, in the order of the runs
    center: Path
    layout: Layout
    parameters: tuple[str, ...]  # names of all parameters, including fixed ones
    trust: bool
    key: str | None  # --checkpoint-key
    said: tuple[str, ...]  # notes on the order and on files left out

    def rows_of(self, run: TrainingRun) -> list[int]:
        """Return the rows of a run's vectors."""
        return [self.files.index(file) for file in run.files]

    @property
    def others(self) -> np.ndarray:
        """Return the rows of the vectors other than the center, int64 [n]."""
        center = self.headers[self.center].sha256
        others = [self.headers[file].sha256 != center for file in self.files]
        return np.flatnonzero(others)


def read_trainings(ranks: Ranks, asked: TrajectoryRequest) -> Trainings:
    """Find the trainings, and read every file's header. Collective over the ranks.

    Args:
        ranks: All ranks of the run; each one reads its share of the files.
        asked: Request of the plane.
    """
    found = on_root(ranks, lambda: _find(asked))
    runs, states = ranks.comm.bcast(found, root=ROOT)
    named = [asked.center] if asked.center else []
    every = dict.fromkeys([*(file for run in runs for file in run.files), *named])
    headers = _read_headers(ranks, list(every), asked)
    known = on_root(ranks, lambda: _in_order(runs, headers, asked))
    ordered = ranks.comm.bcast(known, root=ROOT)
    runs = tuple(one.run for one in ordered)
    files = tuple(dict.fromkeys(file for run in runs for file in run.files))
    center = asked.center or runs[0].files[-1]
    layout = agree(
        ranks, lambda: _choose(headers, [*files, center], center, asked.ignore or (), states)
    )
    return Trainings(
        runs,
        headers,
        files,
        center,
        layout,
        tuple(name for name in headers[center].shapes if not is_statistic(name)),
        asked.trust_checkpoint,
        asked.checkpoint_key,
        _words(ordered, headers),
    )


def _in_order(
    runs: list[TrainingRun], headers: dict[Path, Header], asked: TrajectoryRequest
) -> list[OrderedRun]:
    places = {file: header.place for file, header in headers.items()}
    alike = partial(same_weights, trust=asked.trust_checkpoint, key=asked.checkpoint_key)
    return [order_run(run, places, alike) for run in runs]


def _words(ordered: list[OrderedRun], headers: dict[Path, Header]) -> tuple[str, ...]:
    """Return notes on each run: its order, the chosen weights, and the files left out."""
    said: list[str] = []
    for one in ordered:
        run = one.run
        epochs = [headers[file].epoch for file in (run.files[0], run.files[-1])]
        spanned = f", epochs {epochs[0]:g} to {epochs[1]:g}" if np.isfinite(epochs).all() else ""
        said.append(
            f"{run.name}: {len(run.files)} checkpoints in the order of {one.words}, "
            f"{run.files[0].name} to {run.files[-1].name}{spanned}"
        )
        notes = dict.fromkeys(note for file in run.files for note in headers[file].notes)
        said += [f"{run.name}: {words}" for words in (*notes, *one.said)]
    return tuple(said)


def _find(asked: TrajectoryRequest) -> tuple[list[TrainingRun], bool]:
    """Return the runs, with files in any order, and whether running statistics move.

    Raises:
        MissingInputError: If the center is missing.
    """
    runs = find_runs(asked.runs)
    inputs = [file for run in runs for file in run.files]
    if asked.center is not None:
        if not asked.center.exists():
            raise MissingInputError(
                f"--center: {asked.center}: no such checkpoint. Name a file, or a folder of one "
                "checkpoint."
            )
        inputs.append(asked.center)
    states = asked.states
    if asked.directions is not None:
        inputs.append(asked.directions)
        stored = read_directions(asked.directions).values()
        states = any(is_statistic(str(name)) for tensors in stored for name in tensors)
    check_output(asked.out, inputs=inputs)
    check_plane_replaceable(asked.out)
    return runs, states


def _read_headers(ranks: Ranks, files: list[Path], asked: TrajectoryRequest) -> dict[Path, Header]:
    """Read every file once for its record and its digest."""

    def read() -> list[Header]:
        own = files[ranks.rank :: ranks.size]
        trust, key = asked.trust_checkpoint, asked.checkpoint_key
        return [read_header(file, trust=trust, key=key) for file in own]

    parts = ranks.comm.allgather(agree(ranks, read))
    by_path = {header.path: header for part in parts for header in part}
    return {file: by_path[file] for file in files}


def _choose(
    headers: dict[Path, Header],
    files: list[Path],
    center: Path,
    ignore: tuple[str, ...],
    states: bool,
) -> Layout:
    layout = choose_layout(headers[center], ignore=ignore, states=states)
    for file in files:
        check_layout(headers[file], layout, like=center)
    return layout
