"""Both ends of the Hessian of ResNet-20 on a 3 x 3 plane: products, values, and their time.

Beside ours, in the same run: the plain way, two backward passes through the unfolded network
for each product, and the library hessian-eigenthings with SciPy's eigenvalues. They share no
code with the package but the network's own definition.

    LANDSCAPE_DATA=... make bench-hessian
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from case import MEAN, STD, Case, trained
from hessian_eigenthings import HessianOperator
from page import BENCHMARKS, replace_section, table
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.lanczos import Ends, find_ends
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.engine.grid import coarse_to_fine

HEADING = "Hessian"
TOLERANCE = 1e-2
BATCH = 64
N_ROUNDS = 5
RANDOM_PART = 0.1  # of a start from a neighbour, as in landscape_mpi.hessian


def make_plane(case: Case, threads: int) -> HessianPlane:
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device="cpu")
    directions = case.directions()
    return HessianPlane(
        case.network(),
        directions,
        OutputLosses(samples, CROSS_ENTROPY, batch=BATCH, channels_last=True, quick=True),
        Setting(CPU, "fp32", BATCH, threads),
        parameters=list(directions["alpha"]),
        total_weight=case.n_images,
        budget_bytes=8 << 30,
    )


def solve_plane(plane: HessianPlane, *, neighbours: bool) -> dict[tuple[float, float], Ends]:
    """Return both ends at the points of the plane, in the order in which they were found."""
    axis = (-1.0, 0.0, 1.0)
    found: dict[tuple[float, float], Ends] = {}
    for place in coarse_to_fine(3, 3):
        point = axis[place // 3], axis[place % 3]
        start = random_vector(plane, int(place))
        if found and neighbours:
            near = found[min(found, key=lambda other: np.hypot(*np.subtract(other, point)))]
            start = near.least.vector + near.greatest.vector + RANDOM_PART * start
        plane.move_to(*point)
        found[point] = find_ends(plane.multiply, start, tolerance=TOLERANCE, max_products=200)
    return found


def plain_product(case: Case, threads: int) -> Callable[[], object]:
    """Return a product at the center: both backward passes, unfolded, channels first."""
    network = case.network()
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device="cpu")
    inputs = samples.batch(slice(None)).contiguous()
    weights = [p for p in network.parameters() if p.dim() > 1]
    vector = [torch.randn_like(p) for p in weights]

    def product() -> object:
        torch.set_num_threads(threads)
        total = [torch.zeros_like(p) for p in weights]
        for images, targets in zip(inputs.split(128), samples.targets.split(128), strict=True):
            loss = nn.functional.cross_entropy(network(images), targets, reduction="sum")
            gradients = torch.autograd.grad(loss, weights, create_graph=True)
            parts = torch.autograd.grad(gradients, weights, grad_outputs=vector)
            total = [t + part for t, part in zip(total, parts, strict=True)]
        torch.set_num_threads(1)
        return total

    return product


class Library:
    """The same Hessian at the center, by hessian-eigenthings, unfolded."""

    def __init__(self, case: Case, threads: int) -> None:
        samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device="cpu")
        inputs = samples.batch(slice(None)).contiguous()
        self._threads, self.n_products = threads, 0
        self._operator = HessianOperator(
            case.network(),
            list(zip(inputs.split(128), samples.targets.split(128), strict=True)),
            lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
            param_filter=lambda _, parameter: parameter.dim() > 1,
        )
        self._vector = np.random.default_rng(0).standard_normal(self._operator.size)

    def product(self, vector: np.ndarray | None = None) -> np.ndarray:
        torch.set_num_threads(self._threads)
        self.n_products += 1
        given = torch.from_numpy(self._vector if vector is None else vector.ravel()).float()
        found = self._operator.matvec(given).detach().numpy()
        torch.set_num_threads(1)
        return found

    def ends(self) -> tuple[list[float], float, int]:
        """Return both ends by SciPy's ARPACK, the seconds, and the products it took."""
        self.n_products, began = 0, time.perf_counter()
        n = self._operator.size
        operator = LinearOperator((n, n), matvec=self.product, dtype=np.float32)
        values = eigsh(operator, 2, which="BE", tol=TOLERANCE, return_eigenvectors=False)
        return sorted(map(float, values)), time.perf_counter() - began, self.n_products


def time_products(
    plane: HessianPlane, case: Case, library: Library, threads: int
) -> tuple[float, float, float]:
    """Return the time of our product, the plain and the library's at the center, medians, s."""
    plane.move_to(0.0, 0.0)
    vector, plain = random_vector(plane, 1), plain_product(case, threads)
    ways = (lambda: plane.multiply(vector), plain, library.product)
    seconds: list[list[float]] = [[], [], []]
    for _ in range(N_ROUNDS + 1):  # one after the other; the first round warms up
        for taken, way in zip(seconds, ways, strict=True):
            began = time.perf_counter()
            way()
            taken.append(time.perf_counter() - began)
    ours, plainly, theirs = (statistics.median(taken[1:]) for taken in seconds)
    return ours, plainly, theirs


def page_lines(case: Case, device: str, threads: int) -> list[str]:
    plane = make_plane(case, threads)
    library = Library(case, threads)
    ours, plain, theirs = time_products(plane, case, library, threads)
    values, seconds, n_products = library.ends()
    began = time.perf_counter()
    plane.move_to(0.0, 0.0)
    center = find_ends(
        plane.multiply, random_vector(plane, 0), tolerance=TOLERANCE, max_products=200
    )
    own_seconds = time.perf_counter() - began
    near, alone = (solve_plane(plane, neighbours=flag) for flag in (True, False))
    rows = [
        (
            f"({point[0]:g}, {point[1]:g})",
            *(f"{e.value:.6g} ± {e.residual:.1g}" for e in (ends.least, ends.greatest)),
            str(ends.n_products),
            str(alone[point].n_products),
        )
        for point, ends in near.items()
    ]
    means = [statistics.mean(e.n_products for e in found.values()) for found in (near, alone)]
    return [
        f"{case.model}, {case.n_images} images, {plane.n_parameters:,} parameters, tolerance "
        f"{TOLERANCE:g}, {device}, {threads} threads.",
        "",
        *table(("point", "smallest", "largest", "products", "from random starts"), rows),
        "",
        f"Products per point: {means[0]:.1f}, and {means[1]:.1f} from random starts. A product "
        f"takes {ours:.3f} s. Two backward passes through the unfolded network take {plain:.3f} s, "
        f"so the share is {ours / plain:.2f}. A product of hessian-eigenthings takes {theirs:.3f} "
        "s.",
        "",
        "Both eigenvalues at the center, from a random start: hessian-eigenthings and SciPy's "
        f"ARPACK find {values[0]:.6g} and {values[1]:.6g} by {n_products} products in "
        f"{seconds:.1f} s. This program finds {center.least.value:.6g} and "
        f"{center.greatest.value:.6g} by {center.n_products} products in {own_seconds:.1f} s.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--model", help="one of the zoo, with random weights on noise: a trial")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--page", type=Path, default=BENCHMARKS)
    options = parser.parse_args()
    case = Case(options.model, options.images) if options.model else trained("resnet20", 256)
    replace_section(options.page, HEADING, page_lines(case, CPU.describe(), options.threads))


if __name__ == "__main__":
    main()
