"""Print the table of README.md that compares planes of this program with the paper authors' ones.

    python examples/paper/planes_table.py SURFACES [PLANES]

SURFACES has resnet56.h5, resnet56_noshort.h5 and resnet56_noshort_201.h5, as the authors published
them. PLANES has the files of planes.sh, one for each network and seed (default: the folder planes
beside this file).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np

from landscape_mpi import LossSurface, open_surface
from landscape_mpi.store.sharpness import non_convex_share

GUESSING = math.log(10)  # nat
NETWORKS = {
    "ResNet-56 without shortcuts": ("resnet56_noshort", "resnet56_noshort_201"),
    "ResNet-56": ("resnet56",),
}


def measure(surface: LossSurface) -> dict[str, float]:
    """Return the numbers of one plane by their names in the table."""
    rings, loss = surface.rings(), surface.values["train_loss"]
    low, median, high = rings.at(0.5)
    share = non_convex_share(surface.alpha, surface.beta, loss)
    assert share is not None
    return {
        "loss at the center, nat": float(rings.median[0]),
        "radius at which the median reaches guessing": rings.reach(GUESSING),
        "median at radius 0.5, nat": median,
        "5th percentile at radius 0.5, nat": low,
        "95th percentile at radius 0.5, nat": high,
        "points that are not convex, %": 100 * share,
    }


def list_rows(surfaces: Path, planes: Path) -> list[list[str]]:
    """Return a row of the table for each network and number."""
    rows = []
    for network, (name, *others) in NETWORKS.items():
        ours = [measure(open_surface(path)) for path in sorted(planes.glob(f"{name}_seed*.h5"))]
        theirs = [measure(open_surface(surfaces / f"{each}.h5")) for each in (name, *others)]
        for number in theirs[0]:
            known = np.array([plane[number] for plane in ours])
            given = [plane[number] for plane in theirs]
            places = [tell_place(value, known) for value in given]
            rows.append(
                [
                    f"{network}, {len(known)} planes",
                    number,
                    f"{np.median(known):.3g} ({known.min():.3g} to {known.max():.3g})",
                    "; ".join(f"{value:.3g}" for value in given),
                    "; ".join(places),
                ]
            )
    return rows


def tell_place(value: float, known: np.ndarray) -> str:
    """Say whether a number lies inside the range of others."""
    if value < known.min():
        return "below it"
    return "above it" if value > known.max() else "inside"


def main() -> None:
    """Print the table in Markdown."""
    surfaces = Path(sys.argv[1])
    planes = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "planes"
    head = ["network", "number", "ours: median (range)", "the authors'", "beside our range"]
    for row in (head, ["---"] * len(head), *list_rows(surfaces, planes)):
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
