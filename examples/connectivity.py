"""The page of examples/connectivity.sh: what stands in its files, in one table.

    python examples/connectivity.py FOLDER [PAGE [ENSEMBLES]]

reads the evaluated curves and the times of the steps in FOLDER, and writes PAGE
(FOLDER/connectivity.md), with the pictures beside it; and what examples/ensemble.sh left in the
folder ENSEMBLES, if that is named.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.store.curve import AlongPath, along_paths
from landscape_mpi.store.reader import Surface, read_surface

NAMES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
KINDS = {"bezier": "Bezier curve", "polygon": "polygonal chain"}
COLUMNS = ("network", "path", "train loss", "train error", "test loss", "test error", "length")
QUANTITIES = ("train_loss", "train_error", "test_loss", "test_error")
PICTURES = ("digits-bezier_along", "digits-surface_train_loss_contour", "mnist-bezier_along")
PICTURES += ("cifar10-bezier_along",)


def machine() -> str:
    """Return what the figures were measured on, in words."""
    month = datetime.now(UTC).strftime("%B %Y")
    return f"{os.cpu_count()} cores, {CPU.describe()}, torch {torch.__version__}, {month}"


def evaluated(folder: Path) -> dict[str, dict[str, Surface]]:
    """Return the complete evaluations there are, by data and kind of curve."""
    found: dict[str, dict[str, Surface]] = {}
    for name in NAMES:
        for kind in KINDS:
            path = folder / f"{name}-{kind}.h5"
            surface = read_surface(path) if path.exists() else None
            if surface is not None and surface.done.all():
                found.setdefault(name, {})[kind] = surface
    return found


def rows_of(name: str, kinds: dict[str, Surface]) -> list[list[str]]:
    """Return the ends, and the highest values on each path, of one pair of solutions."""
    first = next(iter(kinds.values()))
    along = {kind: numbers(surface) for kind, surface in kinds.items()}
    straight = [pair[1] for pair in along[next(iter(kinds))]]
    network = f"{first.attributes['model']}, {NAMES[name]}"
    rows = []
    for number, words in enumerate(("start", "end")):
        values = [
            shown(q, found.ends[number]) for q, found in zip(QUANTITIES, straight, strict=True)
        ]
        rows.append([network, words, *values, ""])
    paths = {"straight line, highest": (straight, first, 1)}
    for kind, surface in kinds.items():
        paths[f"{KINDS[kind]}, highest"] = ([pair[0] for pair in along[kind]], surface, 0)
    for words, (values, surface, number) in paths.items():
        highest = [shown(q, found.greatest) for q, found in zip(QUANTITIES, values, strict=True)]
        length = surface.values["arc_length"][-1, number]
        rows.append([network, words, *highest, f"{length:.1f}"])
    return rows


def numbers(surface: Surface) -> list[list[AlongPath]]:
    """Return what each quantity is along both paths."""
    return [along_paths(surface, quantity) for quantity in QUANTITIES]


def shown(quantity: str, value: float) -> str:
    """Return a value as the table has it."""
    return f"{value:.2f} %" if quantity.endswith("error") else f"{value:.4f}"


def verdict(name: str, kinds: dict[str, Surface]) -> list[str]:
    """Say how far the test error rises on each path above that of the worse end."""
    lines = []
    for kind, surface in kinds.items():
        curve, straight = along_paths(surface, "test_error")
        rise, barrier = (found.greatest - max(found.ends) for found in (curve, straight))
        lines.append(
            f"- **{NAMES[name]}, {KINDS[kind]}**: the test error rises {rise:.2f} percentage "
            f"points above the worse end (at t = {curve.t_greatest:.2f}). On the straight line it "
            f"rises {barrier:.2f} percentage points."
        )
    return lines


def table(columns: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


def paths_section(folder: Path) -> list[str]:
    """Return what the straight lines and the curves gave."""
    found = evaluated(folder)
    lines = ["## Straight lines and curves", ""]
    rows = [row for name, kinds in found.items() for row in rows_of(name, kinds)]
    lines += [*table(COLUMNS, rows), ""]
    for name, kinds in found.items():
        n_places = len(next(iter(kinds.values())).alpha)
        lines += verdict(name, kinds)
        lines.append(f"  {n_places} places, each on {limit_of(kinds)} training samples.")
    return [*lines, ""]


def limit_of(kinds: dict[str, Surface]) -> str:
    """Return how many training samples each place was evaluated on."""
    known = next(iter(kinds.values())).attributes
    which = "the first" if known.get("subset", "first") == "first" else "a random"
    return "all" if known["limit"] == "none" else f"{which} {known['limit']}"


def steps_section(folder: Path) -> list[str]:
    """Return every step with its command and its time."""
    path = folder / "steps.csv"
    if not path.exists():
        return []
    with path.open() as file:
        steps = list(csv.reader(file))
    rows = [
        [name, f"{seconds} s", ranks, f"`{shortened(command, folder)}`"]
        for name, seconds, ranks, command in steps
    ]
    total = sum(int(seconds) for _, seconds, _, _ in steps)
    lines = ["## Commands and times", "", f"{total / 60:.1f} minutes in all.", ""]
    return [*lines, *table(("step", "time", "ranks", "command"), rows), ""]


def shortened(command: str, folder: Path) -> str:
    """Return a command without its launcher, and without the folders of its files."""
    _, _, words = command.partition("python -m ")
    words = re.sub(r"--data-dir \S+", "--data-dir DATA", words)
    return f"python -m {words}".replace(f"{folder}/", "")


def pictures_section(folder: Path, page: Path) -> list[str]:
    """Copy the pictures beside the page and return their lines."""
    found = [(name, folder / f"{name}.png") for name in PICTURES]
    return [
        line
        for name, picture in found
        if picture.exists()
        for line in copied(picture, page.with_name(f"connectivity_{name}.png"))
    ]


def copied(picture: Path, beside: Path) -> list[str]:
    """Copy a picture beside the page and return its lines."""
    shutil.copyfile(picture, beside)
    return [f"![{beside.stem}]({beside.name})", ""]


def ensembles_section(folder: Path, page: Path) -> list[str]:
    """Return the tables of one network, ensembles and independent networks."""
    seconds = float((folder / "seconds.txt").read_text())
    lines = [
        "## Ensembles",
        "",
        "The tables compare one network, the members of a [fast geometric",
        "ensemble](../docs/how-to/ensembles.md), the average of their weights, and independent",
        "networks on the test split. The one network took as many epochs as the ensemble, and as",
        "all independent networks together.",
        f"`examples/ensemble.sh` took {seconds / 60:.1f} minutes.",
        "",
        *(folder / "table.md").read_text().splitlines(),
    ]
    for picture in sorted(folder.glob("*/fge/ensemble.png")):
        beside = page.with_name(f"connectivity_ensemble_{picture.parent.parent.name}.png")
        lines += copied(picture, beside)
    return lines


def main() -> None:
    """Write the page."""
    folder = Path(sys.argv[1])
    page = Path(sys.argv[2]) if len(sys.argv) > 2 else folder / "connectivity.md"
    lines = [
        "# Curves between solutions",
        "",
        "`examples/connectivity.sh` trains two solutions of one network from two seeds. It joins",
        "them by the straight line, a Bezier curve and a polygonal chain of one bend (Garipov et",
        "al. 2018, arXiv:1802.10026). Batch-norm's statistics are measured on the training set at",
        "every place.",
        "[Join two solutions](../docs/how-to/curves.md) has the commands for your own network.",
        f"Measured once: {machine()}.",
        "",
        *paths_section(folder),
        *pictures_section(folder, page),
        *(ensembles_section(Path(sys.argv[3]), page) if len(sys.argv) > 3 else ()),
        *steps_section(folder),
    ]
    page.write_text("\n".join(lines).rstrip() + "\n")
    print(page)


if __name__ == "__main__":
    main()
