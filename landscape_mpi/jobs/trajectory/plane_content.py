"""Write the file of a plane of runs, and print its messages."""

from __future__ import annotations

import numpy as np

from landscape_mpi.compute import directions
from landscape_mpi.engine import provenance
from landscape_mpi.engine.direction_kind import AXES
from landscape_mpi.jobs.trajectory.axes import PathAxes
from landscape_mpi.jobs.trajectory.request import TrajectoryRequest
from landscape_mpi.jobs.trajectory.runs import Runs
from landscape_mpi.jobs.trajectory.trajectory_plane import PathPlane
from landscape_mpi.store.plane_file import PlaneContent, write_plane
from landscape_mpi.store.trajectory import RunPath, Trajectory
from landscape_mpi.zoo.training_run import TrainingRun


def say_runs(runs: Runs) -> None:
    """Print the found checkpoints and their order."""
    for words in runs.said:
        print(words)
    layout = runs.layout
    print(f"{layout.n_weights:,} weights in {len(layout.shapes)} tensors move", end="; ")
    print(f"center: {runs.center}", flush=True)


def write_path(
    runs: Runs,
    axes: PathAxes,
    plane: PathPlane | None,
    asked: TrajectoryRequest,
    *,
    n_ranks: int,
) -> None:
    """Write the plane file, and print its content. Local; call it on rank 0."""
    assert plane is not None
    trajectory = write_quietly(runs, axes, plane, asked, n_ranks=n_ranks)
    _say_paths(trajectory, plane)
    key = "" if runs.key is None else f" --checkpoint-key {runs.key}"
    print(
        f"done: {asked.out}; next: python -m landscape_mpi.surface --directions {asked.out} "
        f"--fit-path --checkpoint {runs.center}{key} ...",
        flush=True,
    )


def write_quietly(
    runs: Runs,
    axes: PathAxes,
    plane: PathPlane,
    asked: TrajectoryRequest,
    *,
    n_ranks: int,
) -> Trajectory:
    """Write the plane file. Local; call it on rank 0.

    Returns:
        Coordinates of the runs in the plane.
    """
    trajectory = describe_paths(runs, axes, plane)
    vectors = {a: runs.layout.unflatten(v) for a, v in zip(AXES, plane.vectors, strict=True)}
    header = runs.headers[runs.center]
    attributes = {
        "directions": _describe_directions(axes, vectors, asked),
        "provenance": {
            **provenance.made_by("landscape_mpi.trajectory"),
            "written": provenance.now(),
            "ranks": n_ranks,
            "center": str(runs.center),
            "checkpoint_key": runs.key or "none",
            "center_file_sha256": header.sha256,
        },
    }
    write_plane(asked.out, PlaneContent(vectors, trajectory, attributes))
    return trajectory


def describe_paths(runs: Runs, axes: PathAxes, plane: PathPlane) -> Trajectory:
    """Return the group trajectory/ of the plane."""
    shares = plane.components.shares
    center = runs.layout.unflatten(plane.center)
    attributes = {
        "center": str(runs.center),
        "center_sha256": directions.digest(center),
        "label_alpha": axes.label(0, shares),
        "label_beta": axes.label(1, shares),
        "captured_by_plane": plane.captured,
        "captured_by_component": shares,
        "mean_centred": axes.mean_centred,
    }
    return Trajectory(tuple(_run_path(runs, run, plane) for run in runs.runs), attributes)


def _run_path(runs: Runs, run: TrainingRun, plane: PathPlane) -> RunPath:
    rows = [runs.files.index(file) for file in run.files]
    headers = [runs.headers[file] for file in run.files]
    return RunPath(
        name=run.name,
        columns={
            "alpha": plane.coordinates[rows, 0],
            "beta": plane.coordinates[rows, 1],
            "residual": plane.residual[rows],
            "epoch": np.array([header.epoch for header in headers]),
            "lr": np.array([header.lr for header in headers]),
        },
        texts={
            "file": tuple(str(file) for file in run.files),
            "file_sha256": tuple(header.sha256 for header in headers),
        },
        components=plane.components.along[rows],
    )


def _describe_directions(
    axes: PathAxes, vectors: dict[str, dict[str, np.ndarray]], asked: TrajectoryRequest
) -> dict[str, object]:
    described: dict[str, object] = {
        "source": str(axes.file) if axes.file else ", ".join(axes.kinds),
        "sha256": directions.digest(*vectors.values()),
        "norm_alpha": directions.norm(vectors["alpha"]),
        "norm_beta": directions.norm(vectors["beta"]),
        "cosine": directions.cosine(vectors["alpha"], vectors["beta"]),
        "ignore": ",".join(asked.ignore or ()) or "none",
        "states": bool(asked.states),
    }
    if "random" in axes.kinds:
        described |= {"seed": axes.seed, "normalize": axes.normalize}
    return described


def _say_paths(trajectory: Trajectory, plane: PathPlane) -> None:
    shares = plane.components.shares
    if len(shares):
        mean = " about the mean" if trajectory.attributes["mean_centred"] else ""
        listed = ", ".join(f"{100 * share:.2f} %" for share in shares)
        print(f"principal components capture {listed} of the squared distances{mean}")
    print(f"the plane holds {100 * plane.captured:.2f} % of the squared distances from the center")
    for run in trajectory.runs:
        print(
            f"{run.name}: alpha {run['alpha'].min():.4g} to {run['alpha'].max():.4g}, beta "
            f"{run['beta'].min():.4g} to {run['beta'].max():.4g}, residual up to "
            f"{run['residual'].max():.3f}"
        )
