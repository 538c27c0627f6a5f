"""Hessians computed in Python: in a notebook, or in a script that mpirun starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from landscape_mpi.errors import InputError
from landscape_mpi.jobs.live.checked_together import checked_together
from landscape_mpi.jobs.live.keyword_values import check_choices, check_numbers
from landscape_mpi.jobs.live.keywords import check_keywords
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
    "compute_hessian: data and loss are those of a network, and no network is given. Pass it too, "
    "or leave data and loss out for what the surface was computed with."
)
ABOVE_0 = ("tolerance", "memory", "round_seconds")


class HessianOptions(TypedDict, total=False):
    """What may be asked of the eigenvalues; all of it may be left out."""

    batch_size: int  # samples in a batch of a Dataset or of tensors (32)
    limit: int  # training samples, or batches where the data are in batches (5000)
    parameters: str  # moved by the directions (moved), or all
    stride: int  # every so many points of both axes, from the middle (1)
    gauss_newton: bool  # the Gauss-Newton matrix; for surfaces of --model
    tolerance: float  # of an eigenvalue, relative (0.01)
    max_products: int  # of a point (200)
    solver: str  # lanczos or arpack
    basis: int  # vectors kept (40)
    memory: float  # GB, for what is kept between products
    directions: str | Path  # the file that the directions were taken from, if it moved
    fresh: bool  # compute all eigenvalues again
    device: str | torch.device  # auto, cpu or cuda
    ranks_per_point: int  # ranks that share the batches of a point
    round_seconds: float  # how much work an interruption may lose (30)


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

    They are those of the mean training loss, and go into the file of the surface. A surface that
    compute_surface has returned knows its network, data and loss; so does a file of the surface
    command. The network is given back as it was. Values are those of the hessian command.
    Collective over the MPI ranks, where mpirun has started several.

    >>> import torch
    >>> from landscape_mpi import compute_surface
    >>> network, data = torch.nn.Linear(2, 3), (torch.randn(60, 2), torch.arange(60) % 3)
    >>> surface = compute_surface(network, data, x=(-1, 1, 3), progress=False)
    >>> surface = compute_hessian(surface, progress=False)
    >>> bool((surface.values["hessian_max"] > 0).all())
    True

    Args:
        surface: Of a line or a plane, or its file.
        network: With the weights of the surface's center, or a Problem; None for what the surface
            was computed with.
        data: What the surface was computed with; see compute_surface. The first of its training
            data are taken.
        loss: What the surface was computed with; see compute_surface.
        progress: Show a bar.
        options: See HessianOptions.

    Returns:
        The surface with hessian_min, hessian_max and hessian_ratio among its values.

    Raises:
        InputError: If something does not suit, or is not what the surface was computed with.
        KeyboardInterrupt: If Ctrl-C came: what is done is in the file, and the same call goes on.
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
    from landscape_mpi.jobs.hessian.plan import read_plan
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
        raise KeyboardInterrupt(f"the eigenvalues that are computed are in {surface.path}")
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
