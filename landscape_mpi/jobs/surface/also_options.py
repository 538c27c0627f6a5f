"""Check which options go with quantities besides loss and error."""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.subject import Subject
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import SurfaceRequest


def check_also(asked: SurfaceRequest) -> None:
    """Check that no option conflicts with further quantities.

    Raises:
        InputError: If something is.
    """
    if not asked.also:
        return
    evaluation, repeats = asked.evaluation, asked.plane.repeats
    others = {
        f"--precision {evaluation.precision}": (
            evaluation.precision != "fp32",
            "they are computed in the type of the weights",
        ),
        f"--ranks-per-point {evaluation.ranks_per_point}": (
            (evaluation.ranks_per_point or 1) > 1,
            "each point is computed on one rank, so that its bits do not depend on the number of "
            "ranks",
        ),
        f"--points-at-once {evaluation.points_at_once}": (
            (evaluation.points_at_once or 1) > 1,
            "they are computed one point at a time",
        ),
        f"--repeats {repeats}": (repeats is not None, "they are known for a plane or one line"),
        "--batch-norm reestimate": (
            asked.batch_norm == "reestimate",
            "its statistics depend on the weights in a way that derivatives here ignore",
        ),
    }
    for option, (is_given, why) in others.items():
        if is_given:
            raise InputError(
                f"--also {','.join(asked.also)}: cannot be combined with {option}: {why}. Leave "
                "out one of the two."
            )


def subject_of(asked: SurfaceRequest, inputs: Inputs | ProblemInputs) -> Subject:
    """Return the subject of the evaluation, with the further quantities.

    Args:
        asked: Which ones.
        inputs: Network and data, or a problem.

    Raises:
        InputError: If one has the name of a metric.
    """
    subject = replace(inputs.subject, also=asked.also)
    names = subject.quantities
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(
            f"--also {','.join(asked.also)}: {twice[0]} is also the name of a metric of the "
            "problem. Leave it out, or give the metric another name."
        )
    return subject
