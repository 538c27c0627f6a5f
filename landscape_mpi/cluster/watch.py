"""The watch over hung ranks: it names rank and node, and ends the job so that it can restart.

There are three ways to find a hung rank. A rank that waits for the others listens to its left
neighbour (ring.py), and notices if that one is stopped or its node is gone. A thread in each rank,
without MPI, sees its own rank hang in a point, on a GPU or on a file system. If all ranks are in
one collective call, their threads ask around in the ring.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mpi4py import MPI

from landscape_mpi.cluster.communicator import Ranks, looks_at
from landscape_mpi.cluster.ring import Ring
from landscape_mpi.errors import EXIT_REQUEUE

STALL_FILE = "LANDSCAPE_STALL_FILE"  # names a file for the host of a hung rank
USUAL_POINTS = 10  # a point that takes as long as this many usual points counts as hung
LONGEST_LOOK_S = 1.0  # time between two looks of the thread at its rank
ABORT_S = 10  # time for MPI to end the job; then this process ends, and the launcher with it


@dataclass(frozen=True, eq=False)
class Task:
    """The current task of the main thread of a rank: a point, or a call of all ranks."""

    words: str
    is_shared: bool


class Awake:
    """Time since a beginning, without the time in which this process itself was suspended."""

    def __init__(self, longest_step_s: float) -> None:
        """Begin now.

        Args:
            longest_step_s: Longest counted time between two looks at the clock, s. After more time,
                this process was suspended, perhaps with all others.
        """
        self._longest_step_s = longest_step_s
        self.restart()

    def restart(self) -> None:
        """Begin again."""
        self._seconds, self._last = 0.0, time.monotonic()

    def seconds(self) -> float:
        """Return the time, s."""
        now = time.monotonic()
        self._seconds += min(now - self._last, self._longest_step_s)
        self._last = now
        return self._seconds


class Watch:
    """This rank's part in the watch, for as long as the context lasts."""

    def __init__(self, ranks: Ranks, *, stall_seconds: float) -> None:
        """Begin the watch. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            stall_seconds: Longest silence of a rank, s; for a rank with slow points, the time of
                USUAL_POINTS of them, and before any point is known, USUAL_POINTS times longer.
        """
        if ranks.set_up_watch is not None:
            ranks.set_up_watch.end()
        self._ranks = ranks
        self._ring = Ring(ranks)
        self._stall_seconds = stall_seconds
        self._word_seconds = stall_seconds / 10  # time between two messages
        self._look_seconds = min(LONGEST_LOOK_S, self._word_seconds / 2)
        self._spoke_at = time.monotonic()
        self._n_points, self._points_s = 0, 0.0
        self._left_point_s = 0.0
        self._task: Task | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_at_task, daemon=True)
        self._may_ask = MPI.Query_thread() == MPI.THREAD_MULTIPLE

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, problem: type | None, *details: object) -> None:
        self._over.set()
        self._thread.join()
        if problem is None:
            self._ring.leave()

    def begin_point(self, point: int) -> None:
        """Record that this rank begins a point. Local."""
        self._task = Task(f"point {point}", is_shared=False)

    def end_point(self, seconds: float) -> None:
        """Record that the point is done. Local.

        Args:
            seconds: Time of the point, s.
        """
        self._task = Task("the step to the next point", is_shared=False)
        self._n_points += 1
        self._points_s += seconds
        self._speak_if_due()

    def meet(self, purpose: str) -> None:
        """Wait until all ranks are here, before a common step. Collective.

        This wait leaves the core to the ranks that compute; a blocking call would occupy it.

        Args:
            purpose: The common step, e.g. ``the write of a round``.
        """
        self._task = None
        silence = Awake(self._word_seconds)
        for _ in looks_at(self._ring.comm.Ibarrier()):
            self._speak_if_due()
            if self._hears_left():
                silence.restart()
            # Its own thread should report first, since it knows the task that hangs.
            elif silence.seconds() > self.limit_s + 2 * self._word_seconds:
                self._accuse_left(silence.seconds())
        self._task = Task(purpose, is_shared=True)

    @property
    def point_seconds(self) -> float:
        """Return the usual time of a point on this rank, s; 0 if unknown."""
        return self._points_s / max(1, self._n_points)

    @property
    def limit_s(self) -> float:
        """Return the longest silence of a rank, s."""
        usual_s = max(self.point_seconds, self._left_point_s) or self._stall_seconds
        return max(self._stall_seconds, USUAL_POINTS * usual_s)

    def _speak_if_due(self) -> None:
        if time.monotonic() - self._spoke_at >= self._word_seconds:
            self._ring.speak(self.point_seconds)
            self._spoke_at = time.monotonic()

    def _hears_left(self) -> bool:
        heard = self._ring.hear()
        if heard is not None:
            self._left_point_s = heard
        return heard is not None

    def _look_at_task(self) -> None:
        """Watch the main thread from another one, until the watch is over."""
        task, took = None, Awake(self._word_seconds)
        while not self._over.wait(self._look_seconds):
            if self._task is not task:
                task = self._task
                took.restart()
            if task is None:
                continue
            if task.is_shared and self._may_ask:
                self._speak_if_due()  # for the main thread, which cannot
            if took.seconds() > self.limit_s:
                self._ask_around(task)
                if self._task is task:
                    self._accuse_self(task, took.seconds())

    def _ask_around(self, task: Task) -> None:
        """Find out whether the left neighbour is stopped, as long as the task lasts.

        In a call of many ranks all of them hang, but only one is to blame. It is silent, and its
        right neighbour ends the job before this returns to a rank that would blame itself.
        """
        silence, asked = Awake(self._word_seconds), Awake(self._word_seconds)
        patience_s = 2 * self._word_seconds + 3 * max(self.point_seconds, self._left_point_s)
        # One after the other, rank 0 first, so that not all ranks print the same.
        turn_s = self._ranks.rank if task.is_shared else 0
        while asked.seconds() < patience_s + self._word_seconds + turn_s:
            if self._over.wait(self._look_seconds) or self._task is not task:
                return
            if not self._may_ask:
                continue
            self._ring.speak(self.point_seconds)
            if self._hears_left():
                silence.restart()
            elif silence.seconds() > patience_s:
                self._accuse_left(self.limit_s + silence.seconds())

    def _accuse_left(self, seconds: float) -> None:
        who = f"rank {self._ring.left} on {self._ring.left_host}"
        usual = max(self.point_seconds, self._left_point_s)
        self._end_job(
            f"{who} has not responded for {seconds:.0f} s{_against(usual)}: its process is "
            "stopped, or its node hangs.",
            self._ring.left_host,
        )

    def _accuse_self(self, task: Task, seconds: float) -> None:
        who = f"rank {self._ranks.rank} on {self._ranks.host}"
        culprit = "its device or its node hangs."
        if task.is_shared:
            stopped = "" if self._may_ask else "a rank is stopped, or "
            culprit = f"{stopped}the file system or the network hangs."
        self._end_job(
            f"{who} has been in {task.words} for {seconds:.0f} s{_against(self.point_seconds)}: "
            f"{culprit}",
            "" if task.is_shared else self._ranks.host,
        )

    def _end_job(self, words: str, host: str) -> None:
        end_stalled(self._ranks, words, host, may_ask=self._may_ask)


def end_stalled(ranks: Ranks, words: str, host: str, *, may_ask: bool) -> NoReturn:
    """End the job so that it can start again. Local.

    Args:
        ranks: All ranks of the run.
        words: Sentences that name the hung rank.
        host: Node of that rank; empty if no node is to blame.
        may_ask: Whether any thread may call MPI.
    """
    where = f", and without {host} if it hangs there again" if host else ""
    sys.stderr.write(
        f"[{ranks.rank}/{ranks.size} {ranks.host}] stalled: {words} All written rounds are kept, "
        f"and the job ends with status {EXIT_REQUEUE}: run the same command again{where}.\n"
    )
    sys.stderr.flush()
    signal.alarm(ABORT_S)
    if path := os.environ.get(STALL_FILE):
        with contextlib.suppress(OSError):  # the job must end, even if the note cannot be written
            Path(path).write_text(f"{host}\n")
    if may_ask or threading.current_thread() is threading.main_thread():
        ranks.comm.Abort(EXIT_REQUEUE)
    os._exit(EXIT_REQUEUE)


def _against(point_seconds: float) -> str:
    return f" (a point usually takes {point_seconds:.3g} s)" if point_seconds else ""
