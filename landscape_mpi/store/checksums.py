"""Checksums of a surface file: HDF5 does not notice when bytes of values or of texts change.

Each point has a checksum of its place and its stored values, which is written before its flag. The
eigenvalues of a point have another one. The results of the self-check of an adaptive run have
checksums at every point. They are written before the first flag of an interpolated point, and count
from then on. The parts that never change share one checksum, the seal. A run checks the seal before
anything else, because damaged texts can crash the HDF5 library. A dataset that never changes also
has a checksum of its own. It is checked whenever the dataset is read, and stays valid if another
program copies the dataset or adds something to the file. HDF5 itself protects the structure
of the file: creation.py asks for the format of HDF5 1.8, which has checksums for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store import schema

SEAL = "provenance/seal"
SUPERBLOCK = (0, 48)  # bytes; says whether the file is open, and has a separate checksum
SHA256 = "sha256"  # attribute of datasets that never change; missing in older files
# Exceptions of h5py for a damaged file, and of calculations with what it returns then.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
# Ways out for files that are not surfaces, by their formats.
WAYS_OUT = {
    "landscape_mpi plane": "the command trajectory or curve plane",
    "landscape_mpi spectrum": "the command hessian with --spectrum",
    "landscape_mpi weights": "the training with a new --run",
    "landscape_mpi ensemble": "the command ensemble with a new --run",
}
OTHER_WAY_OUT = "the command of the surface with --fresh or a new --out"
REPAIR_WAY_OUT = "the command of the surface with --repair ({}), --fresh or a new --out"


class DamagedFileError(InputError):
    """A file whose bytes have changed."""

    def __init__(self, path: Path, what: str, *, way_out: str = OTHER_WAY_OUT) -> None:
        super().__init__(
            f"{path}: is damaged: {what}. A disk, a copy or another program caused this, and the "
            "rest of the file may also be wrong, so it is not changed. Use an earlier copy, or "
            f"compute it again: repeat {way_out}."
        )


def point_checksums(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return a checksum of every point that changes with any single value of it.

    Args:
        columns: Coordinates and values by dataset, float64 or int32, each [n].

    Returns:
        uint64 [n].

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood 2014, section 3) for each word. It
    is a bijection, so a single different word always gives a different sum.
    """
    mixed = np.zeros(len(next(iter(columns.values()))), np.uint64)
    for name in sorted(columns):
        dtype = np.int64 if name == "rank" else np.float64
        mixed = _mix(mixed ^ np.ascontiguousarray(columns[name], dtype).view(np.uint64))
    return mixed


def _mix(words: np.ndarray) -> np.ndarray:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def place_columns(axes: Mapping[str, np.ndarray], points: np.ndarray) -> dict[str, np.ndarray]:
    """Return the coordinates of points, float64 [n], by axis.

    Args:
        axes: Coordinates of both axes by name, float64.
        points: Flat indices into the grid, int64 [n].
    """
    names = [axis.name for axis in schema.AXES]
    places = np.unravel_index(points, tuple(len(axes[name]) for name in names))
    return {name: axes[name][indices] for name, indices in zip(names, places, strict=True)}


def seal(path: Path) -> None:
    """Store the checksum of all parts that never change. Local; nobody may be writing the file.

    Code that adds something to a surface file must seal it again.
    """
    with h5py.File(path, "r", locking=False) as file:
        digest, begin = _digest(file, path), file[SEAL].id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(begin)
        raw.write(digest)


def check_seal(file: h5py.File, path: Path) -> None:
    """Check that the sealed parts of a file are unchanged. Local.

    Args:
        file: Surface file, open.
        path: Path of the file.

    Raises:
        DamagedFileError: If such a part has changed.
        InputError: If another program has copied the file and arranged it in its own way.
    """
    if file[SEAL][...].tobytes() != _digest(file, path):
        raise DamagedFileError(
            path, "constant parts of the file, such as texts and axes, have changed"
        )


