"""Describe a run that is not started."""

from __future__ import annotations

from collections.abc import Iterator

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.layer_kinds import filters_in_words
from landscape_mpi.compute.normalizations.normalization import find_normalization
from landscape_mpi.compute.selection import abbreviated
from landscape_mpi.engine.adaptive.self_check import least_points
from landscape_mpi.engine.plan import Plan, RootInputs
from landscape_mpi.engine.point_evaluator import group_ranks
from landscape_mpi.engine.rank_settings import summarize_ranks
from landscape_mpi.engine.sampling.order import least_samples
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.store.creation import n_bytes_of
from landscape_mpi.store.status import on_hosts


def say_run(
    ranks: Ranks, plan: Plan, root: RootInputs | None, inputs: SharedInputs, setting: Setting
) -> None:
    """Describe the run of a plan. Collective over the ranks; rank 0 prints.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        root: On rank 0 what it has read.
        inputs: What this rank has of the inputs.
        setting: How to evaluate.
    """
    rank_summary = summarize_ranks(ranks, setting, group_ranks(ranks, plan, setting))
    if root is None:
        return
    subject = plan.subject
    is_there = plan.n_pending < plan.n_points
    lines = (
        f"moved: {_moved(inputs)}",
        *_layers(inputs, root),
        f"directions: {_directions(root)}",
        f"points: {len(plan.alpha)} x {len(plan.beta)}, {_points_left(plan)}",
        f"samples: {_samples(plan, setting)} at each point, for {', '.join(subject.quantities)}",
        f"loss: {subject.loss_words}",
        f"memory: {_size(inputs.n_bytes)} on each node for weights, directions and samples",
        f"file: {plan.out}, {_size(n_bytes_of(root.content))}, {'resumed' if is_there else 'new'}",
        f"ranks: {rank_summary.n_ranks}, {on_hosts(rank_summary.hosts)}: {rank_summary.devices}; "
        f"{setting.precision}, batch {setting.batch}",
    )
    print("\n".join(lines), flush=True)


def _points_left(plan: Plan) -> str:
    if plan.tolerance is None:
        return f"{plan.n_pending:,} left to compute"
    least = least_points(len(plan.alpha), len(plan.beta))
    return (
        f"{plan.n_pending:,} without a value; the run computes at least {least:,}, and as many as "
        f"their values ask for, and interpolates the others to {plan.tolerance.text}"
    )


def _samples(plan: Plan, setting: Setting) -> str:
    words = f"{plan.subject.sizes} {plan.subject.noun}"
    if plan.sampling is None:
        return words
    least = sum(least_samples(plan.subject.n_samples, setting.batch))
    return f"{least:,} or more of {words}, to a standard error of {plan.sampling.text},"


def _moved(inputs: SharedInputs) -> str:
    network = inputs.network()
    sizes = {name: tensor.numel() for name, tensor in network.state_dict().items()}
    moved = {name for direction in inputs.directions.values() for name in direction}
    names = [name for name in sizes if name in moved]
    n_all = sum(parameter.numel() for parameter in network.parameters())
    return (
        f"{sum(sizes[name] for name in names):,} of {n_all:,} parameters, in {len(names)} tensors: "
        f"{abbreviated(names)}"
    )


def _layers(inputs: SharedInputs, root: RootInputs) -> Iterator[str]:
    """Yield lines about the filters of layers, and about the parameters kept as normalisation."""
    if root.layers is None:
        return
    moved = {name for direction in inputs.directions.values() for name in direction}
    said = root.content.attributes["directions"]
    if "normalize" in said and find_normalization(str(said["normalize"])).is_by_filter:
        yield f"filters: {filters_in_words(root.layers, moved)}"
    kept = sorted(root.layers.norms - moved)
    if kept and "bn" in str(said.get("ignore")).split(","):
        yield f"kept as normalisation: {len(kept)} parameters: {abbreviated(kept)}"


def _directions(root: RootInputs) -> str:
    said = root.content.attributes["directions"]
    how = str(said["source"])
    if "seed" in said:
        how += f", seed {said['seed']}, normalize {said['normalize']}, ignore {said['ignore']}"
        how += "" if said["only"] == "none" else f", only {said['only']}"
    return (
        f"{how}; norm {said['norm_alpha']:.4g} along alpha, {said['norm_beta']:.4g} along beta, "
        f"cosine {said['cosine']:.2g}"
    )


def _size(n_bytes: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000  # type: ignore[assignment]
    return f"{n_bytes:,.3g} GB"
