"""Measure the time and the calls of writing a round, for docs/explanation/writes.md.

    make bench-writes
    make bench-writes BEFORE=/path/to/another/checkout     # measures that one too, in turns

A library (tests/file_calls) counts the calls that read, write or sync the file, and can delay each
of them by 1 ms, as a busy shared file system does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]

from file_calls.library import Counts, FileCalls  # noqa: E402
from page import replace_section, table  # noqa: E402

PAGE = ROOT / "docs/explanation/writes.md"
GRID = (100, 200)
ROUND_RANKS = (2, 16)
N_TIMES = 3
LARGE_GRID = (1001, 1001)
LARGE_RANKS = 16
LARGE_ROUNDS = (1_000, 10_000, 100_000)
N_ALONG = 41
RUN_RANKS = 2
POINT_S = 0.01
N_RUNS = 3
DELAY_US = 1000
ONE_ROUND = """
import sys, time
from pathlib import Path
import numpy as np
from mpi4py.MPI import COMM_WORLD as comm
from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.store import writer
from landscape_mpi.store.creation import SurfaceContent, create_surface

way, path = sys.argv[1], Path(sys.argv[2])
n_points, *shape = map(int, sys.argv[3:])
axes = [np.arange(n, dtype=float) for n in shape]
names = ("train_loss", "train_error")
if comm.rank == 0:
    content = SurfaceContent(*axes, names, {"provenance": {}})
    create_surface(path, content)
comm.Barrier()
opened = getattr(writer, way)(path, comm=comm)
order = coarse_to_fine(*shape)
begin = (len(order) - n_points) // 2
points = np.array_split(order[begin : begin + n_points], comm.size)[comm.rank]
columns = {name: points / 7 for name in (*names, "seconds")}
columns["rank"] = np.full(len(points), comm.rank, np.int32)
comm.Barrier()
began = time.perf_counter()
opened.write_round(points, columns)
comm.Barrier()
if comm.rank == 0:
    print(time.perf_counter() - began)
opened.close()
"""
NETWORK = f"""
import time, torch

