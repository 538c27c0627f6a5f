"""Read a surface file, ours or the reference implementation's, with NumPy and h5py alone.

The reference implementation is the one of Li et al. 2018 (tomgoldstein/loss-landscape). Its
arrays have the shape (nx, ny), but position k of their flat order was filled with the point
(x[k % nx], y[k // nx]), the order of ``numpy.meshgrid(x, y)``; -1 means not computed, or 1 for the
smallest eigenvalue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.invocation import typed
from landscape_mpi.store.checksums import UNREADABLE, check_points, read_constant
from landscape_mpi.store.contents import check_contents
from landscape_mpi.store.curve import CURVE
from landscape_mpi.store.interpolation import (
    Interpolation,
    is_of_interpolation,
    read_interpolation,
)
from landscape_mpi.store.lines import SOLUTIONS
from landscape_mpi.store.plane_curve import PlaneCurve, read_plane_curve
from landscape_mpi.store.sampling import Sampling, read_sampling
from landscape_mpi.store.sampling_fields import N_SAMPLES, STANDARD_ERROR, is_of_sampling
from landscape_mpi.store.schema import (
    AXES,
    AXIS_LABELS,
    BOOKKEEPING,
    COMPUTED,
    FORMAT,
    FORMAT_VERSION,
    HESSIAN,
    HESSIAN_VALUES,
    INTERPOLATED,
    N_CLASSES,
    QUANTITIES,
    RATIO,
    SAMPLED_VERSION,
)
from landscape_mpi.store.solution_marks import Mark, read_marks
from landscape_mpi.store.trajectory import Trajectories, read_trajectories

# Our files that are not surfaces: their kind, their use, and the command and the option for it.
OTHERS = {
    "landscape_mpi weights": ("the weights of a training run", "Draw it", "plot", "--weights"),
    "landscape_mpi spectrum": ("eigenvalues at one point", "Draw it", "plot", "--spectrum"),
    "landscape_mpi ensemble": ("an ensemble", "Draw it", "plot", "--ensemble"),
    "landscape_mpi plane": (
        *("a plane's directions", "Compute one along them", "surface", "--directions"),
    ),
}
# By our name: the reference's name, and its value for points that are not computed.
REFERENCE = {
    "train_loss": ("train_loss", -1.0),
    "train_error": ("train_acc", -1.0),
    "test_loss": ("test_loss", -1.0),
    "test_error": ("test_acc", -1.0),
    "hessian_min": ("min_eig", 1.0),
    "hessian_max": ("max_eig", -1.0),
}
# Attributes with which summaries calculate, by their groups.
NUMBERS = {"/": (N_CLASSES, "running_statistics"), "directions": ("cosine", "random_cosine")}


@dataclass(frozen=True)
class Surface:
    """The values of one surface file, in memory."""

    path: Path
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]; one entry for a line
    values: dict[str, np.ndarray]  # float64 [n_alpha, n_beta], NaN where not computed
    done: np.ndarray  # True where there is a value, bool [n_alpha, n_beta]
    done_of: dict[str, np.ndarray]  # bool [n_alpha, n_beta] for each quantity
    units: dict[str, str]  # of quantities and axes, "1" for a pure number
    long_names: dict[str, str]  # of quantities and axes
    attributes: dict[str, Any]  # of the file's root
    about_directions: dict[str, Any] = field(default_factory=dict)  # of the group directions
    marks: tuple[Mark, ...] = ()  # solutions that lie in the plane
    trajectories: Trajectories | None = None  # in this plane
    curve: PlaneCurve | None = None  # a curve between solutions in this plane
    label: str | None = None  # name in pictures; None for its network and data
    interpolation: Interpolation | None = None  # None if every value is computed
    sampling: Sampling | None = None  # None if every value is from all samples

    @property
    def shape(self) -> tuple[int, int]:
        """Return (n_alpha, n_beta)."""
        return len(self.alpha), len(self.beta)

    @property
    def n_points(self) -> int:
        """Return the number of points of the grid."""
        return len(self.alpha) * len(self.beta)

    @property
    def is_line(self) -> bool:
        """Say whether one of the axes has a single coordinate, or there are several lines."""
        return min(self.shape) == 1 or self.has_repeats

    @property
    def has_repeats(self) -> bool:
        """Say whether beta counts lines along alpha, each with a separate direction."""
        return "repeats" in self.attributes or self.is_curve or self.has_pairs

    @property
    def has_pairs(self) -> bool:
        """Say whether beta counts pairs of solutions, and alpha is the place t between them."""
        return SOLUTIONS in self.attributes

    @property
    def is_curve(self) -> bool:
        """Say whether alpha is the place t on the paths that beta counts; see store/curve.py."""
        return CURVE in self.attributes

    @property
    def center(self) -> tuple[int, int] | None:
        """Return the indices [alpha, beta] of (0, 0), or None if it is not a grid point."""
        indices = _index_of_zero(self.alpha), _index_of_zero(self.beta)
        return None if None in indices else indices  # type: ignore[return-value]


def read_surface(path: str | Path) -> Surface:
    """Read a surface file, also a partial one that a running job still writes.

    Raises:
        InputError: If the file cannot be read, is of an unknown kind, or contradicts itself.
    """
    path = Path(path)
    _check_is_file(path)
    try:
        with open_beside_others(path) as file:
            check_contents(file, path)
            return _kind_of(file, path)(file, path)
    except InputError:
        raise
    except UNREADABLE as problem:
        raise InputError(_why_unreadable(path, problem)) from problem


def open_beside_others(path: Path) -> h5py.File:
    """Open a file for reading, even if others have it open.

    Raises:
        OSError: If HDF5 cannot open it.
    """
    try:
        # A running job holds the lock of its file.
        return h5py.File(path, "r", locking=False)
    except OSError as problem:
        if "locking flag" not in str(problem):
            raise
        # This process already has it open, as xarray does; HDF5 opens a file in one way at a time.
        return h5py.File(path, "r")


def check_computed(surface: Surface) -> None:
    """Refuse a surface without a single computed point.

    Raises:
        InputError: If no point is computed yet.
    """
    if not any(done.any() for done in surface.done_of.values()):
        raise InputError(
            f"{surface.path}: 0 of {surface.n_points} points are computed, so there is nothing to "
            "show. A running job writes its first points at the end of its first round. Try again "
            "then, or start the job again."
        )


def _check_is_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory. Name the HDF5 file of a surface in it.")
    if not path.exists():
        raise MissingInputError(f"{path}: does not exist. Name the HDF5 file of a surface.")


def _why_unreadable(path: Path, problem: Exception) -> str:
    if "truncated" in str(problem):
        return (
            f"{path}: is truncated: {path.stat().st_size} bytes exist, fewer than its header "
            "says. Copy it again from the machine of the job."
        )
    if isinstance(problem, PermissionError):
        return f"{path}: you may not read this file. Ask its owner for permission."
    if not h5py.is_hdf5(path):
        return f"{path}: is not an HDF5 file. Name the file that landscape_mpi.surface --out wrote."
    return (
        f"{path}: HDF5 cannot read it: {problem}. It is damaged. Copy it again from the machine "
        "of the job."
    )


def _kind_of(file: h5py.File, path: Path) -> Callable[[h5py.File, Path], Surface]:
    mark = _text(file.attrs.get("format", ""))
    if mark == FORMAT:
        return _read_ours
    if mark in OTHERS:
        kind, use, command, option = OTHERS[mark]
        words = f"{use}: {typed(command)} {option}."
        raise InputError(f"{path}: holds {kind}, not a surface. {words}")
    if "xcoordinates" in file:
        return _read_reference
    held = ", ".join(list(file)[:6]) or "nothing"
    raise InputError(
        f"{path}: is an HDF5 file, but not a surface file. It holds {held}; a surface has the "
        f"root attribute format = {FORMAT!r}, and a file of the reference implementation has "
        "xcoordinates. Name the file that landscape_mpi.surface --out wrote."
    )


def _read_ours(file: h5py.File, path: Path) -> Surface:
    _check_version(file, path)
    _check_attributes(file, path)
    if int(file.attrs.get("format_version", FORMAT_VERSION)) > 1:
        check_points(file, path)
    alpha, beta = (_axis(file, field.name, path) for field in AXES)
    shape = len(alpha), len(beta)
    names = [name for name in file if _is_quantity(file, name, shape)]
    beside = [name for name in file if name.endswith((f"_{N_SAMPLES}", STANDARD_ERROR))]
    beside += [name for name in file if is_of_interpolation(file, name)]
    _check_shapes(file, path, shape, [*QUANTITIES, *BOOKKEEPING, *beside])
    if "done" not in file:
        raise InputError(
            f"{path}: holds no dataset 'done', so no point is known to be computed. Name the file "
            "that landscape_mpi.surface --out wrote."
        )
    if not names:
        raise _no_quantities(file, path, f"of the grid's shape {shape}")
    done_of = {name: _done_mask(file, name, shape) for name in names}
    values = {
        name: np.where(done_of[name], read_constant(file[name]).astype(np.float64), np.nan)
        for name in names
    }
    described = [*(field.name for field in AXES), *names]
    units = {name: _text(file[name].attrs.get("units", "1")) for name in described}
    long_names = {name: _text(file[name].attrs.get("long_name", name)) for name in described}
    _add_ratio(values, done_of, units, long_names)
    return Surface(
        path=path,
        alpha=alpha,
        beta=beta,
        values=_in_order(values),
        done=_is_there(file["done"]),
        done_of=done_of,
        units=units,
        long_names=long_names,
        attributes={name: _plain(value) for name, value in file.attrs.items()},
        about_directions=_attributes(file, "directions"),
        marks=read_marks(file),
        trajectories=read_trajectories(file),
        curve=read_plane_curve(file),
        interpolation=read_interpolation(file),
        sampling=read_sampling(file),
    )


def _attributes(file: h5py.File, group: str) -> dict[str, Any]:
    known = file[group].attrs if group in file else {}
    return {name: _plain(value) for name, value in known.items()}


def _add_ratio(
    values: dict[str, np.ndarray],
    done_of: dict[str, np.ndarray],
    units: dict[str, str],
    long_names: dict[str, str],
) -> None:
    """Add the ratio of the eigenvalues to the quantities of a surface that has both."""
    if set(HESSIAN_VALUES) <= values.keys():
        values[RATIO.name] = _ratio(*(values[name] for name in HESSIAN_VALUES))
        done_of[RATIO.name] = np.all([done_of[name] for name in HESSIAN_VALUES], axis=0)
        units[RATIO.name], long_names[RATIO.name] = RATIO.units, RATIO.long_name


def _ratio(least: np.ndarray, greatest: np.ndarray) -> np.ndarray:
    """Return |least / greatest|, NaN if both are zero; 0 is convex.

    Source: Li et al. 2018, arXiv:1712.09913, figure 7.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.abs(least / greatest)


