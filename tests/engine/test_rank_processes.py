"""Oracle: the kernel's own table of sockets that listen."""

import time

import pytest
from pytest_mpi import parallel_assert
from torch import distributed

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.engine.rank_processes import RankProcesses
from landscape_mpi.errors import InputError

RUN = """
import os
import sys
from pathlib import Path
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.engine.rank_processes import RankProcesses

def listening():
    inodes = {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
              if os.path.exists(f"/proc/self/fd/{n}")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.add((words[1], words[9]))
    return found

ranks = start_ranks()
before = listening()
with RankProcesses(ranks) as processes:
    group = processes.start_process_group(CPU)
    places = sorted(place.split(":")[0] for place, _ in listening() - before)
    assert group.size == 2
    Path(f"{sys.argv[1]}/{ranks.rank}.txt").write_text(" ".join(places))
"""
LOCAL = "0100007F"  # 127.0.0.1


def test_training_listens_on_one_interface(tmp_path, mpiexec):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    mpiexec(2, [script, tmp_path], check=True)
    listening = [(tmp_path / f"{rank}.txt").read_text().split() for rank in range(2)]
    assert {place for places in listening for place in places} == {LOCAL}


@pytest.mark.parallel([2])
def test_no_rank_leaves_while_another_one_connects(tmp_path, monkeypatch):
    """One that ended its group at once would close it to those that are not there yet."""
    ranks = start_ranks()
    connected = ranks.comm.bcast(tmp_path / "connected")
    connect = distributed.init_process_group

    def connect_late(*words, **more):
        connect(*words, **more)
        time.sleep(0.2)
        connected.touch()

    if ranks.rank == 1:
        monkeypatch.setattr(distributed, "init_process_group", connect_late)
    with RankProcesses(ranks) as processes:
        processes.start_process_group(CPU)
        parallel_assert(connected.exists())


@pytest.mark.parallel([2])
def test_a_refused_run_leaves_its_team():
    """Training in one process after the other would otherwise meet the first one's group."""

    def refuse(ranks):
        with RankProcesses(ranks) as processes:
            processes.start_process_group(CPU)
            raise InputError("nothing to learn from")

    ranks = start_ranks()
    for _ in range(2):
        with pytest.raises(InputError, match="nothing to learn"):
            refuse(ranks)
        parallel_assert(not distributed.is_initialized())
