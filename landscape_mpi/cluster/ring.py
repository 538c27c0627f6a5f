"""A ring of ranks in which each hears its left neighbour, so that a silent rank is identified.

Each message is small and sent without waiting, so a stopped rank delays no other one, the load per
rank does not grow with the number of ranks, and rank 0 is watched like every other rank. A single
rank sends
nothing: MPICH does not send a message to the rank itself before it is received.
"""

from __future__ import annotations

import threading

import numpy as np
from mpi4py import MPI

from landscape_mpi.cluster.communicator import Ranks, looks_at


class Ring:
    """This rank between its neighbours. Any thread may call it, if MPI allows threads."""

    def __init__(self, ranks: Ranks) -> None:
        """Join the ring. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
        """
        self.comm = ranks.comm.Dup()
        self._is_alone = ranks.size == 1
        self.left = (ranks.rank - 1) % ranks.size
        self._right = (ranks.rank + 1) % ranks.size
        self.left_host = ranks.host
        if not self._is_alone:
            self.left_host = self.comm.sendrecv(ranks.host, dest=self._right, source=self.left)
        self._word = np.zeros(2)  # usual time of a point, s, and whether this is the last message
        self._taken = np.zeros(2)  # the same of the left neighbour
        self._sent: MPI.Request = MPI.REQUEST_NULL
        self._one_at_a_time = threading.Lock()

    def speak(self, point_seconds: float) -> None:
        """Tell the right neighbour that this rank is alive. Local.

        Args:
            point_seconds: Usual time of a point here, s; 0 if unknown.
        """
        if self._is_alone:
            return
        with self._one_at_a_time:
            if self._sent.Test():  # otherwise it has not even received the previous message
                self._send(point_seconds, is_last=False)

    def _send(self, point_seconds: float, *, is_last: bool) -> None:
        self._word[:] = point_seconds, is_last
        self._sent = self.comm.Isend(self._word, dest=self._right)

    def hear(self) -> float | None:
        """Receive the messages of the left neighbour since the last call. Local.

        Returns:
            Usual time of a point there, s, 0 if unknown; None if it was silent. A single rank is
            its own neighbour, and never silent.
        """
        if self._is_alone:
            return 0.0
        heard = None
        with self._one_at_a_time:
            while self.comm.Iprobe(source=self.left):
                heard = self._take()
        return heard

    def _take(self) -> float:
        self.comm.Recv(self._taken, source=self.left)
        return float(self._taken[0])

    def leave(self) -> None:
        """Receive every message that is still under way. Collective over the ranks."""
        if not self._is_alone:
            self._finish_sending()
            self._send(0.0, is_last=True)
            self._finish_sending()
            while not self._taken[1]:
                self._take()
        self.comm.Free()

    def _finish_sending(self) -> None:
        """Wait until the last message is sent, and receive others meanwhile: all may be waiting."""
        for _ in looks_at(self._sent):
            self.hear()
