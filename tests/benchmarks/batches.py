"""Count how often intervals of --rtol hold if whole batches of a problem are taken.

Two problems on shifted copies of the handwritten digits, each with a network trained here: targets
of which a third does not count, in batches of 1 to 4 images; and InfoNCE, whose loss belongs to a
batch as a whole. All batches are computed once at each point of a plane, by a plain loop. A run's
statement is then computed for many orders of these batches, and compared with the loss of all.

    make bench-samples
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from page import replace_section, table
from samples import N_ORDERS, PAGE, RULES, SEED, Population, orders_of, try_orders
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.zoo.datasets import load_dataset

HEADING = "Batches of problems"
POINTS = ((0.0, 0.0), (0.1, 0.1), (0.3, 0.0), (1.0, 1.0))
EPOCHS, RATE, SHIFTS = 4, 2e-3, (-1, 0, 1)  # pixels along each axis
IGNORED, SHARE_IGNORED, MOST = -100, 1 / 3, 4  # images in a batch
N_PAIRS, TEMPERATURE = 4, 0.1

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[nn.Module, Batch], tuple[torch.Tensor, torch.Tensor | float]]


@dataclass(frozen=True)
class Problem:
    """A problem of this script."""

    name: str
    network: nn.Module
    batches: Sequence[Batch]
    loss: Loss  # sum and count of a batch
    guess: float = 0.0  # loss of one target about which the network knows nothing, if known


def images() -> Batch:
    """Return shifted copies of all training images of the digits, float32 [n, 64], with targets."""
    data = load_dataset("digits").splits["train"]
    originals = torch.from_numpy(data.inputs).float().reshape(-1, 8, 8) / 255
    shifts = [(row, column) for row in SHIFTS for column in SHIFTS]
    copies = [torch.roll(originals, shift, dims=(1, 2)).flatten(1) for shift in shifts]
    targets = torch.from_numpy(data.targets).long().repeat(len(shifts))
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(SEED))
    return torch.cat(copies)[order], targets[order]


def ignoring_loss(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cross-entropy of the targets that count, and their number."""
    inputs, targets = batch
    outputs = network(inputs)
    loss = functional.cross_entropy(outputs, targets, ignore_index=IGNORED, reduction="sum")
    return loss, (targets != IGNORED).sum()


def contrastive_loss(network: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
    """Return InfoNCE: each image is told from the others of its batch by its second view."""
    first, second = (functional.normalize(network(view), dim=1) for view in batch)
    own = torch.arange(len(first))
    return functional.cross_entropy(first @ second.T / TEMPERATURE, own), 1.0


def ignoring() -> Problem:
    """Return digits of which a third has no target that counts."""
    draw = torch.Generator().manual_seed(SEED)
    inputs, targets = images()
    targets[torch.rand(len(targets), generator=draw) < SHARE_IGNORED] = IGNORED
    sizes = torch.randint(1, MOST + 1, (len(targets),), generator=draw)
    sizes = sizes[: int((sizes.cumsum(0) <= len(targets)).sum())].tolist()
    n = sum(sizes)
    batches = list(zip(inputs[:n].split(sizes), targets[:n].split(sizes), strict=True))
    problem = trained("targets that count", (64, 10), batches, ignoring_loss)
    return replace(problem, guess=math.log(10))


def contrastive() -> Problem:
    """Return pairs of an image and a noisy copy."""
    draw = torch.Generator().manual_seed(SEED)
    inputs, _ = images()
    noisy = inputs + 0.2 * torch.randn(inputs.shape, generator=draw)
    batches = list(zip(inputs.split(N_PAIRS), noisy.split(N_PAIRS), strict=True))
    return trained("InfoNCE", (64, 16), batches, contrastive_loss)


def trained(name: str, sizes: tuple[int, int], batches: Sequence[Batch], loss: Loss) -> Problem:
    """Return a problem with a network trained on its batches."""
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(sizes[0], 64), nn.ReLU(), nn.Linear(64, sizes[1]))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    for _ in range(EPOCHS):
        for batch in batches:
            total, count = loss(network, batch)
            optimizer.zero_grad()
            (total / max(float(count), 1.0)).backward()
            optimizer.step()
    return Problem(name, network, batches, loss)


def values_at(problem: Problem, place: tuple[float, float]) -> Population:
    """Return the sums and counts of all batches at a point of the plane of seed 1."""
    center = {name: each.copy() for name, each in tensors_of(problem.network).items()}
    how = {"seed": 1, "normalize": "filter"}
    first, second = (random_direction(center, axis=axis, **how) for axis in ("alpha", "beta"))
    moved = {
        name: torch.from_numpy(each + place[0] * first[name] + place[1] * second[name])
        for name, each in center.items()
    }
    problem.network.load_state_dict(moved)
    with torch.no_grad():
        pairs = [problem.loss(problem.network, batch) for batch in problem.batches]
    problem.network.load_state_dict({n: torch.from_numpy(each) for n, each in center.items()})
    sums, counts = np.array([[float(part) for part in pair] for pair in pairs]).T
    return Population(sums, counts, problem.guess, guessed=1.0)


def rows_of(problem: Problem, n_orders: int) -> list[tuple[str, ...]]:
    """Return the rows of a problem, one for each point and rule."""
    orders, rows = orders_of(len(problem.batches), n_orders), []
    for place in POINTS:
        population = values_at(problem, place)
        for rule in RULES:
            found = try_orders(population, orders, rule)
            rows.append(
                (
                    problem.name,
                    f"({place[0]:g}, {place[1]:g})",
                    f"{population.value:.3g}",
                    rule.text,
                    *found.cells(),
                    f"{100 * found.plain_holds.mean():.1f} %",
                )
            )
    return rows


def lines_of(problems: Sequence[Problem], n_orders: int) -> list[str]:
    """Return the section."""
    heads = ("problem", "point", "loss", "allowed error", "batches taken", "interval holds")
    rows = [row for problem in problems for row in rows_of(problem, n_orders)]
    sizes = ", ".join(f"{len(problem.batches):,} ({problem.name})" for problem in problems)
    return [
        f"`make bench-samples`, seed {SEED}, {n_orders:,} orders, {CPU.describe()}. Batches in "
        f"all: {sizes}. The small networks were trained on shifted copies of the digits. A third "
        f"of the targets does not count, and InfoNCE is a loss of a whole batch. The plain "
        f"interval is that of the ratio of sums and counts, without the corrections; the same rule "
        f"stops it.",
        "",
        *table((*heads, "plain interval holds"), rows),
    ]


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=N_ORDERS, help="orders to try")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    replace_section(options.page, HEADING, lines_of([ignoring(), contrastive()], options.orders))


if __name__ == "__main__":
    main()
