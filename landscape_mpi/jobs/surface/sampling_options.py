"""The rule of a surface whose values are estimated from a part of the samples."""

from __future__ import annotations

import math
from dataclasses import replace

from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.sampling.order import LEAST, ORDER_SEED
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.request import SurfaceRequest
from landscape_mpi.store.loss_offset import IN_NAT
from landscape_mpi.store.sampling_fields import ATOL, GUESS, N_ALL, NOUN, RTOL, SAMPLING

WELL_BELOW = 0.5  # of --adaptive: the largest standard error that does not look like a surface


def rule_of(asked: SurfaceRequest) -> SamplingRule | None:
    """Return the rule by which the samples of a point suffice; None if all are taken.

    Args:
        asked: The request.

    Raises:
        InputError: If it cannot be combined with another option of the request.
    """
    if asked.rtol is None and asked.atol is None:
        return None
    rule = SamplingRule(asked.rtol or 0.0, asked.atol or 0.0)
    if asked.batch_norm == "reestimate":
        raise InputError(
            f"{_options(rule)} cannot be combined with --batch-norm reestimate, which measures its "
            f"statistics on all samples at each point. Leave one of the two out."
        )
    if asked.also:
        raise InputError(
            f"{_options(rule)} cannot be combined with --also {','.join(asked.also)}, which needs "
            f"all samples. Leave one of the two out."
        )
    if (asked.evaluation.points_at_once or 1) > 1:
        raise InputError(
            f"{_options(rule)} cannot be combined with --points-at-once "
            f"{asked.evaluation.points_at_once}, because points take different numbers of samples. "
            f"Leave one of the two out."
        )
    return rule


def with_noise(tolerance: Tolerance | None, rule: SamplingRule | None) -> Tolerance | None:
    """Return a tolerance that knows how noisy computed values are.

    Raises:
        InputError: If a standard error may be more than half of the tolerance, or if its size in
            the unit of the tolerance is not known.
    """
    if tolerance is None or rule is None:
        return tolerance
    if tolerance.offset is None and tolerance.unit != "nat" and rule.atol > 0:
        raise InputError(
            f"{_options(rule)} cannot be combined with --adaptive {tolerance.text} for a loss "
            f"whose unit is not nat: how many decades an error of {rule.atol:g} is depends on the "
            "losses, which are not known yet. Leave out --atol, or pass --adaptive-unit nat (here "
            "the unit of the loss) and --rtol 0."
        )
    _check_noise(rule, tolerance)
    return replace(tolerance, noise=_noise(rule, tolerance))


def _noise(rule: SamplingRule, tolerance: Tolerance) -> float:
    """Return the largest standard error that a rule allows, in the unit of a tolerance."""
    if tolerance.unit == "nat":
        return rule.atol if rule.rtol == 0 else math.inf
    # The error of log10(loss + offset) is largest at a loss of 0 or of infinity.
    return max(rule.rtol, rule.atol / (tolerance.offset or IN_NAT)) / math.log(10)


def _check_noise(rule: SamplingRule, tolerance: Tolerance) -> None:
    """Refuse a rule whose errors --adaptive could take for the surface and refine.

    Raises:
        InputError: If a standard error may be more than half of the tolerance.
    """
    most = WELL_BELOW * tolerance.value
    if _noise(rule, tolerance) <= most:
        return
    rtol = most * math.log(10)
    ways_out = f"at most --rtol {_below(rtol)}"
    if tolerance.offset is not None:
        ways_out += f" --atol {_below(tolerance.offset * rtol)}"
    larger = ", or a larger --adaptive"
    if tolerance.unit == "nat":
        without = " without --atol" if tolerance.offset is None else ""
        ways_out = f"--rtol 0 with --atol {most:g} or less, or --adaptive-unit decades{without}"
        larger = "" if rule.rtol else larger  # with --rtol, a large loss may have any error
    raise InputError(
        f"{_options(rule)} allow a standard error above half of --adaptive {tolerance.text}, so "
        f"the noise of the samples would be refined. Pass {ways_out}{larger}."
    )


def _below(number: float) -> str:
    """Return a number with two digits that is not above it."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.floor(number / unit) * unit:.2g}"


def _options(rule: SamplingRule) -> str:
    return f"--rtol {rule.rtol:g} --atol {rule.atol:g}"


def check_samples(rule: SamplingRule | None, inputs: Inputs | ProblemInputs) -> None:
    """Check that the error of each quantity of a problem follows from those of its batches.

    Raises:
        InputError: If a metric is a function of a mean.
    """
    if rule is None or not isinstance(inputs, ProblemInputs):
        return
    for function in inputs.problem.functions:
        if function.finish is not None:
            raise InputError(
                f"{_options(rule)}: the standard error of metrics[{function.name!r}] is not known, "
                f"because a function changes its mean afterwards. Leave out this function, or "
                f"leave out --rtol and --atol."
            )


def describe_rule_of(plan: Plan) -> dict[str, object]:
    """Return the attributes of a file that say which samples are taken."""
    if plan.sampling is None:
        return {SAMPLING: "all"}
    n_all = {f"{N_ALL}{split}": n for split, n in plan.subject.n_samples.items()}
    words = f"random order {ORDER_SEED} in portions that double from {LEAST} on"
    counted = {} if math.isinf(plan.subject.guessed) else {GUESS: "one target as bad as a guess"}
    return {
        SAMPLING: words,
        **counted,
        NOUN: plan.subject.noun,
        RTOL: plan.sampling.rtol,
        ATOL: plan.sampling.atol,
        **n_all,
    }