class Slow(torch.nn.Linear):
    def forward(self, images):
        if images.sum() > -1e30:  # depends on the values, so that it cannot be traced away
            time.sleep({POINT_S})
        return super().forward(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Slow(64, 10)
"""
GATHER_ALWAYS = """
import runpy, sys
from landscape_mpi.store import writer
writer.has_parallel_hdf5 = lambda: False
runpy.run_module("landscape_mpi.surface", run_name="__main__")
"""


def on_ranks(n_ranks: int, words: Sequence[str], checkout: Path, **variables: str) -> list[str]:
    """Return the command line on ranks; only the ranks load the library."""
    preload = [f"{name}={value}" for name, value in variables.items()]
    start = [str(ROOT / "launch/try_ranks.sh"), str(n_ranks), "env", *preload]
    return [*start, f"PYTHONPATH={checkout}", sys.executable, *words]


def write_one_round(
    way: str,
    n_ranks: int,
    checkout: Path,
    folder: Path,
    *,
    n_points: int = GRID[0] * GRID[1],
    grid: tuple[int, int] = GRID,
) -> tuple[float, Counts]:
    """Return the time of a round, s, and the calls of ranks that open, write and close."""
    path = folder / "round.h5"
    calls = FileCalls(folder, file=path)
    words = ["-c", ONE_ROUND, way, str(path), *map(str, (n_points, *grid))]
    command = on_ranks(n_ranks, words, checkout, **calls.variables)
    # Python looks for packages in its folder first.
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder)
    path.unlink()
    return float(done.stdout.split()[-1]), calls.counts()


def run_surface(way: str, checkout: Path, folder: Path) -> tuple[float, float, Counts]:
    """Return the share of its time in which a run evaluates, its time, s, and its calls."""
    import h5py

    path = folder / "surface.h5"
    calls = FileCalls(folder, file=path, delay_us=DELAY_US)
    words = ["-m", "landscape_mpi.surface"]
    if checkout != ROOT:
        words = ["-c", GATHER_ALWAYS] if way == "gather" else words
    options = [] if checkout != ROOT else [f"--write={way}"]
    options += ["--model=slow_network:build", "--data=digits", "--limit=100", "--batch=100"]
    options += [f"--x=-1:1:{N_ALONG}", f"--y=-1:1:{N_ALONG}", f"--out={path}", "--device=cpu"]
    command = on_ranks(RUN_RANKS, [*words, *options], checkout, **calls.variables)
    (folder / "slow_network.py").write_text(NETWORK)
    began = ended = 0.0
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        for line in run.stdout or ():
            now = time.perf_counter()
            if " points (" in line:
                ended = now
            elif not ended:
                began = now  # the last line before the first round
    if run.returncode:
        raise RuntimeError(f"the run ended with status {run.returncode}")
    with h5py.File(path) as file:
        busy_s = float(file["seconds"][...].sum()) / RUN_RANKS
    path.unlink()
    return busy_s / (ended - began), ended - began, calls.counts()


def rounds_table(checkouts: dict[str, Path], folder: Path) -> list[str]:
    """Measure single rounds, in turns."""
    rows = []
    for n_ranks in ROUND_RANKS:
        found: dict[tuple[str, str], list[tuple[float, Counts]]] = {}
        for _ in range(N_TIMES):
            for name, checkout in checkouts.items():
                for way in ("CollectiveWriter", "GatheringWriter"):
                    measured = write_one_round(way, n_ranks, checkout, folder)
                    found.setdefault((name, way), []).append(measured)
        for (name, way), measured in found.items():
            seconds, calls = statistics.median(s for s, _ in measured), measured[0][1]
            what = "parallel HDF5" if way == "CollectiveWriter" else "rank 0 gathers"
            numbers = (calls.reads, calls.writes, calls.syncs)
            rows.append((f"{n_ranks}", what, name, f"{seconds:.3f}", *(f"{n:,}" for n in numbers)))
            print(rows[-1], flush=True)
    return table(("ranks", "way", "program", "s", "reads", "writes", "syncs"), rows)


def runs_table(checkouts: dict[str, Path], folder: Path) -> list[str]:
    """Measure runs whose calls are delayed, in turns."""
    found: dict[tuple[str, str], list[tuple[float, float, Counts]]] = {}
    for _ in range(N_RUNS):
        for way, what in (("parallel", "parallel HDF5"), ("gather", "rank 0 gathers")):
            for name, checkout in checkouts.items():
                measured = run_surface(way, checkout, folder)
                found.setdefault((what, name), []).append(measured)
                print(what, name, *measured[:2], flush=True)
    rows = []
    for (what, name), runs in found.items():
        share, seconds, calls = sorted(runs, key=lambda run: run[0])[N_RUNS // 2]
        n_calls = calls.reads + calls.writes + calls.syncs
        rows.append((what, name, f"{100 * share:.0f} %", f"{seconds:.1f}", f"{n_calls:,}"))
    return table(("way", "program", "evaluating", "s", "calls"), rows)


def sizes_table(folder: Path) -> list[str]:
    """Measure rounds of different size on a large grid, gathered."""
    rows = []
    for n_points in LARGE_ROUNDS:
        options = {"n_points": n_points, "grid": LARGE_GRID}
        words = ("GatheringWriter", LARGE_RANKS, ROOT, folder)
        seconds = [write_one_round(*words, **options)[0] for _ in range(N_TIMES)]
        rows.append((f"{n_points:,}", f"{statistics.median(seconds):.2f}"))
        print(rows[-1], flush=True)
    return table(("points", "s"), rows)


def machine() -> str:
    """Return the machine and the date in words."""
    info = Path("/proc/cpuinfo").read_text()
    model = next(line.split(": ")[1] for line in info.splitlines() if "model name" in line)
    return f"{os.cpu_count()} cores of an {model}, {datetime.now(UTC):%B %Y}"


def main() -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, to be measured as well")
    before = parser.parse_args().before
    checkouts = {} if before is None else {"before": before.resolve()}
    checkouts["now"] = ROOT
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        rounds, runs = rounds_table(checkouts, folder), runs_table(checkouts, folder)
    finally:
        shutil.rmtree(folder)
    with tempfile.TemporaryDirectory(dir=ROOT) as disk:
        sizes = sizes_table(Path(disk))
    where = f"`make bench-writes`, {machine()}; the file is in /dev/shm."
    n_points = GRID[0] * GRID[1]
    words = (
        f"{n_points:,} points of {GRID[0]} x {GRID[1]}, coarse to fine, shared out evenly: median "
        f"of {N_TIMES} rounds. The calls are those of all ranks that open the file, write one "
        f"round and close it; most reads are those of the file's structure."
    )
    replace_section(PAGE, "One round", [*textwrap.wrap(words, 110), "", *rounds, "", where])
    words = (
        f"A surface of {N_ALONG} x {N_ALONG} points on {RUN_RANKS} ranks, where a point takes "
        f"{1000 * POINT_S:.0f} ms, and each call that reads, writes or syncs the file takes "
        f"{DELAY_US / 1000:.0f} ms more, as on a busy shared file system. *Evaluating* is the "
        f"time of the points over the time of all rounds."
    )
    replace_section(
        PAGE, "A run on a slow file system", [*textwrap.wrap(words, 110), "", *runs, "", where]
    )
    words = (
        f"A round of {LARGE_GRID[0]:,} x {LARGE_GRID[1]:,} points from {LARGE_RANKS} ranks, "
        f"gathered on rank 0 and written to a disk, fsync included: median of {N_TIMES}."
    )
    on_disk = where.replace("the file is in /dev/shm", "the file is on the disk of the machine")
    replace_section(PAGE, "Rounds on a disk", [*textwrap.wrap(words, 110), "", *sizes, "", on_disk])
    return 0


if __name__ == "__main__":
    sys.exit(main())
