"""Make the plane through a curve's start and two other points, and project the curve onto it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.compute import directions
from landscape_mpi.compute.curve import weights_at
from landscape_mpi.compute.directions import Direction, inner, norm
from landscape_mpi.compute.interpolation import difference, place_in_plane, turned_orthogonal
from landscape_mpi.engine import provenance
from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.curve.request import CurvePlaneRequest
from landscape_mpi.jobs.curve.statistics import other_statistics
from landscape_mpi.output import check_output
from landscape_mpi.short_names import short_names
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.plane_file import PlaneContent, check_plane_replaceable, write_plane
from landscape_mpi.zoo.curve_file import PROBLEM, CurveFile, read_curve

N_PLACES = 121  # number of places of the curve in the file


@dataclass(frozen=True)
class SpannedPlane:
    """Hold two orthogonal directions of length 1, and the curve's points minus its start."""

    vectors: dict[str, Direction]  # directions by axis
    moved: list[Direction]  # difference of each point from the start
    names: tuple[str, ...]  # names of the tensors that move


def make_plane(asked: CurvePlaneRequest) -> None:
    """Make the requested plane file, and print its content. Local."""
    found, curve, through = write_curve_plane(asked)
    _say(asked, found, curve, through)


def write_curve_plane(
    asked: CurvePlaneRequest,
) -> tuple[CurveFile, PlaneCurve, tuple[int, int]]:
    """Make the requested plane file. Local.

    Returns:
        File of the curve, coordinates of the curve in the plane, and points that the plane
        contains.
    """
    check_output(asked.out, inputs=[asked.curve])
    check_plane_replaceable(asked.out)
    found = read_curve(asked.curve)
    through = _choose_points(asked, len(found.content.points))
    plane = _span(found, through)
    curve = _project(found, plane, through)
    attributes: dict[str, dict[str, object]] = {
        "directions": {
            "source": f"{found.content.kind}, {asked.curve}",
            "sha256": directions.digest(*plane.vectors.values()),
            "norm_alpha": norm(plane.vectors["alpha"]),
            "norm_beta": norm(plane.vectors["beta"]),
            "cosine": directions.cosine(plane.vectors["alpha"], plane.vectors["beta"]),
        },
        "provenance": {
            **provenance.made_by("landscape_mpi.curve"),
            "written": provenance.now(),
            "curve": str(asked.curve),
            "curve_file_sha256": found.checkpoint.sha256,
        },
    }
    write_plane(asked.out, PlaneContent(plane.vectors, curve, attributes))
    return found, curve, through


