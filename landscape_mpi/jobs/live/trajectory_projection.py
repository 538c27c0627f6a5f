"""Find the plane of a training run in Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from landscape_mpi.default_device import on_the_cpu
from landscape_mpi.errors import InputError, missing_packages_named
from landscape_mpi.jobs.live.call_checks import check_keywords
from landscape_mpi.jobs.live.weight_plane import WeightPlane

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks
    from landscape_mpi.jobs.live.live_files import Weights
    from landscape_mpi.jobs.trajectory.request import TrajectoryRequest

CALLER = "project_trajectory"
OF_MEMORY = "training"  # name of a trajectory whose weights come from memory


class TrajectoryOptions(TypedDict, total=False):
    """Options for the plane of a training run; all are optional."""

    center: str | os.PathLike[str]  # checkpoint at (0, 0) (the last one)
    ignore: Sequence[str]  # weights that stay fixed: bias, bn (none)
    states: bool  # let running means and variances move too
    x_direction: str  # pca1, pca2, ... or random (pca1)
    y_direction: str  # the same for beta (pca2)
    mean_centred: bool  # principal components about the mean of the checkpoints
    seed: int  # seed of random directions (1)
    normalize: str  # normalisation of random directions (filter)


@missing_packages_named("project_trajectory")
@on_the_cpu()
def project_trajectory(
    checkpoints: Weights | Sequence[Weights],
    *,
    out: str | os.PathLike[str] | None = None,
    **options: Unpack[TrajectoryOptions],
) -> WeightPlane:
    """Find the plane in which a training run's checkpoints move most, and project them onto it.

    The plane is that of the trajectory command. Its center is the last checkpoint by default; to
    compute a surface in it, give the network these weights. Collective over the MPI ranks if mpirun
    has started several.

    >>> import torch
    >>> from landscape_mpi import compute_surface
    >>> network, data = torch.nn.Linear(2, 1), (torch.randn(60, 2), torch.randn(60, 1))
    >>> optimizer, weights = torch.optim.SGD(network.parameters(), lr=0.1), []
    >>> for step in range(5):
    ...     weights.append({name: w.clone() for name, w in network.state_dict().items()})
    ...     loss = (network(data[0]) - data[1]).square().mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     _ = optimizer.step()
    >>> weights.append(network.state_dict())
    >>> plane = project_trajectory(weights)
    >>> surface = compute_surface(
    ...     network, data, loss="mse", directions=plane, progress=False, **plane.grid(5)
    ... )
    >>> surface.values["train_loss"].shape
    (5, 5)

    Args:
        checkpoints: Folder of a training run, or its checkpoints in the order of training: files,
            state dicts or networks.
        out: File to write or replace; None for a temporary file that exists as long as the result.
        options: Further options; docs/reference/python.md has a table of them.

    Raises:
        InputError: If an argument is not valid; the message says which one, and why.
    """
    check_keywords(options, TrajectoryOptions.__annotations__, caller=CALLER)
    # MPI, HDF5 and torch start here.
    from landscape_mpi.cluster.communicator import start_ranks
    from landscape_mpi.jobs.live.live_files import place_of
    from landscape_mpi.jobs.live.process_state import borrowed
    from landscape_mpi.jobs.live.quiet_job import do_quietly

    ranks = start_ranks()
    folder, path = place_of(ranks, out, name="plane.h5", caller=CALLER)
    with borrowed(None):
        do_quietly(
            ranks,
            lambda _: _project(ranks, checkpoints, path, options),
            ("out", *TrajectoryOptions.__annotations__),
        )
    return WeightPlane(path, keep=folder)


def _project(ranks: Ranks, checkpoints: Any, path: Path, options: TrajectoryOptions) -> None:
    """Write the plane file. Collective over the ranks."""
    from landscape_mpi.cluster.communicator import agree, on_root
    from landscape_mpi.compute.subspace import one_thread
    from landscape_mpi.jobs.trajectory.axes import choose_axes
    from landscape_mpi.jobs.trajectory.plane_content import write_quietly
    from landscape_mpi.jobs.trajectory.trainings import read_trainings
    from landscape_mpi.jobs.trajectory.trajectory_plane import span_plane

    kept, files = _files_of(ranks, checkpoints)
    asked = _request(files, path, options)
    axes = agree(ranks, lambda: choose_axes(asked))
    trainings = read_trainings(ranks, asked)
    with one_thread():
        plane = span_plane(ranks, trainings, axes)
    on_root(
        ranks,
        lambda: plane and write_quietly(trainings, axes, plane, asked, n_ranks=ranks.size),
    )
    del kept  # the temporary folder of weights in memory is no longer needed


def _files_of(ranks: Ranks, checkpoints: Any) -> tuple[object, list[Path]]:
    """Return the files, and a folder to keep until they are read. Collective over the ranks.

    Raises:
        InputError: If there is nothing to project.
    """
    from landscape_mpi.cluster.communicator import on_root
    from landscape_mpi.jobs.live.live_files import checkpoint_of, temporary_folder

    if isinstance(checkpoints, str | os.PathLike):
        return None, [Path(checkpoints).expanduser()]
    if isinstance(checkpoints, Mapping) or not isinstance(checkpoints, Sequence):
        raise InputError(
            f"{CALLER}: checkpoints are of type {type(checkpoints).__name__}. Pass the folder of a "
            f"training, or a list of files, state dicts or networks in the order of training."
        )
    is_live = any(not isinstance(one, str | os.PathLike) for one in checkpoints)
    kept, place = temporary_folder(ranks, caller=CALLER) if is_live else (None, Path())
    if is_live:
        place /= OF_MEMORY
        on_root(ranks, place.mkdir)
    files = [
        checkpoint_of(ranks, weights, place / f"checkpoint_{number:05d}.pt", caller=CALLER)
        for number, weights in enumerate(checkpoints)
    ]
    return kept, files


def _request(files: list[Path], path: Path, options: TrajectoryOptions) -> TrajectoryRequest:
    from landscape_mpi.jobs.trajectory.request import TrajectoryRequest

    center, ignore = options.get("center"), options.get("ignore")
    return TrajectoryRequest(
        runs=files,
        out=path,
        center=None if center is None else Path(center),
        ignore=None if ignore is None else tuple(ignore),
        states=options.get("states", False),
        x_direction=options.get("x_direction"),
        y_direction=options.get("y_direction"),
        mean_centred=options.get("mean_centred", False),
        seed=options.get("seed"),
        normalize=options.get("normalize"),
    )
