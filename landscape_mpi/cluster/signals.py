"""Handle signals that end a run cleanly: the first asks, a later one ends the process at once.

A launcher may pass one signal on twice, so a second one within a second counts as the same. A
signal after the end of the work is ignored: it must not turn a complete run into a failure.
"""

from __future__ import annotations

import atexit
import os
import signal
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape_mpi.cluster.communicator import Ranks

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
SAME_SIGNAL_S = 1.0
LISTENING_FILE = "LANDSCAPE_LISTENING_FILE"  # names a file to make once all ranks listen


class StopRequest:
    """A request to stop this rank, made by a signal."""

    def __init__(self) -> None:
        self.name: str | None = None  # the signal of the request
        self._came_at = 0.0

    @property
    def came(self) -> bool:
        """Say whether a signal has come."""
        return self.name is not None

    def listen(self, ranks: Ranks | None) -> None:
        """Handle the stop signals from now on, and tell the job script once all ranks do.

        Collective; call it in the main thread. A process that runs alone has no ranks.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self.ask)
        atexit.register(ignore_stop_signals)
        if path := os.environ.get(LISTENING_FILE):
            if ranks is not None:
                ranks.comm.Barrier()
            if ranks is None or ranks.is_root:
                Path(path).touch()

    def ask(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal as a request to stop; later signals end the process at once."""
        if self.name is None:
            self.name, self._came_at = signal.Signals(number).name, time.monotonic()
        elif time.monotonic() - self._came_at > SAME_SIGNAL_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def ignore_stop_signals() -> None:
    """Ignore signals of job scripts and schedulers at the end of a process.

    Python restores its signal handlers before it ends MPI; then a signal would kill the process.
    """
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
