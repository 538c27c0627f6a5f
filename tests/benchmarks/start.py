"""Calls and seconds until ranks compute, with and without a packed environment.

    make bench-start
    make bench-start LANDSCAPE_IMAGE=/scratch/environment.sqsh    # one that launch/pack.sh has made

strace counts the calls of one rank that name a file. Those on shared files are the ones that every
rank of a job would send to the servers of a file system: the environment, this checkout, the folder
of the run and the image. A run computes one point of a small network.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE)]

from page import replace_section, table  # noqa: E402

PAGE = ROOT / "docs/how-to/many-ranks.md"
HEADING = "Measured"
RANKS = (1, 2, 8, 16)
N_TIMES = 5
NAMED = re.compile(r'\w+\((?:AT_FDCWD|\d+)?,? ?"(/[^"]*)"')
NETWORK = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""
SURFACE = [
    "-m",
    "landscape_mpi.surface",
    "--model=net:build",
    "--data=digits",
    "--limit=10",
    "--x=0",
]


def main() -> None:
    """Count and time, and write the table into the page."""
    if not shutil.which("strace"):
        sys.exit("strace is not installed: apt-get install strace")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.py").write_text(NETWORK)
        image = os.environ.get("LANDSCAPE_IMAGE") or pack(folder)
        ways = {"files as they are": {}, "packed": {"LANDSCAPE_IMAGE": image}}
        counts = {way: count(folder, settings, image) for way, settings in ways.items()}
        seconds = {way: {} for way in ways}
        for n in RANKS:
            taken = {way: [] for way in ways}
            for _ in range(N_TIMES):  # in turns
                for way, settings in ways.items():
                    taken[way].append(run(folder, n, settings))
            for way in ways:
                seconds[way][n] = statistics.median(taken[way])
    rows = [
        [
            way,
            f"{counts[way][0]:,}",
            f"{counts[way][1]:,}",
            *(f"{seconds[way][n]:.1f}" for n in RANKS),
        ]
        for way in ways
    ]
    columns = ["environment", "calls of a rank", "on shared files"]
    n_cores = len(os.sched_getaffinity(0))
    lines = [
        f"`make bench-start`, {n_cores} cores of an {processor()}, local disk, "
        f"{datetime.now(UTC):%B %Y}; medians of {N_TIMES} runs, in turns.",
        "",
        *table([*columns, *(f"{n} rank{'s' * (n > 1)}, s" for n in RANKS)], rows),
    ]
    replace_section(PAGE, HEADING, lines)
    print("\n".join(lines))


def pack(folder: Path) -> str:
    """Pack this environment; return the file."""
    image = str(folder / "environment.sqsh")
    subprocess.run([ROOT / "launch/pack.sh", image], check=True)
    return image


def with_image(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment of a run, which has an image in the settings alone."""
    own = {name: value for name, value in os.environ.items() if name != "LANDSCAPE_IMAGE"}
    return own | settings


def command(n: int, out: Path) -> list[str]:
    """Return the command that computes one point on n ranks."""
    start = [f"{ROOT}/launch/try_ranks.sh", str(n), f"{ROOT}/launch/run_rank.sh", f"{out}.status"]
    return [*start, "python", *SURFACE, f"--out={out}"]


def run(folder: Path, n: int, settings: dict[str, str]) -> float:
    """Return the seconds that a run of n ranks takes."""
    out = folder / "out.h5"
    out.unlink(missing_ok=True)
    begin = time.monotonic()
    subprocess.run(
        command(n, out), cwd=folder, env=with_image(settings), check=True, capture_output=True
    )
    return time.monotonic() - begin


def count(folder: Path, settings: dict[str, str], image: str) -> tuple[int, int]:
    """Return the number of calls of a rank that name a file, and of those on shared files."""
    out, log = folder / "counted.h5", folder / "calls"
    out.unlink(missing_ok=True)
    line = ["strace", "-f", "-o", str(log), "-e", "trace=file", *command(1, out)]
    subprocess.run(line, cwd=folder, env=with_image(settings), check=True, capture_output=True)
    text = log.read_text(errors="replace")
    log.unlink()
    shared = (sys.prefix, sys.base_prefix, str(ROOT), str(folder), image)
    named = NAMED.findall(text)
    return text.count("\n"), sum(place.startswith(shared) for place in named)


def processor() -> str:
    """Return the name of the processor."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown processor"


if __name__ == "__main__":
    main()