def _choose_points(asked: CurvePlaneRequest, n_points: int) -> tuple[int, int]:
    """Return the two points besides the start.

    Raises:
        InputError: If the curve has no such points.
    """
    if n_points < 3:
        raise InputError(
            f"{asked.curve}: has both ends but no bend, so it is a line and does not span a plane. "
            "Train one with --bends 3 or more."
        )
    through = asked.through or (n_points - 1, (n_points - 1) // 2)
    if max(through) >= n_points:
        raise InputError(
            f"--through {through[0]},{through[1]}: {asked.curve} has the points 0, its start, to "
            f"{n_points - 1}, its end. Name two of them other than 0."
        )
    return through


def _span(found: CurveFile, through: tuple[int, int]) -> SpannedPlane:
    """Return the plane, by Gram-Schmidt.

    Raises:
        InputError: If the three points lie on a line.
    """
    names = found.content.trained
    points = [{name: point[name].numpy() for name in names} for point in found.content.points]
    moved = [difference(points[0], point, names) for point in points]
    first, second = (moved[k] for k in through)
    if not norm(first) or not norm(second):
        raise InputError(
            f"{found.path}: some of its points are equal, so they do not span a plane. Train the "
            "curve, or pass --through with other points."
        )
    alpha = _of_length_1(first, names, points[0])
    try:
        beta = turned_orthogonal(second, alpha, length=1.0)
    except InputError as problem:
        raise InputError(
            f"{found.path}: its points 0, {through[0]} and {through[1]} lie on a line, as before "
            "training, so they do not span a plane. Train it, or pass --through with other points."
        ) from problem
    return SpannedPlane({"alpha": alpha, "beta": beta}, moved, names)


def _of_length_1(
    direction: Direction, names: tuple[str, ...], like: dict[str, np.ndarray]
) -> Direction:
    length = norm(direction)
    return {
        name: (direction[name] / length).astype(np.float32)
        if name in direction
        else np.zeros_like(like[name])
        for name in names
    }


def _project(found: CurveFile, plane: SpannedPlane, through: tuple[int, int]) -> PlaneCurve:
    """Project the curve and its points onto the plane, by least squares."""
    content = found.content
    alpha, beta = plane.vectors["alpha"], plane.vectors["beta"]
    bends = np.array([place_in_plane(point, alpha, beta) for point in plane.moved])
    squares = np.array([[inner(a, b) for b in plane.moved] for a in plane.moved])
    gram = np.array([[inner(a, b) for b in (alpha, beta)] for a in (alpha, beta)])
    t = np.linspace(0.0, 1.0, N_PLACES)
    weights = np.stack([weights_at(content.kind, len(bends), place) for place in t])
    start = {name: content.points[0][name].numpy() for name in plane.names}
    columns = {"t": t, **_columns(weights, bends, squares, gram)}
    own = _columns(np.eye(len(bends)), bends, squares, gram)
    names = short_names([content.record["start"], content.record["end"]])
    attributes = {
        "kind": content.kind,
        "through": list(through),
        "center": str(found.path),
        "center_sha256": directions.digest(start),
        "start": names[0],
        "end": names[1],
        "label_alpha": f"distance from the start towards {_words(through[0], len(bends))}",
        "label_beta": f"towards {_words(through[1], len(bends))}, orthogonal",
    }
    return PlaneCurve(columns, {f"bend_{name}": v for name, v in own.items()}, attributes)


def _columns(
    weights: np.ndarray, bends: np.ndarray, squares: np.ndarray, gram: np.ndarray
) -> dict[str, np.ndarray]:
    """Return coordinates and residuals of weighted sums of the points.

    Args:
        weights: Weights, [n, n_points].
        bends: Coordinates of the points, [n_points, 2].
        squares: Inner products of the points minus the start, [n_points, n_points].
        gram: Inner products of the directions, [2, 2].
    """
    places = weights @ bends
    whole = np.einsum("ik,kl,il->i", weights, squares, weights)
    within = np.einsum("ik,kl,il->i", places, gram, places)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.nan_to_num(np.maximum(whole - within, 0.0) / whole, nan=0.0)
    return {"alpha": places[:, 0], "beta": places[:, 1], "residual": np.sqrt(share)}


def _words(number: int, n_points: int) -> str:
    if number == n_points - 1:
        return "the end"
    return "the bend" if n_points == 3 else f"bend {number}"


def _say(
    asked: CurvePlaneRequest, found: CurveFile, curve: PlaneCurve, through: tuple[int, int]
) -> None:
    identity = found.content.identity
    (low_a, high_a), (low_b, high_b) = curve.extent()
    measured = "--batch-norm reestimate "
    if PROBLEM in identity:
        measured *= other_statistics(found.content.points)
        subject = f"{measured}--problem {identity[PROBLEM]}"
    else:
        subject = f"{measured}--model {identity['model']} --data {identity['data']}"
    print(
        f"{asked.curve}: {found.content.kind} of {len(curve['bend_alpha'])} points; the plane "
        f"through points 0, {through[0]} and {through[1]}: alpha {low_a:.4g} to {high_a:.4g}, beta "
        f"{low_b:.4g} to {high_b:.4g}, residual of the curve up to {curve['residual'].max():.3f}\n"
        f"done: {asked.out}; next: {typed('surface')} --directions {asked.out} "
        f"--checkpoint {asked.curve} {subject} ...",
        flush=True,
    )