def sign(node: h5py.Group | h5py.Dataset) -> None:
    """Store the checksum of a dataset, or of each dataset in a group, beside its values. Local.

    Args:
        node: Open for writing; its values are complete.
    """
    if isinstance(node, h5py.Dataset):
        node.attrs[SHA256] = _sha256(node[()])
        return
    for name in node:
        sign(node[name])


def read_constant(dataset: h5py.Dataset) -> np.ndarray:
    """Return the values of a dataset, unchanged since it was signed. Local.

    Args:
        dataset: Dataset of a file of ours; unsigned ones, as in older files, are not checked.

    Raises:
        DamagedFileError: If the values do not have the stored checksum.
    """
    values = dataset[()]
    known = dataset.attrs.get(SHA256)
    if known is not None and known != _sha256(values):
        file = dataset.file
        raise DamagedFileError(
            Path(file.filename),
            f"the values of {dataset.name.lstrip('/')} are not as they were written",
            way_out=WAYS_OUT.get(str(file.attrs.get("format")), OTHER_WAY_OUT),
        )
    return values


def _sha256(values: np.ndarray) -> str:
    content = b"\0".join(values.ravel()) if values.dtype.kind == "O" else values.tobytes()
    return hashlib.sha256(content).hexdigest()


def check_points(file: h5py.File, path: Path) -> None:
    """Check that computed points, their eigenvalues and the self-check are unchanged.

    Local; works beside a running job.

    Args:
        file: Surface file, open.
        path: Its path, for the message.

    Raises:
        DamagedFileError: If some have changed.
    """
    done = file["done"][...]  # before the values: a job writes flags last
    differ = damaged_points(file)
    if len(differ):
        raise DamagedFileError(
            path,
            f"{len(differ)} of its {np.count_nonzero(done)} computed points are not as they were "
            f"written, the first one at {_place(differ[0], done.shape)}",
            way_out=REPAIR_WAY_OUT.format("these points alone"),
        )
    if is_check_damaged(file):
        raise DamagedFileError(
            path,
            f"the results of its self-check ({schema.CHECK_ERROR}, {schema.CHECK_ESTIMATE}) are "
            "not as they were written",
            way_out=REPAIR_WAY_OUT.format("makes these results again"),
        )
    differ = damaged_eigenvalues(file)
    if len(differ):
        raise DamagedFileError(
            path,
            f"the eigenvalues at {len(differ)} of its points are not as they were written, the "
            f"first ones at {_place(differ[0], done.shape)}",
            way_out="the command hessian with --repair (these eigenvalues alone)",
        )


def _place(point: int, shape: tuple[int, ...]) -> str:
    row, column = np.unravel_index(point, shape)
    return f"[alpha, beta] = [{row}, {column}]"


def damaged_points(file: h5py.File) -> np.ndarray:
    """Return the computed points that have changed, flat indices, int64 [n]. Local.

    Args:
        file: Surface file, open.
    """
    done = file["done"][...].ravel()  # before the values: a job writes flags last
    points = np.flatnonzero(done)
    changed = _changed(file, points, _covered(file), "checksum")
    # No checksum covers a flag, but each covers the rank: none has computed an interpolated point.
    is_computed = file["rank"][...].ravel()[points] >= 0
    contradicts = (done[points] == schema.COMPUTED) != is_computed
    is_unknown = ~np.isin(done[points], _known_flags(file))
    return np.union1d(changed, points[contradicts | is_unknown])


def is_check_damaged(file: h5py.File) -> bool:
    """Say whether the results of the check of interpolated points have changed. Local.

    Args:
        file: Surface file, open. Older ones have no checksums of the check.
    """
    done = file["done"][...].ravel()  # before the values: a job writes flags last
    if schema.CHECK_CHECKSUM not in file or not (done == schema.INTERPOLATED).any():
        return False
    names = [schema.CHECK_ERROR, schema.CHECK_ESTIMATE]
    # At all points: those without a result have NaN, which also has a checksum.
    return bool(len(_changed(file, np.arange(done.size), names, schema.CHECK_CHECKSUM)))


