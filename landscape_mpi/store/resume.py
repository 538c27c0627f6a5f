"""The check that a file is the surface of a request, and the points that are left in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import (
    SEAL,
    UNREADABLE,
    DamagedFileError,
    check_points,
    check_seal,
)
from landscape_mpi.store.contents import check_contents
from landscape_mpi.store.creation import SurfaceContent
from landscape_mpi.store.sampling_fields import GUESS, SAMPLING

DEVICE_MODEL = "device_model"  # missing in older files, which then count as the same
DATA_WAY_OUT = (
    "pass its original data (if a function of --data draws random numbers, seed its generator)"
)
# Attributes that must agree: group, name, words for it, and the way out. The first difference in
# this order gives the clearest message.
IDENTITY: tuple[tuple[str, str, str, str], ...] = (
    ("/", "problem", "the problem {}", "continue with the original problem"),
    ("/", "model", "model {}", "pass --model {}"),
    ("/", "loss", "loss {}", "pass --loss {}"),
    ("/", "class_axis", "classes along axis {}", "pass --class-axis {}"),
    ("/", "ignore_index", "targets of {} left out", "pass --ignore-index {}"),
    ("/", "class_weights", "class weights {}", "pass --class-weights {} (none: leave them out)"),
    ("/", "label_smoothing", "label smoothing {}", "pass --label-smoothing {}"),
    ("/", "weight_decay", "weight decay {}", "pass --weight-decay {} (none: leave it out)"),
    ("/", "metrics", "metrics {}", "give the problem these metrics"),
    ("/", "problem_seed", "seed {} of the problem", "give the problem this seed"),
    ("/", "problem_dtype", "dtype {} of the problem", "give the problem this dtype"),
    ("/", "problem_units", "units {} of the problem", "give the problem these units"),
    ("/", "splits", "splits {}", "pass --splits {}"),
    ("/", "also", "the further quantities {}", "pass --also {} (none: leave it out)"),
    ("provenance", "weights_sha256", "weights of SHA-256 {}", "pass its --checkpoint"),
    ("/", "limit", "training samples limited to {}", "pass --limit {}"),
    ("/", "subset", "the training samples {}", "pass --subset {}"),
    ("/", "mean", "mean {}", "pass --mean={}"),
    ("/", "std", "std {}", "pass --std={}"),
    ("provenance", "data_sha256", "data of SHA-256 {}", DATA_WAY_OUT),
    ("/", schema.ADAPTIVE, "--adaptive {}", "pass --adaptive {} (none: leave it out)"),
    ("/", "adaptive_unit", "a tolerance in {}", "pass --adaptive-unit {}"),
    (
        "/",
        schema.ADAPTIVE_OFFSET,
        "{} added to losses before their logarithm",
        "run the version that began it",
    ),
    (
        "/",
        SAMPLING,
        "the samples of a point: {}",
        "if the file says a random order, pass --rtol and --atol; if it says all, neither",
    ),
    ("/", GUESS, "standard errors that allow for {}", "run the version that began it"),
    ("/", "batch_norm", "batch-norm statistics {}", "pass --batch-norm {}"),
    ("/", "repeats", "repeats {}", "pass --repeats {}"),
    ("/", "match", "matching {}", "pass the --match and --seed of the file"),
    ("/", "solutions_sha256", "solutions of SHA-256 {}", "name the original solutions"),
    ("/", "curve_sha256", "a curve of SHA-256 {}", "pass the original curve"),
    ("directions", "normalize", "normalization {}", "pass --normalize {}"),
    ("directions", "ignore", "ignored parameters {}", "pass --ignore {}"),
    ("directions", "only", "only {} moved", "pass --only {}"),
    ("directions", "seed", "seed {}", "pass --seed {}"),
    ("directions", "sha256", "directions of SHA-256 {}", "run it where it was started"),
    ("/", "precision", "precision {}", "pass --precision {}"),
    ("/", "batch", "batch {}", "pass --batch {}"),
    ("/", "compile", "torch.compile {}", "pass --compile {}"),
    ("/", "points_at_once", "points at once {}", "pass --points-at-once {}"),
    ("/", "preparation", "the network {}", "run the version that began it"),
    ("/", "device", "device {}", "pass --device {}"),
    (
        "/",
        DEVICE_MODEL,
        "devices of the model {}",
        "start it on such devices, or pass --accept-device to continue here with results that may "
        "differ in their last digits",
    ),
)

# Ways out for a problem, which brings these parts itself.
OF_PROBLEMS = {
    "model": "give the problem this network",
    "loss": "give the problem this loss",
    "weights_sha256": "give its network the original weights, or pass its --checkpoint",
    "data_sha256": "give the problem its original data (seed random draws and shuffles)",
}

# Values for files without these attributes: older ones, and those of another kind.
UNSAID = {
    "points_at_once": 1,
    "class_axis": -1,
    "subset": "first",
    "label_smoothing": 0.0,
    "also": "none",
    schema.ADAPTIVE: "none",
    schema.ADAPTIVE_OFFSET: 0.1,
    SAMPLING: "all",
    GUESS: "the worst loss seen",
    "problem_units": "1",
}
# Processors and libraries change a mean by less than this; more means another function.
SAME_FINISHED = 1e-4
USUAL_SUBSET = "random:0"

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MARK_BYTES = 4096  # at the beginning of a file, which holds its mark and is written first


@dataclass(frozen=True)
class StoredSetting:
    """The part of a setting that decides the last bits of the points in a file."""

    precision: str
    batch: int
    compiled: bool
    points_at_once: int
    deviation: float  # deviation of the precision from fp32 on this surface, relative
    steps: str | None  # names with commas between them; None in older files
    left_out: tuple[str, ...]  # steps, with the reasons
    center_outputs: tuple[float, ...]  # outputs for a few samples
    precision_warning: str = ""  # warning about a deviation beyond the tolerance


def pending_points(path: Path, order: np.ndarray) -> np.ndarray:
    """Return the points of a surface file that are not computed.

    Args:
        path: Surface file.
        order: All points in the order to compute them, int64 [n_points].

    Returns:
        The points of order that are not done, in that order.
    """
    with open_surface(path) as file:
        return order[file["done"][...].ravel()[order] == 0]


def computed_values(path: Path, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of a surface file, and the mask of computed points.

    Args:
        path: Surface file.
        names: Names of the quantities.

    Returns:
        Float64 [n_quantities, n_alpha, n_beta]; bool [n_alpha, n_beta].
    """
    with open_surface(path) as file:
        values = np.array([file[name][...] for name in names])
        return values, file["done"][...] == schema.COMPUTED


