"""Convert a surface to an xarray dataset: values over alpha and beta, and trajectories.

Runs have different numbers of checkpoints. Their columns are padded with NaN, the incomplete
multidimensional array representation of the CF conventions, section 9.3.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape_mpi.store.plane_curve import BENDS, PlaneCurve
from landscape_mpi.store.plane_curve import COLUMNS as CURVE_COLUMNS
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.sampling_fields import N_SAMPLES, STANDARD_ERROR
from landscape_mpi.store.schema import ESTIMATE
from landscape_mpi.store.solution_marks import Mark
from landscape_mpi.store.trajectory import COLUMNS as RUN_COLUMNS
from landscape_mpi.store.trajectory import COMPONENTS, TEXTS, Trajectories
from landscape_mpi.views.optional_packages import import_optional

if TYPE_CHECKING:
    import xarray

PLANE = ("alpha", "beta")
Variable = tuple[Any, Any, dict[str, str]]  # dimensions, values, attributes


def make_dataset(surface: Surface) -> xarray.Dataset:
    """Return a surface as a dataset, with names and units of the file.

    Args:
        surface: Surface as read; NaN where nothing is computed yet.
    """
    about = {name: _about(surface.units[name], words) for name, words in surface.long_names.items()}
    variables: dict[str, Variable] = {
        name: (PLANE, values.copy(), about[name]) for name, values in surface.values.items()
    }
    variables["done"] = (PLANE, surface.done.copy(), _about("1", "whether the point has a value"))
    variables |= _of_interpolation(surface) | _of_sampling(surface)
    coordinates: dict[str, Variable] = {
        name: (name, axis.copy(), about[name])
        for name, axis in zip(PLANE, (surface.alpha, surface.beta), strict=True)
    }
    if surface.trajectories is not None:
        variables |= _of_trajectories(surface.trajectories)
        coordinates["run"] = _names("run", [run.name for run in surface.trajectories.runs])
    if surface.curve is not None:
        variables |= _of_curve(surface.curve)
        coordinates["t"] = ("t", surface.curve["t"].copy(), _about("1", CURVE_COLUMNS["t"]))
    if surface.marks:
        variables |= _of_marks(surface.marks)
        coordinates["mark"] = _names("mark", [mark.name for mark in surface.marks])
    dataset = import_optional("xarray", what="to_xarray").Dataset(
        variables, coordinates, {name: _plain(x) for name, x in surface.attributes.items()}
    )
    dataset.encoding["source"] = str(surface.path)
    return dataset


def _about(units: str, long_name: str) -> dict[str, str]:
    return {"units": units, "long_name": long_name}


def _of_interpolation(surface: Surface) -> dict[str, Variable]:
    """Return which points are interpolated, and how far off they may be."""
    found = surface.interpolation
    if found is None:
        return {}
    words = "whether the point is interpolated, not computed"
    variables: dict[str, Variable] = {"interpolated": (PLANE, found.points, _about("1", words))}
    for name, errors in found.errors.items():
        about = _about(surface.units[name], f"estimated error of the interpolated {name}")
        variables[f"{name}{ESTIMATE}"] = (PLANE, errors, about)
    return variables


def _of_sampling(surface: Surface) -> dict[str, Variable]:
    """Return the numbers of samples taken, and the standard errors of the estimates."""
    found = surface.sampling
    if found is None:
        return {}
    variables: dict[str, Variable] = {
        f"{split}_{N_SAMPLES}": (PLANE, n, _about("1", f"{found.noun} taken at the point"))
        for split, n in found.n_samples.items()
    }
    for name, errors in found.errors.items():
        words = f"standard error of {name}; 1.96 times this covers the error in 95 % of cases"
        about = _about(found.units[name], words)
        variables[f"{name}{STANDARD_ERROR}"] = (PLANE, errors, about)
    return variables


def _names(dimension: str, names: list[str]) -> Variable:
    return (dimension, np.array(names), _about("1", "its name"))


def _of_trajectories(trajectories: Trajectories) -> dict[str, Variable]:
    runs = trajectories.runs
    over = ("run", "checkpoint")
    found: dict[str, Variable] = {}
    for name, (units, long_name) in RUN_COLUMNS.items():
        values = _padded([run[name] for run in runs], np.nan)
        found[f"trajectory_{name}"] = (over, values, _about(units, long_name))
    for name, long_name in TEXTS.items():
        texts = [np.array(run.texts[name], dtype=np.str_) for run in runs]
        found[f"trajectory_{name}"] = (over, _padded(texts, ""), _about("1", long_name))
    n = max(run.components.shape[1] for run in runs)
    wide = [_padded_columns(run.components, n) for run in runs]
    components = _padded(wide, np.nan)
    found["trajectory_components"] = ((*over, "component"), components, _about("1", COMPONENTS))
    return found


def _padded(rows: list[np.ndarray], filling: float | str) -> np.ndarray:
    """Return rows of different lengths as one array [n_rows, most, ...]."""
    most = max(len(row) for row in rows)
    dtype = np.result_type(*rows)
    found = np.full((len(rows), most, *rows[0].shape[1:]), filling, dtype=dtype)
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found


def _padded_columns(table: np.ndarray, n: int) -> np.ndarray:
    return np.pad(table, ((0, 0), (0, n - table.shape[1])), constant_values=np.nan)


def _of_curve(curve: PlaneCurve) -> dict[str, Variable]:
    found: dict[str, Variable] = {
        f"curve_{name}": ("t", curve[name].copy(), _about("1", long_name))
        for name, long_name in CURVE_COLUMNS.items()
        if name != "t"
    }
    for name, long_name in BENDS.items():
        found[f"curve_{name}"] = ("bend", curve[name].copy(), _about("1", long_name))
    return found


def _of_marks(marks: tuple[Mark, ...]) -> dict[str, Variable]:
    columns: Mapping[str, list[float]] = {
        "alpha": [mark.alpha for mark in marks],
        "beta": [mark.beta for mark in marks],
    }
    words = {"alpha": "first", "beta": "second"}
    return {
        f"mark_{name}": (
            "mark",
            np.array(values),
            _about("1", f"coordinate of the solution along the {words[name]} direction"),
        )
        for name, values in columns.items()
    }


def _plain(value: Any) -> Any:
    """Return an attribute in a form that xarray can write: lists of texts instead of objects."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OS":
        return [x.decode() if isinstance(x, bytes) else str(x) for x in value.ravel()]
    return value
