"""Peak memory and time of the trajectory command on a long run of a large network.

    .venv/bin/python tests/benchmarks/trajectory.py FOLDER [--checkpoints 300] [--ranks 2]

writes a synthetic run of resnet50 for 1,000 classes (25.5 million weights, 0.1 GB a checkpoint)
into FOLDER, unless it is there, makes its plane on so many ranks, and prints what each of them
had in memory at most (VmHWM, which counts the pages of files that it looked at) and how long
the command took. FOLDER needs 30 GB for 300 checkpoints, and is left for another try.

Measured once, in November 2026, on two cores of an Intel Xeon, 2 ranks, 300 checkpoints and the
first weights: at most 1.59 GB on a rank, 655 s.
"""

from __future__ import annotations

import argparse
import atexit
import runpy
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
GIGABYTE = 1e9


def write_run(folder: Path, n: int) -> None:
    """Write n + 1 checkpoints of a random walk with drift."""
    import torch

    from landscape_mpi.zoo.checkpoint import write_checkpoint
    from landscape_mpi.zoo.networks import build_network

    torch.manual_seed(0)
    network = build_network("resnet50", n_channels=3, n_classes=1000)
    drift = [torch.randn_like(p) * 1e-3 for p in network.parameters()]
    folder.mkdir(parents=True, exist_ok=True)
    for epoch in range(n + 1):
        path = folder / f"epoch_{epoch:04d}.pt"
        if not path.exists():
            write_checkpoint(path, network, {"epoch": epoch, "lr": 0.1})
        with torch.no_grad():
            for parameter, step in zip(network.parameters(), drift, strict=True):
                parameter.add_(step).add_(torch.randn_like(step), alpha=1e-3)


def peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def run_as_rank(argv: list[str]) -> None:
    """Run the command in this process, and say at its end what it had in memory at most."""
    atexit.register(lambda: print(f"peak: {peak_bytes() / GIGABYTE:.2f} GB", flush=True))
    sys.argv = ["landscape_mpi.trajectory", *argv]
    runpy.run_module("landscape_mpi.trajectory", run_name="__main__")


def main() -> int:
    if sys.argv[1] == "--as-rank":
        run_as_rank(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoints", type=int, default=300)
    parser.add_argument("--ranks", type=int, default=2)
    options = parser.parse_args()
    folder, out = options.folder / "run", options.folder / "plane.h5"
    options.folder.mkdir(parents=True, exist_ok=True)
    need = options.checkpoints * 0.103 * GIGABYTE
    if not folder.exists() and shutil.disk_usage(options.folder).free < 1.1 * need:
        print(f"{options.folder} has no room for {need / GIGABYTE:.0f} GB", file=sys.stderr)
        return 2
    write_run(folder, options.checkpoints)
    script = [sys.executable, __file__, "--as-rank", folder, "--out", out]
    begin = time.perf_counter()
    ranks = [ROOT / "launch/try_ranks.sh", options.ranks, *script]
    done = subprocess.run(list(map(str, ranks)), cwd=ROOT, check=False)
    print(f"{time.perf_counter() - begin:.0f} s on {options.ranks} ranks", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
