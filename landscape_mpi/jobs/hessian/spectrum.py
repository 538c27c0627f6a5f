"""Compute leading eigenvectors, trace and density at one point, on all ranks together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from landscape_mpi.cluster.communicator import ROOT, Ranks, SharedInputError
from landscape_mpi.compute import spectrum
from landscape_mpi.compute.directions import norm
from landscape_mpi.compute.lanczos import find_ends
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.engine import provenance
from landscape_mpi.engine.direction_kind import AXES
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.hessian.hessian_plan import HessianPlan
from landscape_mpi.jobs.hessian.points import PointSolver
from landscape_mpi.jobs.hessian.request import HessianRequest
from landscape_mpi.store.spectrum import Spectrum, write_spectrum

N_DENSITY = 5  # number of random starts of the density
TRACE_PRODUCTS = 60
FIRST_SEED = 1000  # seed of the drawn vectors, different from the seed of points


def compute_spectrum(
    ranks: Ranks,
    plan: HessianPlan,
    inputs: SharedInputs,
    solver: PointSolver,
    asked: HessianRequest,
) -> None:
    """Compute the spectrum at a point, and write it. Collective over the ranks.

    Args:
        ranks: All ranks of the run; they share every product.
        plan: Plan of the run.
        inputs: Inputs of this rank.
        solver: Solver of this rank.
        asked: Request of the point and the parts of the spectrum.

    Raises:
        SharedInputError: If the eigenvalues are not found.
    """
    place = asked.spectrum.spectrum or (0.0, 0.0)
    out, problem = asked.spectrum_out, None

    def work() -> None:
        nonlocal problem
        try:
            found, vectors = _spectrum(plan, inputs, solver, place, asked.spectrum.top)
            write_spectrum(out, found, vectors)
        except InputError as error:
            problem = str(error)
        else:
            _say(found, out)

    solver.lead(*place, work)
    problem = ranks.comm.bcast(problem, root=ROOT)
    if problem is not None:
        raise SharedInputError(problem)


def _spectrum(
    plan: HessianPlan,
    inputs: SharedInputs,
    solver: PointSolver,
    place: tuple[float, float],
    top: int,
) -> tuple[Spectrum, list[dict[str, np.ndarray]]]:
    plane, multiply = solver.plane, solver.multiply

    def draw(i: int) -> torch.Tensor:
        return random_vector(plane, FIRST_SEED + i)

    how = {"tolerance": plan.tolerance, "max_products": plan.max_products}
    ends = find_ends(multiply, draw(0), n_basis=solver.n_basis, **how)  # type: ignore[arg-type]
    print(f"ends: {ends.least.value:.6g} and {ends.greatest.value:.6g}", flush=True)
    pairs = spectrum.leading_pairs(multiply, draw(0), k=top, **how)  # type: ignore[arg-type]
    trace = spectrum.trace(multiply, plane.n_parameters, n_products=TRACE_PRODUCTS, draw=draw)
    density = spectrum.density(multiply, n_vectors=N_DENSITY, n_steps=solver.n_basis, draw=draw)
    attributes = {
        **plan.identity,
        "surface": str(plan.path),
        "loss_units": plan.surface.subject.fields[0].units,
        "alpha": place[0],
        "beta": place[1],
        "n_parameters": plane.n_parameters,
        "hessian_min": ends.least.value,
        "hessian_max": ends.greatest.value,
        "trace": trace.value,
        "trace_deviation": trace.deviation,
        "density_width": density.width,
        **provenance.made_by("landscape_mpi.hessian"),
    }
    for axis in AXES:
        curvature = _curvature(plane, inputs, solver, axis)
        if curvature is not None:
            attributes[f"curvature_{axis}"] = curvature
    found = Spectrum(pairs.values, pairs.residuals, density.places, density.density, attributes)
    return found, [plane.by_parameter(torch.from_numpy(vector)) for vector in pairs.vectors]


def _curvature(
    plane: HessianPlane, inputs: SharedInputs, solver: PointSolver, axis: str
) -> float | None:
    """Return d . H d / d . d of a direction; None if it moves none of these parameters."""
    vector = plane.flat(inputs.directions[axis])
    square = float(vector.double() @ vector.double())
    if square == 0 or norm(inputs.directions[axis]) == 0:
        return None
    return float(vector.double() @ solver.multiply(vector)) / square


def _say(found: Spectrum, out: Path) -> None:
    known = found.attributes
    n = int(str(known["n_parameters"]))
    values = ", ".join(f"{value:.4g}" for value in found.eigenvalue)
    mean = float(str(known["trace"])) / n
    lines = [
        f"largest eigenvalues: {values}",
        f"trace: {known['trace']:.6g} +- {known['trace_deviation']:.2g}, {mean:.3g} for each of "
        f"the {n:,} parameters",
    ]
    for axis in AXES:
        if f"curvature_{axis}" in known:
            lines.append(
                f"curvature along {axis}: {known[f'curvature_{axis}']:.4g}, a weighted mean of all "
                f"eigenvalues"
            )
    lines.append(
        f"done: {out}; next: {typed('plot')} --spectrum {out}, or "
        f"{typed('surface')} --directions {out} for the plane of the two leading eigenvectors"
    )
    print("\n".join(lines), flush=True)