def _read_reference(file: h5py.File, path: Path) -> Surface:
    x = _axis(file, "xcoordinates", path)
    y = _axis(file, "ycoordinates", path) if "ycoordinates" in file else np.zeros(1)
    stored = (len(x), len(y)) if "ycoordinates" in file else (len(x),)
    theirs = [name for name, _ in REFERENCE.values()]
    _check_shapes(file, path, stored, theirs)
    there = {ours: known for ours, known in REFERENCE.items() if known[0] in file}
    if not there:
        raise _no_quantities(file, path, f"among {', '.join(theirs)}")
    values, done_of = {}, {}
    for ours, (name, missing) in there.items():
        array = _unscramble(file[name][()], len(x), len(y))
        done_of[ours] = array != missing
        shown = 100.0 - array if name.endswith("acc") else array
        values[ours] = np.where(done_of[ours], shown, np.nan)
    fields = {field.name: field for field in (*AXES, *QUANTITIES.values(), *HESSIAN.values())}
    described = [*(field.name for field in AXES), *values]
    units = {name: fields[name].units for name in described}
    long_names = {name: fields[name].long_name for name in described}
    computed = [mask for name, mask in done_of.items() if name in QUANTITIES]
    _add_ratio(values, done_of, units, long_names)
    return Surface(
        path=path,
        alpha=x,
        beta=y,
        values=values,
        done=np.all(computed or list(done_of.values()), axis=0),
        done_of=done_of,
        units=units,
        long_names=long_names,
        # Its networks are those of CIFAR-10.
        attributes={N_CLASSES: 10} | {name: _plain(v) for name, v in file.attrs.items()},
    )


