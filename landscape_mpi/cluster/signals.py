"""Signals that end a run cleanly: the first asks, the second ends the process at once."""

from __future__ import annotations

import signal
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """Whether this rank was asked to stop."""

    def __init__(self) -> None:
        self.name: str | None = None  # the signal that asked

    @property
    def came(self) -> bool:
        """Whether a signal has come."""
        return self.name is not None

    def listen(self) -> None:
        """Take the stop signals from now on. Local; call it in the main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name
        for other in STOP_SIGNALS:
            signal.signal(other, signal.SIG_DFL)
