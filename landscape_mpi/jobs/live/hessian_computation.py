"""Compute Hessians in Python: in a notebook, or in a script that mpirun starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from landscape_mpi.default_device import on_the_cpu
from landscape_mpi.errors import InputError, missing_packages_named
from landscape_mpi.jobs.live.call_checks import check_keywords
from landscape_mpi.jobs.live.checked_together import checked_together
from landscape_mpi.jobs.live.keyword_values import check_choices, check_numbers
from landscape_mpi.jobs.live.live_problem import check_lendable, problem_of
from landscape_mpi.problem import Problem
from landscape_mpi.python.loss_surface import LossSurface, open_surface

if TYPE_CHECKING:
    import torch
    from torch import nn

    from landscape_mpi.jobs.hessian.request import HessianRequest

CALLER = "compute_hessian"
CHOICES = {
    "parameters": ("moved", "all"),
    "solver": ("lanczos", "arpack"),
}
WHOLE = ("limit", "stride", "max_products", "basis", "ranks_per_point", "batch_size")
WITHOUT_NETWORK = (
    "compute_hessian: data or loss is given without a network. Also pass the network, or leave "
    "out data and loss to use those of the surface."
)
ABOVE_0 = ("tolerance", "memory", "round_seconds")


class HessianOptions(TypedDict, total=False):
    """Options for the eigenvalues; all are optional."""

    batch_size: int  # samples in a batch of a Dataset or of tensors (32)
    limit: int  # training samples, or batches if the data are in batches (5000)
    parameters: str  # parameters: those that the directions move (moved), or all
    stride: int  # compute every K-th point of both axes, from the middle (1)
    gauss_newton: bool  # use the Gauss-Newton matrix; only for surfaces of --model
    tolerance: float  # relative accuracy of an eigenvalue (0.01)
    max_products: int  # most products per point (200)
    solver: str  # lanczos or arpack
    basis: int  # vectors kept in memory (40)
    memory: float  # memory for results that later products reuse, GB
    directions: str | Path  # file of the directions, if it has moved
    fresh: bool  # compute all eigenvalues again
    device: str | torch.device  # auto, cpu or cuda
    ranks_per_point: int  # ranks that share the batches of a point
    round_seconds: float  # time between writes, s: work that an interruption may lose (30)


@missing_packages_named("compute_hessian")
@on_the_cpu()
def compute_hessian(
    surface: LossSurface | str | Path,
    network: nn.Module | Problem | None = None,
    data: Any = None,
    *,
    loss: str | Callable[..., Any] = "cross_entropy",
    progress: bool = True,
    **options: Unpack[HessianOptions],
) -> LossSurface:
    """Add the smallest and the largest eigenvalue of the Hessian at every point to a surface.

    The eigenvalues belong to the mean training loss, and are written to the file of the surface. A
    surface that compute_surface has returned knows its network, data and loss; so does a file of
    the surface command. The network is unchanged afterwards. Values equal those of the hessian
    command. Collective over the MPI ranks if mpirun has started several.

    >>> import torch
    >>> from landscape_mpi import compute_surface
    >>> network, data = torch.nn.Linear(2, 3), (torch.randn(60, 2), torch.arange(60) % 3)
    >>> surface = compute_surface(network, data, x=(-1, 1, 3), progress=False)
    >>> surface = compute_hessian(surface, progress=False)
    >>> bool((surface.values["hessian_max"] > 0).all())
    True

    Args:
        surface: Surface on a line or a plane, or its file.
        network: Network with the weights of the surface's center, or a Problem; None to use that of
            the surface.
        data: Data of the surface; see compute_surface. The first of its training data are used.
        loss: Loss of the surface; see compute_surface.
        progress: Show a bar.
        options: Further options; docs/reference/python.md has a table of them.

    Returns:
        The surface with hessian_min, hessian_max and hessian_ratio among its values.

    Raises:
        InputError: If an argument is not valid, or differs from the surface's.
        KeyboardInterrupt: If Ctrl-C came: completed points are in the file, and the same call
            continues.
    """

    def check() -> tuple[LossSurface, Problem | None]:
        check_keywords(options, HessianOptions.__annotations__, caller=CALLER)
        check_choices(CALLER, options, CHOICES)
        check_numbers(CALLER, options, whole=WHOLE, above_0=ABOVE_0)
        found = surface if isinstance(surface, LossSurface) else open_surface(surface)
        problem = found.problem
        if network is not None:
            batch_size = options.get("batch_size", 32)
            problem = problem_of(network, data, loss, None, batch_size, caller=CALLER)
        elif data is not None or loss != "cross_entropy":
            raise InputError(WITHOUT_NETWORK)
        if problem is not None:
            check_lendable(problem.network, caller=CALLER)
        return found, problem

    return _compute(*checked_together(check), options, shown=progress)


def _compute(
    surface: LossSurface, problem: Problem | None, options: HessianOptions, *, shown: bool
) -> LossSurface:
    # MPI, HDF5 and the rest of torch start here.
    from landscape_mpi.cluster.communicator import start_ranks
    from landscape_mpi.jobs.hessian.hessian_plan import read_plan
    from landscape_mpi.jobs.live.process_state import borrowed
    from landscape_mpi.jobs.live.quiet_job import QuietHessian, run_quietly
    from landscape_mpi.jobs.live.shared_call import compare_call

    ranks, asked = start_ranks(), _request(surface.path, problem, options)
    compare_call(ranks, CALLER, {"surface": surface.path, **options})

    def make() -> QuietHessian:
        return QuietHessian(*read_plan(ranks, asked), problem=asked.moved.problem, shown=shown)

    with borrowed(None if problem is None else problem.network):
        outcome = run_quietly(ranks, make, HessianOptions.__annotations__)
    if not outcome.finished:
        raise KeyboardInterrupt(f"all computed eigenvalues are in {surface.path}")
    return surface.read_again()


def _request(path: Path, problem: Problem | None, options: HessianOptions) -> HessianRequest:
    from landscape_mpi.engine.problem_source import ProblemSource
    from landscape_mpi.engine.request import Evaluation, MovedInputs, Rounds
    from landscape_mpi.jobs.hessian.request import HessianRequest, Solver, SpectrumRequest

    directions = options.get("directions")
    return HessianRequest(
        surface=path,
        moved=MovedInputs(problem=None if problem is None else ProblemSource(problem)),
        solver=Solver(
            tolerance=options.get("tolerance", 1e-2),
            max_products=options.get("max_products", 200),
            solver=options.get("solver", "lanczos"),
            basis=options.get("basis", 40),
            memory=options.get("memory"),
        ),
        spectrum=SpectrumRequest(top=10),
        evaluation=Evaluation(
            device=str(str(options.get("device", "auto"))),
            ranks_per_point=options.get("ranks_per_point"),
        ),
        rounds=Rounds(options.get("round_seconds", 30.0)),
        parameters=options.get("parameters", "moved"),
        stride=options.get("stride", 1),
        gauss_newton=options.get("gauss_newton", False),
        directions=None if directions is None else Path(directions),
        limit=options.get("limit"),
        fresh=options.get("fresh", False),
    )