def _unscramble(stored: np.ndarray, nx: int, ny: int) -> np.ndarray:
    """Return float64 [nx, ny] from the reference's array, filled in the order of meshgrid."""
    return stored.astype(np.float64).ravel().reshape(ny, nx).T.copy()


def _check_version(file: h5py.File, path: Path) -> None:
    version = int(file.attrs.get("format_version", FORMAT_VERSION))
    if version > SAMPLED_VERSION:
        raise InputError(
            f"{path}: has format_version {version}, but this release reads only up to "
            f"{SAMPLED_VERSION}. Read it with the release that wrote it, or a newer one."
        )
    labels = tuple(_text(label) for label in file.attrs.get("axis_labels", AXIS_LABELS))
    if labels != AXIS_LABELS:
        raise InputError(
            f"{path}: has axis_labels {', '.join(labels)}; but arrays of a surface are indexed "
            f"{', '.join(AXIS_LABELS)}, and read in another order they would be scrambled. "
            "Transpose them, or name the file that landscape_mpi.surface --out wrote."
        )


def _check_attributes(file: h5py.File, path: Path) -> None:
    """Check that attributes are numbers where a summary calculates with them.

    Raises:
        InputError: If one is not, or a count is not finite.
    """
    for group, names in NUMBERS.items():
        found = _attributes(file, group)
        for name in [name for name in names if name in found]:
            value = found[name]
            is_number = isinstance(value, int | float)
            if not is_number or (group == "/" and not np.isfinite(value)):
                raise InputError(
                    f"{path}: its attribute {name} is {value!r}, but must be a number. The file is "
                    "damaged. Copy it again from the machine of the job."
                )