def damaged_eigenvalues(file: h5py.File) -> np.ndarray:
    """Return the points whose eigenvalues have changed, flat indices, int64 [n]. Local.

    Args:
        file: Surface file, open. Older ones have no checksums of eigenvalues.
    """
    checksum = checksum_of(schema.HESSIAN_DONE)
    if checksum not in file:
        return np.empty(0, np.int64)
    done = file[schema.HESSIAN_DONE][...].ravel()  # before the values: a job writes flags last
    names = [*schema.HESSIAN, *schema.HESSIAN_BOOKKEEPING]
    names = [name for name in names if name not in {schema.HESSIAN_DONE, checksum}]
    points = np.flatnonzero(done)
    changed = _changed(file, points, names, checksum)
    return np.union1d(changed, points[done[points] != schema.COMPUTED])


def checksum_of(flags: str) -> str:
    """Return the dataset of the checksums of points that have such flags."""
    return f"{flags.removesuffix('done')}checksum"


def _changed(file: h5py.File, points: np.ndarray, names: list[str], checksum: str) -> np.ndarray:
    """Return the points whose values of some datasets do not have the stored checksum.

    Raises:
        DamagedFileError: If a dataset does not hold a number for every point of the grid.
    """
    for name in (*names, checksum):
        _check_array(file, name)
    values = {name: file[name][...].ravel()[points] for name in names}
    axes = {axis.name: read_constant(file[axis.name]) for axis in schema.AXES}
    sums = point_checksums(place_columns(axes, points) | values)
    return points[sums != file[checksum][...].ravel()[points]]


def _check_array(file: h5py.File, name: str) -> None:
    """Check that a dataset is an array of numbers on the grid.

    Raises:
        DamagedFileError: If it is not.
    """
    node, flags = file[name], file["done"]
    is_array = isinstance(node, h5py.Dataset) and node.dtype.kind in "uif"
    if not is_array or node.shape is None or node.shape != flags.shape:
        raise DamagedFileError(
            Path(file.filename), f"{name} is not an array of one number for each point of the grid"
        )


def _known_flags(file: h5py.File) -> tuple[int, ...]:
    """Return the flags that runs write for points of a file."""
    is_adaptive = schema.CHECK_ERROR in file
    return (schema.COMPUTED, schema.INTERPOLATED) if is_adaptive else (schema.COMPUTED,)


def _covered(file: h5py.File) -> list[str]:
    """Return the datasets that runs write for a point; others are complete from the start."""
    # Found by name, since a text that lists them may be damaged and is read only after the seal.
    return [name for name in file if name.startswith(schema.SPLITS) or name in {"seconds", "rank"}]


def _digest(file: h5py.File, path: Path) -> bytes:
    """Return the SHA-256 of the bytes of a file that no run of any command changes.

    Raises:
        DamagedFileError: If something else stands in the place of a dataset.
        InputError: If another program has arranged the datasets.
    """
    changing = [*_covered(file), "done", "checksum", "provenance/runs", SEAL]
    later = (
        schema.CHECK_ERROR,
        schema.CHECK_ESTIMATE,
        schema.CHECK_CHECKSUM,
        *schema.HESSIAN,
        *schema.HESSIAN_BOOKKEEPING,
        schema.HESSIAN_RUNS,
    )
    changing += [name for name in later if name in file]
    for name in changing:
        if not isinstance(file[name], h5py.Dataset):
            raise DamagedFileError(path, f"{name} is not an array")
        if file[name].id.get_offset() is None:
            raise InputError(
                f"{path}: {name} is compressed or stored in pieces, so another program has made "
                "this copy. It can be read and drawn, but no run continues it. Name the file that "
                "the run wrote."
            )
    spans = sorted([SUPERBLOCK, *(_span(file[name]) for name in changing)], reverse=True)
    digest = hashlib.sha256()
    with path.open("rb") as raw:
        while spans:
            begin, end = spans.pop()
            digest.update(raw.read(max(0, begin - raw.tell())))
            raw.seek(end)
        digest.update(raw.read())
    return digest.digest()


def _span(dataset: h5py.Dataset) -> tuple[int, int]:
    begin = dataset.id.get_offset()
    return begin, begin + dataset.id.get_storage_size()
