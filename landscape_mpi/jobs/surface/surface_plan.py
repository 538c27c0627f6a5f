"""Make the plan of a surface: read and check it on rank 0, and send it to every rank."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute import directions
from landscape_mpi.compute.batch_norm import layers_with_statistics
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.ties import tied_names
from landscape_mpi.compute.weight_decay import weight_decay_term
from landscape_mpi.engine import provenance
from landscape_mpi.engine.grid import check_number_of_points
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.plan import Plan, RootInputs, as_begun, plan_on_root
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.problem_options import evaluation_of_problem
from landscape_mpi.engine.request import Evaluation, FileRequest
from landscape_mpi.engine.sampling.progress import check_tolerances, with_progress
from landscape_mpi.engine.subject_inputs import data_with_subset, read_subject
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.adaptive_options import describe_tolerance, for_unit, tolerance_of
from landscape_mpi.jobs.surface.also_options import check_also, subject_of
from landscape_mpi.jobs.surface.plane_directions import PlaneDirections, choose_directions
from landscape_mpi.jobs.surface.problem_options import check_goes_with_problem
from landscape_mpi.jobs.surface.projected_path import choose_grid, path_on_surface
from landscape_mpi.jobs.surface.request import SurfaceRequest
from landscape_mpi.jobs.surface.sampling_options import (
    check_samples,
    describe_rule_of,
    rule_of,
    with_noise,
)
from landscape_mpi.output import OutputLock, check_output
from landscape_mpi.store import schema
from landscape_mpi.store.creation import REPEATS, Attributes, SurfaceContent
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.repair import describe_repair, repair_points
from landscape_mpi.store.resume import (
    StoredSetting,
    check_replaceable,
    check_same_surface,
    count_pending,
    stored_setting,
)
from landscape_mpi.zoo.own_network import float_types


def read_plan(ranks: Ranks, asked: SurfaceRequest) -> tuple[Plan, RootInputs | None]:
    """Read and check every input on rank 0. Collective over the ranks.

    Returns:
        The plan, on every rank; the data that rank 0 has read, on rank 0.
    """
    return plan_on_root(ranks, lambda: _read_on_root(asked))


def _read_on_root(asked: SurfaceRequest) -> tuple[Plan, RootInputs]:
    if asked.inputs.problem is not None:
        check_goes_with_problem(asked)
    _check_tolerance(asked.evaluation)
    _check_batch_norm(asked)
    _check_points_at_once(asked)
    check_also(asked)
    tolerance = tolerance_of(asked)
    rule = rule_of(asked)
    file, wanted = asked.file, asked.inputs
    alpha, beta = choose_grid(asked.plane)
    check_output(file.out, inputs=[*wanted.files, *asked.plane.files])
    if file.out.exists() and file.fresh:
        check_replaceable(file.out)
    if file.repair:
        _repair(file)
    asked = replace(asked, inputs=replace(wanted, data=data_with_subset(wanted, file)))
    inputs = read_subject(asked.inputs)
    check_samples(rule, inputs)
    found = choose_directions(asked, inputs, alpha, beta)
    if asked.plane.repeats is not None:
        check_number_of_points(len(alpha), asked.plane.repeats, option="--repeats")
        beta = np.arange(asked.plane.repeats, dtype=np.float64)
    plan = _plan(asked, alpha, beta, inputs, found)
    tolerance = with_noise(for_unit(tolerance, plan.subject.loss_units), rule)
    plan = replace(plan, tolerance=tolerance, sampling=rule)
    path = path_on_surface(asked, inputs.state, found.vectors)
    content = replace(_content(asked, plan, inputs, found), path=path)
    if isinstance(path, PlaneCurve):
        content = replace(content, marks=path.marks())
    if file.resumes:
        check_same_surface(file.out, content)
        check_tolerances(plan)
        plan = with_progress(plan)
    arrays = inputs.arrays() | found.arrays()
    return plan, RootInputs(arrays, content, file.fresh, file.accept_device, found.layers)


def _repair(file: FileRequest) -> None:
    """Mark damaged points of the file as not computed, and print them.

    Raises:
        InputError: If there is no such file, or another run is writing it.
    """
    if not file.resumes:
        raise InputError(
            f"--repair: recomputes damaged points of {file.out}, but "
            f"{'--fresh replaces it' if file.fresh else 'there is no such file'}. Leave out one "
            "of the two."
        )
    lock = OutputLock(file.out)
    try:
        print(describe_repair(file.out, repair_points(file.out)), flush=True)
    finally:
        lock.release()


def _check_tolerance(asked: Evaluation) -> None:
    if asked.tolerance is not None and asked.precision == "fp32":
        raise InputError(
            f"--tolerance {asked.tolerance:g}: limits the deviation of another --precision from "
            "fp32, but --precision is fp32. Leave out --tolerance, or pass --precision auto."
        )


def _check_batch_norm(asked: SurfaceRequest) -> None:
    splits, evaluation = asked.inputs.data.splits or (), asked.evaluation
    if asked.batch_norm == "move" and not asked.plane.goes_to_checkpoint:
        raise InputError(
            "--batch-norm move: moves the running statistics to those of another checkpoint, but "
            "--to names none. Pass --to, or --batch-norm fixed or reestimate."
        )
    if asked.batch_norm != "reestimate":
        return
    if "train" not in splits:
        raise InputError(
            "--batch-norm reestimate: measures on the training set, but --splits "
            f"{','.join(splits)} leaves it out. Pass --splits train,test."
        )
    if evaluation.compile == "on":
        raise InputError(
            "--batch-norm reestimate: changes how the layers compute, which is impossible in "
            "compiled code. Leave out --compile."
        )
    if (evaluation.ranks_per_point or 1) > 1:
        raise InputError(
            "--batch-norm reestimate: needs the whole training set on one rank, but "
            f"--ranks-per-point {evaluation.ranks_per_point} divides it. Pass --ranks-per-point 1."
        )


def _check_points_at_once(asked: SurfaceRequest) -> None:
    evaluation = asked.evaluation
    if (evaluation.points_at_once or 1) == 1:
        return
    others = {
        "--ranks-per-point": (evaluation.ranks_per_point or 1) > 1 and evaluation.ranks_per_point,
        "--repeats": asked.plane.repeats,
        "--batch-norm": asked.batch_norm == "reestimate" and "reestimate",
        "--compile": evaluation.compile == "on" and "on",
    }
    for option, value in others.items():
        if value:
            raise InputError(
                f"--points-at-once {evaluation.points_at_once}: stacks the weights of several "
                f"points on one rank, and cannot be combined with {option} {value}. Leave out one "
                "of the two."
            )


def _plan(
    asked: SurfaceRequest,
    alpha: np.ndarray,
    beta: np.ndarray,
    inputs: Inputs | ProblemInputs,
    found: PlaneDirections,
) -> Plan:
    begun, n_pending = None, len(alpha) * len(beta)
    if asked.file.resumes:
        # The settings at the start of a run determine its last bits.
        begun = stored_setting(asked.file.out)
        if asked.rtol is None and asked.atol is None:  # else computed points may take more samples
            n_pending = count_pending(asked.file.out)
        if asked.evaluation.precision == "auto":
            _check_deviation(asked.file.out, begun, asked.evaluation.largest_deviation)
    return Plan(
        out=asked.file.out,
        alpha=alpha,
        beta=beta,
        subject=subject_of(asked, inputs),
        n_pending=n_pending,
        evaluation=_evaluation(asked, begun),
        rounds=asked.rounds,
        directions=found.known(asked.plane.repeats),
        reestimates=asked.batch_norm == "reestimate",
        begun=begun,
    )


def _evaluation(asked: SurfaceRequest, begun: StoredSetting | None) -> Evaluation:
    """Return how points are evaluated: as requested, as in an existing file, or by default."""
    evaluation = asked.evaluation if begun is None else as_begun(asked.evaluation, begun)
    if asked.inputs.problem is not None:
        evaluation = evaluation_of_problem(evaluation)
    reestimates = asked.batch_norm == "reestimate"
    if asked.also:
        evaluation = replace(evaluation, points_at_once=1, ranks_per_point=1)
    if asked.rtol is not None or asked.atol is not None:
        evaluation = replace(evaluation, points_at_once=1)
    if reestimates:
        evaluation = replace(evaluation, compile="off")
    if reestimates or asked.plane.repeats is not None:
        evaluation = replace(evaluation, points_at_once=1)
    if reestimates or (evaluation.points_at_once or 1) > 1:
        evaluation = replace(evaluation, ranks_per_point=1)
    return evaluation


def _check_deviation(path: Path, begun: StoredSetting, tolerance: float) -> None:
    if begun.deviation > tolerance:
        raise InputError(
            f"{path}: was computed in {begun.precision}, which deviates from fp32 by "
            f"{begun.deviation:.2g} here; --tolerance {tolerance:g} allows less. A resumed run "
            f"must be the same run: pass --precision {begun.precision}, or a new --out, or --fresh "
            f"to start over."
        )


def _content(
    asked: SurfaceRequest, plan: Plan, inputs: Inputs | ProblemInputs, found: PlaneDirections
) -> SurfaceContent:
    attributes = {
        "/": _describe_surface(asked, plan)
        | {"running_statistics": len(layers_with_statistics(inputs.network))},
        "directions": _describe_directions(found),
        "provenance": {
            "checkpoint": str(asked.inputs.network.checkpoint or "none"),
            "checkpoint_key": asked.inputs.network.checkpoint_key or "none",
            "checkpoint_types": ",".join(inputs.types),
            "computed_in": ",".join(float_types(inputs.network)),
            "data_dir": str(asked.inputs.data.data_dir or "none"),
            **provenance.of_inputs("landscape_mpi.surface", inputs),
        },
    }
    return plan.content(
        attributes,
        vectors=found.vectors if asked.plane.save_directions or found.kept else {},
        marks=found.marks,
        known=_weight_decay(asked.weight_decay, plan, inputs, found.vectors),
        axis_words={} if asked.plane.repeats is None else {"beta": REPEATS},
    )


def _weight_decay(
    strength: float | None,
    plan: Plan,
    inputs: Inputs | ProblemInputs,
    vectors: dict[str, Direction],
) -> dict[str, np.ndarray]:
    if strength is None:
        return {}
    tied = tied_names(inputs.network)  # a weight with two names counts once
    names = [name for name, _ in inputs.network.named_parameters() if name not in tied]
    term = weight_decay_term(
        strength, inputs.state, vectors, names, alpha=plan.alpha, beta=plan.beta
    )
    return {schema.WEIGHT_DECAY_TERM: term}


def _describe_surface(asked: SurfaceRequest, plan: Plan) -> dict:
    evaluation = plan.evaluation
    described = {
        "model": asked.inputs.network.model,
        "data": asked.inputs.data.data,
        **plan.subject.attributes,
        "also": ",".join(plan.subject.also) or "none",
        **describe_tolerance(plan.tolerance),
        **describe_rule_of(plan),
        "batch_norm": asked.running_statistics,
        "weight_decay": "none" if asked.weight_decay is None else asked.weight_decay,
        **asked.inputs.data.limit_attributes,
    }
    if asked.plane.repeats is not None:
        described["repeats"] = asked.plane.repeats
    known = {
        "precision": evaluation.precision,
        "batch": evaluation.batch,
        "compile": asked.evaluation.compile,
        "points_at_once": asked.evaluation.points_at_once,
    }
    return described | {k: v for k, v in known.items() if v not in {None, "auto"}}


def _describe_directions(found: PlaneDirections) -> Attributes:
    vectors, sources = found.vectors, found.sources
    described = {
        "source": "; ".join(dict.fromkeys(words for words in sources.values() if words != "none")),
        "sha256": directions.digest(*vectors.values()),
        "norm_alpha": directions.norm(vectors["alpha"]),
        "norm_beta": directions.norm(vectors["beta"]),
        "cosine": directions.cosine(vectors["alpha"], vectors["beta"]),
        "random_cosine": directions.random_cosine(vectors["alpha"], vectors["beta"]),
        "n_moved": directions.n_moved(*vectors.values()),
    }
    if found.shaping is not None:
        described |= {
            "seed": found.shaping.seed,
            "normalize": found.shaping.normalize,
            "ignore": ",".join(found.shaping.ignore) or "none",
            "only": ",".join(found.shaping.only) or "none",
        }
    return described
