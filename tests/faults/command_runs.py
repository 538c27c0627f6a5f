"""Runs of the surface command that are short and can be disturbed, and what their files hold."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).parent.parent.parent
LIMIT_S = 200.0  # of a wait that takes seconds: other programs may keep the cores
# Batches of LAG seconds, so that a run can be disturbed.
NETWORK = """
import os, time, torch

class Slow(torch.nn.Linear):
    def forward(self, images):
        if images.sum() > -1e30:  # depends on the values, so that it cannot be traced away
            time.sleep(float(os.environ.get("LAG", "0")))
        return super().forward(images.flatten(1))

def build():
    while os.path.exists("hang"):
        time.sleep(0.1)
    torch.manual_seed(0)
    return Slow(64, 10)
"""


@dataclass(frozen=True)
class Surface:
    """A small surface, and a way to compute it. Bits are compared, so the batch is given."""

    options: tuple[str, ...]
    lag: float = 0.16  # seconds of a batch, so that a run can be disturbed


MODEL = ("--model=slow_network:build", "--data=digits", "--round-seconds=0.3")
EVERY_SAMPLE = ("--limit=100", "--batch=100")
EVERY_POINT = ("--x=-1:1:10", "--y=-1:1:9")
FEWER_SAMPLES = ("--limit=600", "--batch=64", "--rtol=0.015")  # 256 or 512 at a point
FEWER_POINTS = ("--x=-1:1:41", "--y=-1:1:7", "--adaptive=0.02")
SURFACES = {
    "exact": Surface((*MODEL, *EVERY_SAMPLE, *EVERY_POINT)),
    "adaptive": Surface((*MODEL, *EVERY_SAMPLE, *FEWER_POINTS)),
    "sampled": Surface((*MODEL, *FEWER_SAMPLES, *EVERY_POINT), lag=0.024),
    "adaptive and sampled": Surface((*MODEL, *FEWER_SAMPLES, *FEWER_POINTS), lag=0.024),
}
# Datasets that begin so must not depend on faults; times, ranks and their checksums may differ.
KEPT = ("train_", "check_", "alpha", "beta", "done")


@dataclass(frozen=True)
class Ended:
    """The end of a run."""

    status: int
    words: str  # all it said


RunAndWait = Callable[..., Ended]


def write_network(folder: Path) -> None:
    (folder / "slow_network.py").write_text(NETWORK)


def command(n_ranks: int, out: Path, *options: str) -> list[str]:
    words = [str(ROOT / "launch/try_ranks.sh"), str(n_ranks), sys.executable, "-m"]
    return [*words, "landscape_mpi.surface", f"--out={out}", *options]


def environment(lag: float) -> dict[str, str]:
    """Return the environment of a run, without what this process has of MPI, if it is a rank."""
    outer = ("OMPI_", "OPAL_", "PMIX_", "PMI_", "SLURM_", "TIME_LIMIT_S")
    own = {name: text for name, text in os.environ.items() if not name.startswith(outer)}
    path = os.pathsep.join(filter(None, [str(ROOT), own.get("PYTHONPATH")]))
    return own | {"PYTHONPATH": path, "LAG": str(lag), "OMP_NUM_THREADS": "1"}


def run_and_wait(n_ranks: int, out: Path, *options: str, cwd: Path) -> Ended:
    """Run the command on ranks."""
    done = subprocess.run(
        command(n_ranks, out, *options),
        cwd=cwd,
        env=environment(0),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Ended(done.returncode, done.stdout)


class Disturbed:
    """A run that goes on while something happens to it; what is left of it is killed at the end."""

    def __init__(self, words: list[str], out: Path, *, cwd: Path, lag: float) -> None:
        self._out, self._log = out, cwd / "disturbed.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                words,
                cwd=cwd,
                env=environment(lag),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Disturbed:
        return self

    def __exit__(self, *problem: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def words(self) -> str:
        return self._log.read_text()

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def wait_for_rounds(self, n_rounds: int) -> None:
        self.wait_until(lambda: len(points_reported(self.words)) >= n_rounds)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_S
        while not condition():
            if self.is_over or time.monotonic() > end:
                raise RuntimeError(f"it ended before it could be disturbed:\n{self.words}")
            time.sleep(0.02)

    def ranks(self) -> dict[int, int]:
        """Return the process of each rank."""
        return dict(ranks_writing(self._out))

    def ended(self) -> Ended:
        """Wait for its end."""
        status = self._process.wait(timeout=LIMIT_S)
        return Ended(status, self.words)


def ranks_writing(out: Path) -> Iterator[tuple[int, int]]:
    """Yield number and process of each rank whose command names a file."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"--out={out}".encode() not in (entry / "cmdline").read_bytes().split(b"\0"):
                continue
            names = rb"(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)\0"
            if rank := re.search(names, (entry / "environ").read_bytes()):
                yield int(rank[1]), int(entry.name)


def points_reported(words: str) -> list[int]:
    """Return the number of points computed after each round, as the log says."""
    lines = re.findall(r"^([\d,]+)(?:/\d+ points \(| points computed, )", words, re.MULTILINE)
    return [int(n.replace(",", "")) for n in lines]


def rounds_lost(words: str, out: Path) -> int:
    """Return how many rounds that were reported as written are not in the file."""
    reported = points_reported(words)
    if not reported:
        return 0
    with h5py.File(out, "r", locking=False) as file:
        n_done = int(np.sum(file["done"][...] == 1))
    return sum(n_points > n_done for n_points in reported)


def is_same(path: Path, reference: Path) -> bool:
    """Return whether two complete surfaces have the same bits."""
    with h5py.File(path) as file, h5py.File(reference) as expected:
        names = {name for name in [*file, *expected] if name.startswith(KEPT)}
        same = all(
            name in file and name in expected and _bits(file[name]) == _bits(expected[name])
            for name in names
        )
        return same and bool(file["done"][...].all())


def _bits(dataset: h5py.Dataset) -> bytes:
    return bytes(dataset[...].tobytes())


def begun_copy(begun: Path, folder: Path) -> Path:
    """Return a copy of a surface file that was begun."""
    return Path(shutil.copy(begun, folder / "surface.h5"))
