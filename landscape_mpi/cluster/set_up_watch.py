"""The watch over ranks before their first round: imports, files, user code and GPUs may hang.

A thread in each rank looks at the current step of its main thread. A rank that waits for the others
is not to blame. A rank that stays in its own work is to blame, and prints its position in the code.
A stopped process cannot print, so its right neighbour in the ring does. watch.py takes over with
the first round.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from dataclasses import replace

from mpi4py import MPI

from landscape_mpi.cluster.communicator import STEPS, Ranks, meet
from landscape_mpi.cluster.ring import Ring
from landscape_mpi.cluster.watch import LONGEST_LOOK_S, USUAL_POINTS, Awake, end_stalled
from landscape_mpi.errors import HERE, place_in_code

SHORTEST_LIMIT_S = 45.0  # an import of torch takes half of it if many ranks share few cores


class SetUpWatch:
    """This rank's part in the watch, until the first round begins."""

    def __init__(
        self, ranks: Ranks, *, stall_seconds: float, shortest_limit_s: float = SHORTEST_LIMIT_S
    ) -> None:
        """Begin the watch. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            stall_seconds: Longest silence of a rank in a round, s. Before the first round, when the
                length of a step is unknown, it is USUAL_POINTS times longer.
            shortest_limit_s: Least limit of a step, s.
        """
        self._ranks = ranks
        self._ring = Ring(ranks)
        self._stall_seconds = stall_seconds
        self._limit_s = max(shortest_limit_s, USUAL_POINTS * stall_seconds)
        self._word_seconds = self._limit_s / 20
        self._over = threading.Event()
        self._may_talk = MPI.Query_thread() == MPI.THREAD_MULTIPLE
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """End the watch, if it has not ended. Collective over the ranks."""
        if not self._over.is_set():
            meet(self._ranks.comm)  # the watch goes on until all are here
            self._over.set()
            self._thread.join()
            self._ring.leave()

    def _look(self) -> None:
        """Look at the main thread and the left neighbour, until the watch is over."""
        took, silence = Awake(self._word_seconds), Awake(self._word_seconds)
        n_steps, spoke_at = STEPS.n, time.monotonic()
        while not self._over.wait(min(LONGEST_LOOK_S, self._word_seconds / 2)):
            if self._may_talk:
                if time.monotonic() - spoke_at >= self._word_seconds:
                    self._ring.speak(0.0)
                    spoke_at = time.monotonic()
                if self._ring.hear() is not None:
                    silence.restart()
                elif silence.seconds() > self._limit_s + 2 * self._word_seconds:
                    self._accuse_left(silence.seconds())
            if n_steps != STEPS.n or STEPS.is_waiting:
                n_steps = STEPS.n
                took.restart()
            elif took.seconds() > self._limit_s:
                self._accuse_self_in_turn(took.seconds())

    def _accuse_left(self, seconds: float) -> None:
        who = f"rank {self._ring.left} on {self._ring.left_host}"
        words = (
            f"{who} has not responded for {seconds:.0f} s, before the first round: its process is "
            "stopped, or its node hangs."
        )
        end_stalled(self._ranks, words, self._ring.left_host, may_ask=self._may_talk)

    def _accuse_self_in_turn(self, seconds: float) -> None:
        """End the job, unless other ranks may be to blame and have not had time to report."""
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        frames = traceback.extract_stack(frame)
        # A line of this package that calls C may call MPI, and wait there for the rank that hangs.
        may_wait = frames[-1].filename.startswith(HERE)
        if may_wait and seconds < self._limit_s + 3 * self._word_seconds:
            return
        who = f"rank {self._ranks.rank} on {self._ranks.host}"
        words = (
            f"{who} has been at one step of its set-up for {seconds:.0f} s, before the first "
            f"round, at {place_in_code(frames)}: a file system, a device or your own code hangs "
            "there. If the step needs more time, pass a tenth of that time as --stall-seconds; "
            f"now it is {self._stall_seconds:g}."
        )
        end_stalled(self._ranks, words, self._ranks.host, may_ask=self._may_talk)


def watch_set_up(ranks: Ranks, *, stall_seconds: float) -> Ranks:
    """Begin the watch over ranks, and return them. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        stall_seconds: Longest silence of a rank in a round, s.
    """
    return replace(ranks, set_up_watch=SetUpWatch(ranks, stall_seconds=stall_seconds))
