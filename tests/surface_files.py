"""Write surface files with h5py alone, from the words of the schema and known values."""

import h5py
import numpy as np

from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.schema import AXES, BOOKKEEPING, FORMAT, QUANTITIES

WITHOUT_CHECKSUMS = 1  # the version
EXTRA = {
    "train_gain": ("1", "mean of gain, training split"),
    "hessian_min": ("1", "smallest eigenvalue of the Hessian of the training loss"),
}

# Run a command in a process that cannot import torch or mpi4py.
WITHOUT_TORCH_AND_MPI = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "mpi4py"):
            raise ModuleNotFoundError(name + " is blocked", name=name)
sys.meta_path.insert(0, Blocked())
from landscape_mpi.{command} import main
status = main(sys.argv[1:])
assert not {{"matplotlib.pyplot", "torch", "mpi4py"}} & set(sys.modules)
sys.exit(status)
"""


def write_surface(path, alpha, beta, values, *, done=None, attributes=None):
    """Write a surface file of ours; values maps quantity to [n_alpha, n_beta]."""
    alpha, beta = np.asarray(alpha, float), np.asarray(beta, float)
    shape = len(alpha), len(beta)
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": FORMAT, "format_version": WITHOUT_CHECKSUMS})
        file.attrs["axis_labels"] = ["alpha", "beta"]
        file.attrs.update(attributes or {"model": "resnet56", "data": "cifar10"})
        for field, axis in zip(AXES, (alpha, beta), strict=True):
            _add(file, field.name, axis, field.units, field.long_name)
        for name, array in values.items():
            known = QUANTITIES.get(name)
            units, long_name = (known.units, known.long_name) if known else EXTRA[name]
            _add(file, name, np.asarray(array, float).reshape(shape), units, long_name)
        flags = np.ones(shape) if done is None else np.reshape(done, shape)
        filled = {"done": flags, "seconds": np.zeros(shape), "rank": np.zeros(shape)}
        for name, array in filled.items():
            field = BOOKKEEPING[name]
            _add(file, name, array.astype(field.dtype), field.units, field.long_name)
        file.create_group("directions").attrs["seed"] = 1
        file.create_group("provenance").attrs["ranks"] = 2
    return path


def _add(file, name, array, units, long_name):
    file[name] = array
    file[name].attrs.update({"units": units, "long_name": long_name})


def surface_of(path, alpha, beta, values, **more):
    """Write a surface file of ours as write_surface does, and read it."""
    return read_surface(write_surface(path, alpha, beta, values, **more))


def write_reference(path, x, y, point_value, *, missing=()):
    """Write a file as the reference implementation does: point by point along its flat order.

    point_value(x, y) gives (loss, accuracy in percent); missing are flat positions left at -1.
    """
    shape = (len(x),) if y is None else (len(x), len(y))
    loss, accuracy = -np.ones(shape), -np.ones(shape)
    if y is None:
        points = [(a, 0.0) for a in x]
    else:
        mesh_x, mesh_y = np.meshgrid(x, y)
        points = list(zip(mesh_x.ravel(), mesh_y.ravel(), strict=True))
    for k, point in enumerate(points):
        if k not in missing:
            loss.ravel()[k], accuracy.ravel()[k] = point_value(*point)
    with h5py.File(path, "w") as file:
        file["xcoordinates"] = np.asarray(x, float)
        if y is not None:
            file["ycoordinates"] = np.asarray(y, float)
        file["train_loss"], file["train_acc"] = loss, accuracy
    return path


def plane(alpha, beta, function):
    """Return function(alpha, beta) as [n_alpha, n_beta], one call a point."""
    return np.array([[function(a, b) for b in beta] for a in alpha])


def square_writer(folder, axis):
    """Return a function that writes a surface of a training loss, a function of both axes."""

    def make(name, function):
        values = {"train_loss": plane(axis, axis, function)}
        return write_surface(folder / f"{name}.h5", axis, axis, values)

    return make
