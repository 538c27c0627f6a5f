"""The eigenvalues in a surface file: their datasets, their identity, and the points that are left.

The file grows once, before its eigenvalues are computed, by a copy that replaces it in one step, so
a killed run leaves the surface intact.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.creation import LIBVER, Attributes, create_dataset, create_runs
from landscape_mpi.store.resume import UNSAID, attribute_text, open_surface

GROUP = "hessian"
RUNS = schema.HESSIAN_RUNS.removeprefix("provenance/")
FLAGS = schema.HESSIAN_DONE
ALL = "all"  # limit of the training samples of the surface
STARTS = "0: a random vector; 1: the eigenvectors of the nearest point that its rank had finished"

# Attributes that must agree; the first difference in this order gives the clearest message.
IDENTITY = (
    ("samples", "{} training samples", "pass --limit {}"),
    ("batches", "{} training batches", "pass --limit {}"),  # for a problem whose data are batches
    ("subset", "the training samples {}", "pass --subset {}"),
    ("parameters", "the parameters {}", "pass --parameters {}"),
    ("matrix", "the matrix {}", "pass, or leave out, --gauss-newton"),
    ("solver", "the solver {}", "pass --solver {}"),
    ("tolerance", "the tolerance {}", "pass --tolerance {}"),
    ("device", "device {}", "pass --device {}"),
)


def has_hessian(path: Path) -> bool:
    """Say whether a surface file has room for eigenvalues."""
    with open_surface(path) as file:
        return FLAGS in file


def check_same_hessian(path: Path, attributes: Attributes) -> None:
    """Check that the eigenvalues in a file are those that are requested.

    Args:
        path: Surface file with eigenvalues.
        attributes: Attributes of this run; those not known yet are not compared.

    Raises:
        InputError: If the matrix or the method differs; the message shows both values.
    """
    with open_surface(path) as file:
        known = dict(file[GROUP].attrs)
    for name, words, way_out in IDENTITY:
        if name not in attributes:
            continue
        if name == "subset":
            known.setdefault(name, ALL if attributes[name] == ALL else UNSAID[name])
        stored, asked = attribute_text(known.get(name)), attribute_text(attributes[name])
        if stored != asked:
            raise InputError(
                f"{path}: its eigenvalues were computed with {words.format(stored)}, but this run "
                f"requests {words.format(asked)}. A resumed run must be the same run: "
                f"{way_out.format(stored)}, or --fresh to compute all of them again."
            )


def stored_subset(path: Path) -> str:
    """Return the choice of training samples of the eigenvalues in a file.

    Args:
        path: Surface file with eigenvalues.
    """
    with open_surface(path) as file:
        return str(file[GROUP].attrs.get("subset", UNSAID["subset"]))


def add_eigenvalues(path: Path, attributes: Attributes) -> None:
    """Add the datasets of the eigenvalues to a surface file, or clear existing ones.

    Local; call it on one rank, before the file is opened by all.

    Args:
        path: Surface file.
        attributes: Attributes of the eigenvalues: their matrix and their method.
    """
    with whole_file(path) as partial:
        shutil.copyfile(path, partial)
        with h5py.File(partial, "r+", locking=False, libver=LIBVER) as file:
            _add_datasets(file)
            group = file.require_group(GROUP)
            for name, value in attributes.items():
                group.attrs[name] = value
            if RUNS in file["provenance"]:
                del file["provenance"][RUNS]
            create_runs(file["provenance"], table=RUNS)
        seal(partial)


def _add_datasets(file: h5py.File) -> None:
    units = file["train_loss"].attrs["units"]
    for item in (*schema.HESSIAN.values(), *schema.HESSIAN_BOOKKEEPING.values()):
        if item.name in file:
            file[item.name][...] = item.fill
            continue
        own = replace(item, units=units) if item.units == "nat" else item
        dataset = create_dataset(file, own, file["done"].shape)
        for dimension, axis in zip(dataset.dims, schema.AXES, strict=True):
            dimension.attach_scale(file[axis.name])
    file["hessian_start"].attrs["values"] = STARTS


def pending_eigenvalues(path: Path, order: np.ndarray) -> np.ndarray:
    """Return the points whose eigenvalues are not computed yet, in the given order.

    Args:
        path: Surface file with room for eigenvalues.
        order: Flat indices, int64 [n].
    """
    with open_surface(path) as file:
        return order[file[FLAGS][...].ravel()[order] == 0]