def _axis(file: h5py.File, name: str, path: Path) -> np.ndarray:
    if name not in file:
        raise InputError(
            f"{path}: holds no dataset {name!r}, so its grid is unknown. Name the file that "
            "landscape_mpi.surface --out wrote."
        )
    _check_numbers(file, path, [name])
    axis = np.asarray(read_constant(file[name]), dtype=np.float64)
    if axis.ndim != 1 or axis.size == 0:
        raise InputError(
            f"{path}: {name} has shape {axis.shape}, but an axis has shape (n,), n > 0. Name the "
            "file that landscape_mpi.surface --out wrote."
        )
    steps = np.diff(axis)
    if not np.isfinite(axis).all() or not (np.all(steps > 0) or np.all(steps < 0)):
        raise InputError(
            f"{path}: {name} is {_excerpt(axis)}, but the coordinates of an axis must be finite "
            "and all rise or all fall. Name the file that landscape_mpi.surface --out wrote."
        )
    return axis


def _check_numbers(file: h5py.File, path: Path, names: list[str]) -> None:
    for name in names:
        node = file[name]
        if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "uif":
            raise InputError(
                f"{path}: {name} is not an array of numbers, as in a surface file, so another "
                "program wrote it. Name the file that landscape_mpi.surface --out wrote."
            )


def _check_shapes(file: h5py.File, path: Path, shape: tuple[int, ...], names: list[str]) -> None:
    _check_numbers(file, path, [name for name in names if name in file])
    for name in names:
        if name in file and file[name].shape != shape:
            raise InputError(
                f"{path}: {name} has shape {file[name].shape}, but the axes give {shape}. The "
                "file was combined from two grids, or writing it was interrupted. Copy it again, "
                "or compute the surface again."
            )


def _is_quantity(file: h5py.File, name: str, shape: tuple[int, int]) -> bool:
    # hessian_done, hessian_seconds and the like belong to the records of a later command.
    if any(name == kept or name.endswith(f"_{kept}") for kept in BOOKKEEPING):
        return False
    if is_of_interpolation(file, name) or is_of_sampling(file, name):
        return False
    node = file[name]
    return isinstance(node, h5py.Dataset) and node.shape == shape and node.dtype.kind in "fiu"


def _done_mask(file: h5py.File, name: str, shape: tuple[int, int]) -> np.ndarray:
    """Return the flags of a quantity: its own, its family's (hessian_done), or the grid's."""
    words = name.split("_")
    candidates = ["_".join([*words[:n], "done"]) for n in range(len(words), -1, -1)]
    flags = next(flag for flag in candidates if flag in file and file[flag].shape == shape)
    return _is_there(file[flags])


def _is_there(flags: h5py.Dataset) -> np.ndarray:
    """Say which flags stand for a value, computed or interpolated."""
    return np.isin(flags[()], (COMPUTED, INTERPOLATED))


def _in_order(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    known = [name for name in QUANTITIES if name in values]
    return {name: values[name] for name in [*known, *(n for n in values if n not in known)]}


def _no_quantities(file: h5py.File, path: Path, wanted: str) -> InputError:
    return InputError(
        f"{path}: holds no quantity {wanted}, so there is nothing to show. "
        f"It holds {', '.join(file)}."
    )


def _index_of_zero(axis: np.ndarray) -> int | None:
    nearest = int(np.argmin(np.abs(axis)))
    spacing = np.abs(np.diff(axis)).min() if len(axis) > 1 else 1.0
    # linspace gives 1e-17 instead of 0
    return nearest if abs(axis[nearest]) <= 1e-9 * spacing else None


def _excerpt(axis: np.ndarray) -> str:
    shown = ", ".join(f"{value:g}" for value in axis[:5])
    return shown + (", ..." if len(axis) > 5 else "")


def _text(value: Any) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    text.encode()  # h5py hides bytes that are not UTF-8 in a text, and VTK aborts on them
    return text


def _plain(value: Any) -> Any:
    """Return an attribute as Python and NumPy types, text as str."""
    if isinstance(value, bytes | str):
        return _text(value)
    return value.item() if isinstance(value, np.generic) else value
