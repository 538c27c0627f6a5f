"""Oracle: an MPI that keeps a message back until it is received, as MPICH does with some.

Each is a run of its own on real ranks, since a word that nobody takes is waited for without end.
"""

import pytest

RUN = """
import sys, time
from landscape_mpi.cluster.communicator import meet, start_ranks
from landscape_mpi.cluster.ring import Ring

class Synchronous:
    def __init__(self, comm):
        self._comm = comm

    def Isend(self, word, dest):
        assert dest != self._comm.rank, "a message to oneself"
        return self._comm.Issend(word, dest=dest)

    def sendrecv(self, value, dest, source):
        assert dest != self._comm.rank, "a message to oneself"
        return self._comm.sendrecv(value, dest=dest, source=source)

    def __getattr__(self, name):
        return getattr(self._comm, name)

class World(Synchronous):
    def Dup(self):
        return Synchronous(self._comm.Dup())

ranks = start_ranks()
ring = Ring(type(ranks)(World(ranks.comm), ranks.node, ranks.host))
assert ring.left_host == ranks.host
ring.speak(0.25)
heard, end = None, time.monotonic() + 100
while heard is None and time.monotonic() < end:
    heard = ring.hear()
assert heard == (0.0 if ranks.size == 1 else 0.25), heard
meet(ranks.comm)
ring.speak(0.5)  # under way when all of them leave
ring.leave()
print("left", flush=True)
"""


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_no_rank_waits_for_a_word_to_be_sent(n_ranks, tmp_path, mpiexec):
    script = tmp_path / "ring.py"
    script.write_text(RUN)
    done = mpiexec(n_ranks, [script], check=True)
    assert done.stdout.count("left") == n_ranks
