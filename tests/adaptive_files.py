"""Surface files with interpolated points, made of losses that are known everywhere."""

import numpy as np
from mpi4py import MPI

from landscape_mpi.engine.adaptive.points import AdaptivePoints, around_center
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.store import schema
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.writer import GatheringWriter

NAMES = ("train_loss", "train_error")


def write_adaptive(path, axis, losses, tolerance, **attributes):
    """Write the surface of known losses on a square, computing what the tolerance asks for."""
    fields = tuple(schema.QUANTITIES[name] for name in NAMES)
    about = {schema.ADAPTIVE: tolerance.value, "adaptive_unit": tolerance.unit, **attributes}
    content = SurfaceContent(
        axis,
        axis,
        NAMES,
        {"/": about, "directions": {}, "provenance": {}},
        adaptive=schema.adaptive_fields(fields, tolerance.unit),
    )
    create_surface(path, content)
    values = np.stack([losses, np.minimum(90.0, 10 * losses)])
    center = around_center(axis, axis)
    points = AdaptivePoints(NAMES, values, np.zeros(losses.shape, bool), tolerance, center)
    while len(chosen := points.next_points()):
        points.take(chosen, values.reshape(2, -1)[:, chosen].T)
    _write(path, points, values)
    return path


def _write(path, points, values):
    filled = points.fill()
    computed = np.setdiff1d(np.arange(values[0].size), filled.points)
    columns = dict(zip(NAMES, values.reshape(2, -1)[:, computed], strict=True))
    writer = GatheringWriter(path, comm=MPI.COMM_SELF)
    zeros = np.zeros(len(computed))
    books = {"train_loss_error": zeros, "seconds": zeros + 1, "rank": zeros.astype(np.int32)}
    writer.write_round(computed, columns | books)
    writer.write_check(np.arange(values[0].size), filled.check_columns)
    n = len(filled.points)
    books = {"seconds": np.full(n, np.nan), "rank": np.full(n, -1, np.int32)}
    writer.write_round(filled.points, filled.columns | books, flag=schema.INTERPOLATED)
    writer.close()


def write_bowl(path, *, n=41, tolerance=None):
    """Write a bowl on a square; returns its path."""
    axis = np.linspace(-1, 1, n)
    alpha, beta = np.meshgrid(axis, axis, indexing="ij")
    losses = 20 * (alpha**2 + 2 * beta**2) + 0.01
    tolerance = tolerance or Tolerance(0.03)
    return write_adaptive(path, axis, losses, tolerance, model="resnet56", data="cifar10")
