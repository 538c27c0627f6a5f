"""Check which options of a surface go with a problem."""

from __future__ import annotations

from landscape_mpi.engine.problem_options import check_of_problem
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import SurfaceRequest


def check_goes_with_problem(asked: SurfaceRequest) -> None:
    """Check that no option asks for something that a problem decides itself, or cannot do.

    Raises:
        InputError: If one does.
    """
    evaluation = asked.evaluation
    others = {
        "--batch": evaluation.batch,
        "--compile on": evaluation.compile == "on",
        "--points-at-once": (evaluation.points_at_once or 1) > 1,
        f"--precision {evaluation.precision}": evaluation.precision not in {"fp32", "auto"},
    }
    check_of_problem(asked.inputs, others)
    kinds = (asked.plane.x_direction, asked.plane.y_direction)
    if any(kind is not None and kind.name == "gradient" for kind in kinds):
        raise InputError(
            "--x-direction gradient is available only for networks of --model. Choose another "
            "direction."
        )
