"""Compute surfaces in Python: in a notebook, or in a script that mpirun starts."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from landscape_mpi.default_device import on_the_cpu
from landscape_mpi.engine.adaptive.units import UNITS
from landscape_mpi.errors import InputError, missing_packages_named, unknown_name
from landscape_mpi.jobs.live.call_checks import check_keywords
from landscape_mpi.jobs.live.checked_together import checked_together
from landscape_mpi.jobs.live.keyword_values import (
    LARGEST_SEED,
    check_choices,
    check_flags,
    check_numbers,
    check_words,
)
from landscape_mpi.jobs.live.live_problem import check_lendable, problem_of
from landscape_mpi.jobs.surface.plane_options import RUNNING_STATISTICS
from landscape_mpi.problem import Problem
from landscape_mpi.python.loss_surface import LossSurface
from landscape_mpi.registry import QUANTITIES
from landscape_mpi.store.reader import read_surface

if TYPE_CHECKING:
    import torch
    from torch import nn

Axis = tuple[float, float, int] | float


class SurfaceOptions(TypedDict, total=False):
    """Options for a surface besides its grid; all are optional."""

    metrics: Mapping[str, Any]  # further functions of the network and a batch; see Problem
    batch_size: int  # samples in a batch of a Dataset or of tensors (32)
    seed: int  # seed of the random directions (1)
    normalize: str  # normalisation of directions (filter); see surface --help
    ignore: Sequence[str]  # parameters that directions leave fixed (bias, bn)
    only: Sequence[str]  # patterns of names of parameters that move (all)
    to: Any  # solution at alpha = 1: a checkpoint, a state dict or a network
    directions: str | os.PathLike[str]  # file with the directions, or a WeightPlane
    save_directions: bool  # keep the directions in the file
    batch_norm: str  # running statistics: fixed, move or reestimate (move with to, else fixed)
    splits: Sequence[str]  # splits to evaluate (train)
    also: Sequence[str]  # further quantities, such as gradient_norm; see surface --help
    adaptive: float  # tolerance of interpolated losses (None: compute all points)
    adaptive_unit: str  # its unit: decades (see surface --help), or nat, that of the loss (decades)
    rtol: float  # relative part of the allowed standard error (None: take all batches)
    atol: float  # its absolute part, in the unit of the loss (0)
    limit: int  # training samples, or batches if the data are in batches
    fresh: bool  # replace an existing file at out
    device: str | torch.device  # auto, cpu or cuda
    ranks_per_point: int  # ranks that share the batches of a point
    round_seconds: float  # time between writes, s: work that an interruption may lose (30)


CALLER = "compute_surface"
ERRORS_ALLOWED = ("adaptive", "adaptive_unit", "rtol", "atol")
OTHER = "other network"  # name of weights in memory, beside "this network"
KEYWORDS = ("x", "y", "out", *SurfaceOptions.__annotations__)


@missing_packages_named("compute_surface")
@on_the_cpu()
def compute_surface(
    network: nn.Module | Problem,
    data: Any = None,
    *,
    loss: str | Callable[..., Any] = "cross_entropy",
    x: Axis = (-1.0, 1.0, 25),
    y: Axis | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **options: Unpack[SurfaceOptions],
) -> LossSurface:
    """Evaluate the loss of a network at every point of a line or a plane through weight space.

    The network is unchanged afterwards: weights, mode, gradients, random numbers and threads are
    restored. Values equal those of ``surface --problem``, bit for bit. Collective over the MPI
    ranks if mpirun has started several: each reads its own part of the batches.

    A network that computes something from its weights in its first call and keeps it is refused.
    This is detected only if it was not called before: pass a newly built network of this kind.

    >>> import torch
    >>> network, data = torch.nn.Linear(2, 3), (torch.randn(60, 2), torch.arange(60) % 3)
    >>> surface = compute_surface(network, data, x=(-1, 1, 3), y=(-1, 1, 3), progress=False)
    >>> surface.values["train_loss"].shape
    (3, 3)

    Args:
        network: Network with its weights; or a Problem, which has its own data and loss.
        data: Batches by split, or only those of the training data: a DataLoader, a Dataset, a tuple
            of tensors, a list of batches; see Problem.
        loss: ``cross_entropy``, ``mse`` or ``bce`` for batches (inputs, targets), or a function of
            the network and a batch; see Problem.
        x: Points along alpha: (first, last, number of points), or one number.
        y: Points along beta; None for a line.
        out: File to write or to resume; None for a temporary file that exists as long as the
            result.
        progress: Show a bar.
        options: Further options; docs/reference/python.md has a table of them.

    Raises:
        InputError: If an argument is not valid; the message says which one, and why.
        KeyboardInterrupt: If Ctrl-C came: completed points are in out, and the same call continues.
    """
    axes = {"x": x, "y": y}

    def check() -> Problem:
        _check(options, axes)
        metrics, batch_size = options.get("metrics"), options.get("batch_size", 32)
        problem = problem_of(network, data, loss, metrics, batch_size, caller=CALLER)
        check_lendable(problem.network, caller=CALLER)
        return problem

    return _compute(checked_together(check), x, y, options, out=out, shown=progress)


def _check(options: SurfaceOptions, axes: Mapping[str, Axis | None]) -> None:
    """Check the arguments that need no network.

    Raises:
        InputError: If an argument is not valid.
    """
    check_keywords(options, SurfaceOptions.__annotations__)
    whole = ("limit", "batch_size", "ranks_per_point")
    above_0, from_0 = ("round_seconds", "adaptive"), ("rtol", "atol")
    check_numbers(CALLER, options, whole=whole, above_0=above_0, from_0=from_0)
    words = {"adaptive_unit": UNITS, "batch_norm": tuple(RUNNING_STATISTICS)}
    check_choices(CALLER, options, words)
    check_flags(CALLER, options, ("fresh", "save_directions"))
    check_words(CALLER, options, ("splits", "also", "ignore", "only"))
    seed = options.get("seed")
    is_whole = isinstance(seed, int) and not isinstance(seed, bool)
    if seed is not None and not (is_whole and 0 <= seed <= LARGEST_SEED):
        least_most = "from 0 to 2**63 - 1"
        raise InputError(f"{CALLER}: seed is {seed!r}, but must be a whole number {least_most}.")
    for given in axes.values():
        if given is not None:
            _axis(given)


def _axis(given: Axis) -> str:
    """Return an axis in the form of the command line.

    Raises:
        InputError: If it is not an axis.
    """
    try:
        if isinstance(given, Real) and not isinstance(given, bool):
            return repr(float(given))
        first, last, n = given  # type: ignore[misc]
        return f"{float(first)!r}:{float(last)!r}:{operator.index(n)}"
    except (TypeError, ValueError, OverflowError) as problem:
        raise InputError(
            f"compute_surface: {given!r} is not an axis. Pass (first, last, number of points), "
            "e.g. (-1, 1, 25), or one number."
        ) from problem


def _plane(x: Axis, y: Axis | None, options: SurfaceOptions, to: Path | None) -> dict[str, Any]:
    """Return the arguments of a PlaneRequest."""
    directions = options.get("directions")
    plane: dict[str, Any] = {
        "x": _axis(x),
        "y": None if y is None else _axis(y),
        "to": to,
        "directions": None if directions is None else Path(directions),
        "save_directions": options.get("save_directions", False),
        "seed": options.get("seed"),
        "normalize": options.get("normalize"),
    }
    for name in ("ignore", "only"):
        patterns = options.get(name)
        plane[name] = None if patterns is None else _several(patterns)  # type: ignore[arg-type]
    return plane


def _compared(options: SurfaceOptions) -> dict[str, Any]:
    """Return the options that are not compared as parts of the problem."""
    return {name: value for name, value in options.items() if name != "metrics"}


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    if given == "none":  # as on the command line
        return ()
    return tuple(given.split(",")) if isinstance(given, str) else tuple(given)


def _quantities(options: SurfaceOptions) -> tuple[str, ...]:
    """Return the further quantities in the order of the registry.

    Raises:
        unknown_name: If there is no such quantity.
    """
    asked = _several(options.get("also", ()))
    for name in asked:
        if name not in QUANTITIES:
            raise unknown_name("compute_surface: also", str(name), QUANTITIES)
    return tuple(name for name in QUANTITIES if name in asked)


def _compute(
    problem: Problem,
    x: Axis,
    y: Axis | None,
    options: SurfaceOptions,
    *,
    out: str | Path | None,
    shown: bool,
) -> LossSurface:
    # MPI, HDF5 and the rest of torch start here.
    from landscape_mpi.cluster.communicator import start_ranks
    from landscape_mpi.engine import request
    from landscape_mpi.engine.problem_source import ProblemSource
    from landscape_mpi.jobs.live.live_files import checkpoint_of, place_of, temporary_folder
    from landscape_mpi.jobs.live.process_state import borrowed
    from landscape_mpi.jobs.live.quiet_job import QuietSurface, run_quietly
    from landscape_mpi.jobs.live.shared_call import compare_call
    from landscape_mpi.jobs.surface.request import PlaneRequest, SurfaceRequest
    from landscape_mpi.jobs.surface.surface_plan import read_plan

    ranks = start_ranks()
    compare_call(ranks, CALLER, {"x": x, "y": y, "out": out, **_compared(options)})
    folder, path = place_of(ranks, out, name="surface.h5", caller=CALLER)
    data = request.DataRequest(
        splits=_several(options.get("splits", ("train",))), limit=options.get("limit")
    )
    source, to, keep = ProblemSource(problem), None, None
    if options.get("to") is not None:
        keep, place = temporary_folder(ranks, caller=CALLER)
        to = checkpoint_of(ranks, options["to"], place / f"{OTHER}.pt", caller=CALLER)
    asked = SurfaceRequest(
        request.InputsRequest(request.NetworkRequest(), data, problem=source),
        PlaneRequest(**_plane(x, y, options, to)),
        request.FileRequest(path, options.get("fresh", False), accept_device=True),
        request.Evaluation(
            device=str(str(options.get("device", "auto"))),
            ranks_per_point=options.get("ranks_per_point"),
        ),
        request.Rounds(options.get("round_seconds", 30.0)),
        also=_quantities(options),
        batch_norm=options.get("batch_norm"),
        **{name: options.get(name) for name in ERRORS_ALLOWED},  # type: ignore[arg-type]
    )

    def make() -> QuietSurface:
        plan, root = read_plan(ranks, asked)
        return QuietSurface(
            plan, root, command="landscape_mpi.surface", asked=asked.inputs, shown=shown
        )

    with borrowed(problem.network):
        outcome = run_quietly(ranks, make, KEYWORDS)
    found = LossSurface(read_surface(path), keep=(folder, keep), problem=problem)
    if not outcome.finished:
        where = "nothing of it is kept" if out is None else f"they are in {path}"
        raise KeyboardInterrupt(
            f"{int(found.done.sum())} of {found.done.size} points are computed; {where}"
        )
    return found
