"""Handle the tolerance of a surface of which not every point is computed."""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.engine.adaptive.units import UNITS
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import SurfaceRequest
from landscape_mpi.store.schema import ADAPTIVE, ADAPTIVE_OFFSET


def tolerance_of(asked: SurfaceRequest) -> Tolerance | None:
    """Return the tolerance of interpolated losses; None if all points are computed.

    Raises:
        InputError: If it conflicts with another option.
    """
    if asked.adaptive is None:
        if asked.adaptive_unit is not None:
            raise InputError(
                f"--adaptive-unit {asked.adaptive_unit}: applies only to --adaptive, which is not "
                "given, so every point is computed. Pass --adaptive too, or leave it out."
            )
        return None
    if asked.plane.repeats is not None:
        raise InputError(
            f"--adaptive {asked.adaptive:g}: interpolates between neighbours, but the "
            f"{asked.plane.repeats} lines of --repeats are not neighbours of each other. Leave "
            "out one of the two."
        )
    return Tolerance(asked.adaptive, asked.adaptive_unit or UNITS[0])


def describe_tolerance(tolerance: Tolerance | None) -> dict[str, object]:
    """Return the attributes of a file that describe the tolerance."""
    if tolerance is None:
        return {ADAPTIVE: "none"}
    described: dict[str, object] = {ADAPTIVE: tolerance.value, "adaptive_unit": tolerance.unit}
    if tolerance.unit == UNITS[0]:
        known = tolerance.offset is not None
        described[ADAPTIVE_OFFSET] = tolerance.offset if known else "a power of ten"
    return described


def for_unit(tolerance: Tolerance | None, unit: str) -> Tolerance | None:
    """Return a tolerance that suits the unit of the loss.

    Args:
        tolerance: The tolerance.
        unit: Unit of the loss. If it is not nat, no single offset suits all losses.
    """
    if tolerance is None or unit == "nat":
        return tolerance
    return replace(tolerance, offset=None)
