"""The device of each rank: a separate one, of the same kind for all."""

from __future__ import annotations

from landscape_mpi.cluster.binding import assign_gpus
from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.compute.devices.choice import (
    accelerators,
    check_absence,
    choose_alone,
    describe_passed_over,
)
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.device_names import kind_and_index
from landscape_mpi.errors import InputError


def take_device(ranks: Ranks, asked: str) -> Device:
    """Return the device of this rank. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        asked: ``auto``, or a kind of device.

    Raises:
        SharedInputError: On every rank, if GPUs were requested and are absent, if there are fewer
            than ranks, or if the ranks have devices of several kinds.
    """
    device = agree(ranks, lambda: _choose(ranks, asked))
    _check_one_kind(ranks, device)
    if ranks.is_root:
        _say_what_is_unused(ranks, asked, device)
    _say_mixed_models(ranks, device)
    return device


def _choose(ranks: Ranks, asked: str) -> Device:
    """Return the device of this rank. Collective over the node.

    Raises:
        InputError: If no device is left for it.
    """
    kind_asked, index = kind_and_index(asked)
    if index is not None and ranks.size > 1:
        raise InputError(
            f"--device {asked}: names a single GPU, but each of the {ranks.size} ranks takes the "
            f"GPU of its local rank. Pass {kind_asked}, and choose GPUs by "
            f"{accelerators(asked)[0].mask}, or start one rank."
        )
    if ranks.size == 1:
        return choose_alone(asked)
    for kind in accelerators(asked):
        seen = ranks.node.allgather(kind.visible())
        if any(seen):
            return kind(assign_gpus(seen, host=ranks.host, mask=kind.mask)[ranks.node.rank])
    check_absence(asked, where=f"on node {ranks.host}")
    return CPU


def _check_one_kind(ranks: Ranks, device: Device) -> None:
    """Check that all ranks compute on one kind of device. Collective over the ranks.

    Raises:
        SharedInputError: On every rank, if they do not.
    """
    kinds = ranks.comm.allgather((device.kind, ranks.host))
    others = [(other, host) for other, host in kinds if other != kinds[0][0]]
    if others:
        raise SharedInputError(
            f"--device auto: node {kinds[0][1]} computes on {kinds[0][0]}, node {others[0][1]} on "
            f"{others[0][0]}. Results differ in their last digits, so a run must use one kind of "
            "device. Pass --device cpu, or use nodes that all have GPUs."
        )


def _say_what_is_unused(ranks: Ranks, asked: str, device: Device) -> None:
    """Print a note if this node has GPUs that torch does not see. Local; on rank 0."""
    words = describe_passed_over(asked) if device.is_host else None
    if words is not None:
        print(f"node {ranks.host}: {words}", flush=True)


def _say_mixed_models(ranks: Ranks, device: Device) -> None:
    """Print a note if ranks use several models of GPU. Collective over the ranks."""
    models = ranks.comm.allgather((device.model(), ranks.host))
    if device.is_host or not ranks.is_root:
        return
    first, host = models[0]
    other = next((found for found in models if found[0] != first), None)
    if other is not None:
        print(
            f"GPUs of several models: {first} on {host}, {other[0]} on {other[1]}. Their results "
            "may differ in the last digits, so another run, which distributes the points "
            "differently, may not repeat this one bit for bit. For equal bits, request one model.",
            flush=True,
        )


def describe(ranks: Ranks, device: Device) -> str:
    """Return the name of this rank's device, with its memory if others differ. Collective."""
    models = set(ranks.comm.allgather(device.model()))
    return device.describe() if len(models) == 1 else device.model()
