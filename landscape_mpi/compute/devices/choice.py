"""Choose the device of a process from the request and from the devices that torch sees."""

from __future__ import annotations

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.device_names import AUTO, kind_and_index
from landscape_mpi.errors import InputError
from landscape_mpi.registry import DEVICES


def accelerators(asked: str) -> list[type[Device]]:
    """Return the kinds of GPUs that a request allows; none for the CPU.

    Args:
        asked: ``auto``, a kind of device, or one GPU.
    """
    if asked == AUTO:
        return [kind for _, kind in DEVICES.items() if not kind.is_host]
    kind = DEVICES[kind_and_index(asked)[0]]
    return [] if kind.is_host else [kind]


def device_named(name: str) -> Device:
    """Return a device by its name in torch, e.g. ``cuda:2``."""
    kind, index = kind_and_index(name)
    found: Device = DEVICES[kind](index or 0)
    return found


def choose_alone(asked: str) -> Device:
    """Return the device of a process that runs without other ranks.

    If there are several GPUs, it is the current one of the process.

    Args:
        asked: ``auto``, a kind of device, or one GPU.

    Raises:
        InputError: If a GPU is requested but absent.
    """
    index = kind_and_index(asked)[1]
    for kind in accelerators(asked):
        n, current = len(kind.visible()), kind.current()
        if n and index is None:
            return current or kind(0)
        if index is not None and index < n:
            return kind(index)
        if n:
            raise InputError(
                f"--device {asked}: torch sees {n} such GPU{'s' if n > 1 else ''} here, counted "
                f"from 0. Pass one of {kind.kind}:0 to {kind.kind}:{n - 1}, or {kind.kind}."
            )
    check_absence(asked)
    return CPU


def current_device() -> Device:
    """Return the GPU that this process uses if none is named; the CPU if there is no GPU.

    A kind of GPU that this process has not used yet is not initialised.
    """
    for kind in accelerators(AUTO):
        current = kind.current()
        if current is not None:
            return current
    return CPU


def check_absence(asked: str, *, where: str = "here") -> None:
    """Refuse a request for a GPU on a machine where torch sees none.

    Args:
        asked: ``auto``, a kind of device, or one GPU.
        where: Place without GPUs, for the message.

    Raises:
        InputError: If a GPU is requested.
    """
    kinds = accelerators(asked)
    if asked == AUTO or not kinds:
        return
    reason = kinds[0].passed_over()
    cause = f"{reason}. Install a torch that can" if reason else _usual_cause(kinds[0])
    raise InputError(
        f"--device {asked}: torch sees no such GPU {where}. {cause}, or pass --device cpu."
    )


def _usual_cause(kind: type[Device]) -> str:
    return f"Ask the queue for GPUs, check {kind.mask} and that torch was built for such GPUs"


def describe_passed_over(asked: str) -> str | None:
    """Return why the CPU is used despite GPUs; None without GPUs, or if the CPU was requested."""
    reasons = (kind.passed_over() for kind in accelerators(asked))
    reason = next((words for words in reasons if words is not None), None)
    return None if reason is None else f"{reason}. This run computes on the CPU."