def check_replaceable(path: Path) -> None:
    """Check that a file may be replaced: that it is a surface file, damaged or not, or empty.

    Raises:
        InputError: If it is another file, or too damaged to identify.
    """
    if path.stat().st_size and not _has_mark(path):
        raise InputError(
            f"{path}: lacks the mark of a surface file (format = {schema.FORMAT!r}) in its first "
            f"{MARK_BYTES} bytes, so it may belong to another program, and --fresh does not "
            "replace it. Pass a new --out, or remove the file if nobody needs it."
        )


def _has_mark(path: Path) -> bool:
    """Say whether a file is, or was, a surface file."""
    with path.open("rb") as file:
        begins = file.read(MARK_BYTES)
    return begins.startswith(SIGNATURE) and schema.FORMAT.encode() in begins


def stored_setting(path: Path) -> StoredSetting:
    """Return the setting with which a surface file was started.

    Args:
        path: File to resume.
    """
    with open_surface(path) as file:
        return StoredSetting(
            precision=str(file.attrs["precision"]),
            batch=int(file.attrs["batch"]),
            compiled=file.attrs["compile"] == "on",
            points_at_once=int(file.attrs.get("points_at_once", UNSAID["points_at_once"])),
            deviation=float(file["provenance"].attrs["precision_deviation"]),
            steps=file.attrs.get("steps"),
            left_out=tuple(file.attrs.get("left_out", ())),
            center_outputs=tuple(
                float(x) for x in file["provenance"].attrs.get("center_outputs", ())
            ),
            precision_warning=str(file.attrs.get(schema.PRECISION_WARNING, "")),
        )


def stored_device_model(path: Path) -> str | None:
    """Return the models of devices that began a surface file; None if it does not say."""
    with open_surface(path) as file:
        found = file.attrs.get(DEVICE_MODEL)
        return None if found is None else str(found)


def choose_subset(path: Path, asked: str | None, *, fresh: bool) -> str:
    """Return the subset that was requested, or that of the resumed file, or the usual one.

    Args:
        path: File that the run fills.
        asked: The requested subset, or None.
        fresh: Whether an existing file is replaced.
    """
    if asked is None and path.exists() and not fresh:
        with suppress(InputError), open_surface(path) as file:  # a later check reports these
            return str(file.attrs.get("subset", UNSAID["subset"]))
    return asked or USUAL_SUBSET


def count_pending(path: Path) -> int:
    """Return the number of points of a surface file that are not computed."""
    with open_surface(path) as file:
        return int((file["done"][...] == 0).sum())


@contextmanager
def open_surface(path: Path) -> Iterator[h5py.File]:
    """Open a surface file and check it.

    Raises:
        DamagedFileError: If its checksums fail.
        InputError: If it is not a surface file, or has another version.
    """
    with open_sealed(path) as file:
        check_points(file, path)
        yield file


