"""Small and large batches, with and without weight decay: which minimum is the sharper one?

    python examples/sharpness.py [FOLDER]

trains one network on the handwritten digits four times, puts each pair on a line between the two
solutions, and draws every network along a random direction, once as long as it is drawn and once
normalised filter by filter. It prints a table. Two ranks; what is in FOLDER already is not computed
again.
"""

import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.sharpness import width

MODEL, DATA = "resnet8", "digits"
EPOCHS = 100
BATCHES = (16, 512)
DECAYS = (0.0, 5e-3)
SEEDS = (1, 2, 3)  # of the random directions
RANGES = {"none": 0.2, "filter": 2.0}  # of alpha to either side, by normalisation
RISE = 0.1  # nat above the center: how wide is the loss below it?
RANKS = ["mpirun", "-n", "2", "--bind-to", "none"]


@dataclass(frozen=True)
class Solution:
    """A trained network."""

    batch: int
    decay: float

    @property
    def name(self) -> str:
        """Return what its files are called."""
        return f"batch{self.batch}_decay{self.decay:g}"


def run(*words: object, on_ranks: bool = True) -> None:
    """Run a command of the package; its log is of no interest unless it fails."""
    launcher = RANKS if on_ranks else []
    argv = [*launcher, sys.executable, "-m", *(str(word) for word in words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(argv)}\n{done.stdout}{done.stderr}")


def train(folder: Path, solution: Solution) -> Path:
    """Train a network; the same learning rate for both batches, as in the paper."""
    where = folder / solution.name
    options = ["--model", MODEL, "--data", DATA, "--epochs", EPOCHS, "--lr", 0.05, "--seed", 1]
    recipe = ["--batch-size", solution.batch, "--weight-decay", solution.decay]
    run(
        *("landscape_mpi.train", *options, *recipe, "--save-epochs", EPOCHS, "--run", where),
        on_ranks=False,
    )
    return where / f"epoch_{EPOCHS:04d}.pt"


def surface(out: Path, checkpoint: Path, *options: object) -> Path:
    """Compute a line on training and test set."""
    inputs = ["--model", MODEL, "--data", DATA, "--checkpoint", checkpoint]
    splits = ["--splits", "train,test"]
    run("landscape_mpi.surface", *inputs, *splits, "--out", out, *options)
    return out


def width_of(path: Path) -> float:
    """Return how far apart the points are between which the training loss is low."""
    line = read_surface(path)
    loss = line.values["train_loss"][:, 0]
    center = int(np.argmin(np.abs(line.alpha)))
    return width(line.alpha, loss, center, float(loss[center]) + RISE).total


def row(folder: Path, solution: Solution, checkpoint: Path) -> str:
    """Return the line of the table about a solution."""
    log = (folder / solution.name / "log.csv").read_text().splitlines()[-1].split(",")
    train_loss, test_error, norm = float(log[2]), float(log[5]), float(log[7])
    cells = [f"{solution.batch}", f"{solution.decay:g}", f"{train_loss:.4f}", f"{test_error:.2f} %"]
    cells.append(f"{norm:.1f}")
    for normalize, reach in RANGES.items():
        widths = []
        for seed in SEEDS:
            out = folder / f"{solution.name}_{normalize}_{seed}.h5"
            axis = f"--x={-reach}:{reach}:81"
            surface(out, checkpoint, axis, "--normalize", normalize, "--seed", seed)
            widths.append(width_of(out))
        cells.append(f"{statistics.median(widths):.3g} ({min(widths):.3g} to {max(widths):.3g})")
    return f"| {' | '.join(cells)} |"


def main(folder: Path) -> None:
    """Compute everything and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    heads = ("batch", "weight decay", "train loss, nat", "test error", "weight norm")
    widths = ("width, not normalised", "width, filter-normalised")
    print(f"| {' | '.join((*heads, *widths))} |\n|{'---|' * 7}")
    for decay in DECAYS:
        small, large = (Solution(batch, decay) for batch in BATCHES)
        files = [train(folder, solution) for solution in (small, large)]
        for solution, checkpoint in zip((small, large), files, strict=True):
            print(row(folder, solution, checkpoint), flush=True)
        line = folder / f"line_decay{decay:g}.h5"
        surface(line, files[0], "--to", files[1], "--x=-0.5:1.5:201", "--batch-norm=reestimate")
        run("landscape_mpi.plot", line, on_ranks=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/sharpness"))
