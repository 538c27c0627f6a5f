"""Write the file of a plane of trainings, and print its messages."""

from __future__ import annotations

import numpy as np

from landscape_mpi.compute import directions
from landscape_mpi.engine import provenance
from landscape_mpi.engine.direction_kind import AXES
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.trajectory.axes import TrajectoryAxes
from landscape_mpi.jobs.trajectory.request import TrajectoryRequest
from landscape_mpi.jobs.trajectory.trainings import Trainings
from landscape_mpi.jobs.trajectory.trajectory_plane import TrajectoryPlane
from landscape_mpi.store.plane_file import PlaneContent, write_plane
from landscape_mpi.store.trajectory import Trajectories, Trajectory
from landscape_mpi.zoo.training_run import TrainingRun


def say_trainings(trainings: Trainings) -> None:
    """Print the found checkpoints and their order."""
    for words in trainings.said:
        print(words)
    layout = trainings.layout
    print(f"{layout.n_weights:,} weights in {len(layout.shapes)} tensors move", end="; ")
    print(f"center: {trainings.center}", flush=True)


def write_and_say(
    trainings: Trainings,
    axes: TrajectoryAxes,
    plane: TrajectoryPlane | None,
    asked: TrajectoryRequest,
    *,
    n_ranks: int,
) -> None:
    """Write the plane file, and print its content. Local; call it on rank 0."""
    assert plane is not None
    trajectories = write_quietly(trainings, axes, plane, asked, n_ranks=n_ranks)
    _say_trajectories(trajectories, plane)
    key = "" if trainings.key is None else f" --checkpoint-key {trainings.key}"
    print(
        f"done: {asked.out}; next: {typed('surface')} --directions {asked.out} "
        f"--fit-path --checkpoint {trainings.center}{key} ...",
        flush=True,
    )


def write_quietly(
    trainings: Trainings,
    axes: TrajectoryAxes,
    plane: TrajectoryPlane,
    asked: TrajectoryRequest,
    *,
    n_ranks: int,
) -> Trajectories:
    """Write the plane file. Local; call it on rank 0.

    Returns:
        Coordinates of the trainings in the plane.
    """
    trajectories = describe_trajectories(trainings, axes, plane)
    vectors = {a: trainings.layout.unflatten(v) for a, v in zip(AXES, plane.vectors, strict=True)}
    header = trainings.headers[trainings.center]
    attributes = {
        "directions": _describe_directions(axes, vectors, asked),
        "provenance": {
            **provenance.made_by("landscape_mpi.trajectory"),
            "written": provenance.now(),
            "ranks": n_ranks,
            "center": str(trainings.center),
            "checkpoint_key": trainings.key or "none",
            "center_file_sha256": header.sha256,
        },
    }
    write_plane(asked.out, PlaneContent(vectors, trajectories, attributes))
    return trajectories


def describe_trajectories(
    trainings: Trainings, axes: TrajectoryAxes, plane: TrajectoryPlane
) -> Trajectories:
    """Return the group trajectory/ of the plane."""
    shares = plane.components.shares
    center = trainings.layout.unflatten(plane.center)
    attributes = {
        "center": str(trainings.center),
        "center_sha256": directions.digest(center),
        "label_alpha": axes.label(0, shares),
        "label_beta": axes.label(1, shares),
        "captured_by_plane": plane.captured,
        "captured_by_component": shares,
        "mean_centred": axes.mean_centred,
    }
    return Trajectories(
        tuple(_trajectory_of(trainings, run, plane) for run in trainings.runs), attributes
    )


def _trajectory_of(trainings: Trainings, run: TrainingRun, plane: TrajectoryPlane) -> Trajectory:
    rows = [trainings.files.index(file) for file in run.files]
    headers = [trainings.headers[file] for file in run.files]
    return Trajectory(
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
    axes: TrajectoryAxes, vectors: dict[str, dict[str, np.ndarray]], asked: TrajectoryRequest
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


def _say_trajectories(trajectories: Trajectories, plane: TrajectoryPlane) -> None:
    shares = plane.components.shares
    if len(shares):
        mean = " about the mean" if trajectories.attributes["mean_centred"] else ""
        listed = ", ".join(f"{100 * share:.2f} %" for share in shares)
        print(f"principal components capture {listed} of the squared distances{mean}")
    print(f"the plane holds {100 * plane.captured:.2f} % of the squared distances from the center")
    for run in trajectories.runs:
        print(
            f"{run.name}: alpha {run['alpha'].min():.4g} to {run['alpha'].max():.4g}, beta "
            f"{run['beta'].min():.4g} to {run['beta'].max():.4g}, residual up to "
            f"{run['residual'].max():.3f}"
        )
