"""Restore all that a computation changes in a process, because a notebook continues with it."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from landscape_mpi.cluster.signals import STOP_SIGNALS, StopRequest
from landscape_mpi.compute.devices.choice import current_device
from landscape_mpi.compute.devices.repeatability import switches_restored
from landscape_mpi.compute.network_loan import NetworkLoan
from landscape_mpi.compute.random_numbers import Generators


@contextmanager
def borrowed(network: nn.Module | None) -> Iterator[None]:
    """Restore a network and the process as they were.

    Weights, modes and gradients of the network; random numbers, threads, the current GPU and the
    precision of torch; Python's search for garbage.

    Args:
        network: The user's own object; None if there is none.
    """
    lent = nn.Identity() if network is None else network
    loan, device = NetworkLoan(lent), current_device()
    generators = Generators(device)
    states, threads = generators.states(), torch.get_num_threads()
    seldom = gc.get_threshold()
    try:
        with switches_restored():
            yield
    finally:
        loan.give_back()
        generators.restore(states)
        torch.set_num_threads(threads)
        gc.set_threshold(*seldom)
        if current_device() != device:
            device.bind()


@contextmanager
def interruptible() -> Iterator[StopRequest]:
    """Let Ctrl-C and the signals of job scripts end a run cleanly, as they do for the commands.

    Outside the main thread, signal handling stays unchanged.
    """
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    for number in STOP_SIGNALS:
        signal.signal(number, stop.ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