@contextmanager
def open_sealed(path: Path) -> Iterator[h5py.File]:
    """Open a surface file and check its constant parts.

    Raises:
        DamagedFileError: If they have changed, or HDF5 cannot read something in the file.
        InputError: If it is not a surface file, or has another version.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as problem:
        if _has_mark(path):
            raise DamagedFileError(path, f"HDF5 cannot open it ({problem})") from problem
        raise InputError(
            f"{path}: exists but is not a readable HDF5 file ({problem}), so it cannot be "
            "resumed, and it is not replaced. Pass a new --out, or remove the file if nobody "
            "needs it."
        ) from problem
    with file:
        try:
            check_contents(file, path)
            if SEAL in file:  # before any text is read
                check_seal(file, path)
            _check_format(path, file)
            yield file
        except InputError:
            raise
        except UNREADABLE as problem:
            raise DamagedFileError(path, f"HDF5 cannot read a part of it ({problem})") from problem


def _check_format(path: Path, file: h5py.File) -> None:
    found = file.attrs.get("format")
    if found != schema.FORMAT:
        raise InputError(
            f"{path}: is an HDF5 file without the mark of a surface file (format = "
            f"{schema.FORMAT!r}), so it belongs to another program and is not changed. Pass a new "
            "--out."
        )
    version = int(file.attrs.get("format_version", 0))
    written = (schema.FORMAT_VERSION, schema.ADAPTIVE_VERSION, schema.SAMPLED_VERSION)
    if version not in written:
        raise InputError(
            f"{path}: has format version {version}, but this program writes {written[0]} to "
            f"{written[-1]}. Resume it with the version of the program that started it, or pass a "
            "new --out."
        )


def check_same_surface(path: Path, content: SurfaceContent) -> None:
    """Check that a file holds the surface that is requested.

    Args:
        path: File to resume.
        content: The contents that this run would write into a new file; attributes that are not
            known yet are missing in it and are not compared.

    Raises:
        InputError: If the grid or the identity differs; the message shows both values.
    """
    axes = (("alpha", "--x", content.alpha), ("beta", "--y", content.beta))
    with open_surface(path) as file:
        for group, name, words, way_out in IDENTITY:
            if name not in content.attributes[group] and name != "problem":
                continue
            if name == DEVICE_MODEL and name not in file.attrs:
                continue
            stored = attribute_text(file[group].attrs.get(name, UNSAID.get(name)))
            asked = attribute_text(content.attributes[group].get(name))
            if "problem" in content.attributes["/"]:
                way_out = OF_PROBLEMS.get(name, way_out)
            if stored != asked:
                raise InputError(_difference(path, words, stored, asked, way_out))
        made: Any = content.attributes["provenance"].get("finished", ())
        _check_finished(path, file["provenance"].attrs.get("finished", ()), made)
        for axis, option, values in axes:
            _check_axis(path, axis, option, file[axis][...], values)
        if content.vectors and "alpha" not in file["directions"]:
            raise InputError(
                f"{path}: was started without --save-directions, and cannot be extended. Leave "
                "out the option, or pass a new --out, or --fresh to start over."
            )


def _check_finished(path: Path, stored: Sequence[float], asked: Sequence[float]) -> None:
    """Check by their results the functions that turn means into metrics; no file holds them.

    Raises:
        InputError: If the finished values of the first batch differ.
    """
    before, now = np.array(stored, dtype=float), np.array(asked, dtype=float)
    is_same = before.shape == now.shape
    if is_same and np.allclose(now, before, rtol=SAME_FINISHED, atol=0, equal_nan=True):
        return
    shown, wanted = (", ".join(f"{x:.6g}" for x in values) or "none" for values in (before, now))
    raise InputError(
        f"{path}: was started with functions that finish the metrics of the first batch as "
        f"{shown} at the center, but those of this run give {wanted}. Give the metrics their "
        "original functions, or pass a new --out, or --fresh to start over."
    )


def attribute_text(value: object) -> str:
    """Return an attribute in its form on the command line."""
    if value is None:
        return "none"
    if isinstance(value, (list, tuple, np.ndarray)):
        return ",".join(attribute_text(item) for item in value)
    return repr(float(value)) if isinstance(value, float) else str(value)


def _difference(path: Path, words: str, stored: str, asked: str, way_out: str) -> str:
    shown, wanted = (text[:16] if "SHA-256" in words else text for text in (stored, asked))
    return (
        f"{path}: was computed with {words.format(shown)}, but this run requests "
        f"{words.format(wanted)}. A resumed run must be the same run: {way_out.format(stored)}, "
        "or a new --out, or --fresh to start over."
    )


def _check_axis(path: Path, axis: str, option: str, stored: np.ndarray, asked: np.ndarray) -> None:
    if stored.shape == asked.shape and np.array_equal(stored, asked):
        return
    raise InputError(
        f"{path}: axis {axis} has {_axis_words(stored)}, but {option} requests "
        f"{_axis_words(asked)}. A resumed run needs the same grid: pass "
        f"{_axis_option(option, stored)}, or a new --out, or --fresh to start over."
    )


def _axis_words(values: np.ndarray) -> str:
    n = len(values)
    first, last = float(values[0]), float(values[-1])
    return f"{n} point{'s' if n > 1 else ''} from {first!r} to {last!r}"


def _axis_option(option: str, values: np.ndarray) -> str:
    first, last = float(values[0]), float(values[-1])
    return (
        f"{option}={first!r}" if len(values) == 1 else f"{option}={first!r}:{last!r}:{len(values)}"
    )
