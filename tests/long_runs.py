"""Runs that take long enough to be disturbed: their network, their log and their processes."""

import subprocess

import pytest

SLOW = """
import os, time, torch

LAG = os.environ.get("LAG")

class Slow(torch.nn.Linear):
    def forward(self, images):
        # Depends on the values, so that it cannot be traced away.
        if images.sum() > -1e30 and LAG:
            with open("calls", "a") as calls:
                calls.write(".")
            time.sleep(float(LAG))
        return super().forward(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Slow(64, 10)
"""


def wait_for_round(process, n_rounds):
    """Read the log of a running command until so many rounds are written."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        if sum(" points (" in each for each in seen) >= n_rounds:
            return
    pytest.fail("it ended before it could be disturbed:\n" + "".join(seen))


def processes_running(out):
    """Return the process ids of the ranks that write to out."""
    listed = subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True, check=False)
    pids = [int(pid) for pid in listed.stdout.split()]
    ranks = []
    for pid in pids:
        try:
            with open(f"/proc/{pid}/environ", "rb") as environ:
                words = environ.read()
        except OSError:
            continue
        if b"OMPI_COMM_WORLD_RANK=" in words or b"PMI_RANK=" in words:
            ranks.append(pid)
    return ranks
