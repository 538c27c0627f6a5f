"""Train and evaluate curves of low loss between two solutions in Python."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from landscape_mpi.default_device import on_the_cpu
from landscape_mpi.errors import missing_packages_named
from landscape_mpi.jobs.live.call_checks import check_keywords
from landscape_mpi.jobs.live.checked_together import checked_together
from landscape_mpi.jobs.live.live_problem import check_lendable, problem_of
from landscape_mpi.jobs.live.weight_plane import WeightPlane
from landscape_mpi.problem import Problem
from landscape_mpi.python.loss_surface import LossSurface
from landscape_mpi.store.reader import read_surface

if TYPE_CHECKING:
    import torch
    from torch import nn

    from landscape_mpi.cluster.communicator import Ranks
    from landscape_mpi.cluster.signals import StopRequest
    from landscape_mpi.jobs.curve.request import CurveEvaluationRequest, CurveTrainingRequest
    from landscape_mpi.jobs.live.live_files import Weights

CALLER = "train_curve"


class CurveOptions(TypedDict, total=False):
    """Options for the training of a curve; all are optional."""

    batch_size: int  # samples in a batch of a Dataset or of tensors (32)
    kind: str  # kind of curve: bezier or polygon (bezier)
    bends: int  # points that define the curve, both ends included (3)
    free_ends: bool  # also train the ends
    epochs: int  # epochs to train (200)
    lr: float  # learning rate of the first half of the epochs (0.03)
    momentum: float  # momentum of SGD (0.9)
    weight_decay: float  # weight decay of the weights at t, the place on the curve (0.0005)
    batches_per_step: int  # batches per step, divided among the ranks (1)
    seed: int  # seed of all random numbers (0)
    fresh: bool  # start over instead of continuing out
    device: str | torch.device  # auto, cpu or cuda


KEYWORDS = ("start", "end", "out", "points", "through", *CurveOptions.__annotations__)


class LossCurve(os.PathLike[str]):
    """A trained curve between two solutions; its file is also a checkpoint of its start.

    >>> import torch
    >>> from landscape_mpi import train_curve
    >>> network, data = torch.nn.Linear(2, 3), (torch.randn(60, 2), torch.arange(60) % 3)
    >>> ends = [torch.nn.Linear(2, 3).state_dict() for _ in range(2)]
    >>> curve = train_curve(network, data, start=ends[0], end=ends[1], epochs=2, progress=False)
    >>> curve.evaluate(points=5, progress=False).values["train_loss"].shape
    (5, 2)
    """

    def __init__(self, path: Path, problem: Problem, *, keep: object = None) -> None:
        """Read a curve file.

        Args:
            path: The file.
            problem: Problem of the curve.
            keep: Object to keep alive with this one, e.g. the temporary folder of the file.
        """
        from landscape_mpi.zoo.curve_file import read_curve

        self.path, self.problem, self._keep = path, problem, keep
        self._content = read_curve(path).content

    def __fspath__(self) -> str:
        """Return the file."""
        return str(self.path)

    def __repr__(self) -> str:
        """Return the file and its kind."""
        content = self._content
        return f"<LossCurve {self.path.name}: {content.kind} of {len(content.points)} points>"

    @property
    def points(self) -> list[dict[str, torch.Tensor]]:
        """Return the state dicts of the points that define the curve, the start first."""
        return [dict(point) for point in self._content.points]

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """Return the values of each epoch; losses are means over t."""
        return list(self._content.history)

    def state_at(self, t: float) -> dict[str, torch.Tensor]:
        """Return the state dict of a place from 0 to 1; both ends are exact.

        Running statistics of batch-norm are means of those of the points, not those that belong to
        this place; measure these with torch.optim.swa_utils.update_bn.
        """
        import torch

        from landscape_mpi.compute.curve import combine, weights_at

        points = self._content.points
        weights = weights_at(self._content.kind, len(points), t).tolist()
        found = {}
        for name, first in points[0].items():
            values = [point[name] for point in points]
            is_moved = first.is_floating_point() and not all(torch.equal(v, first) for v in values)
            stacked = torch.stack([v.reshape(-1) for v in values]) if is_moved else None
            found[name] = (
                first.clone()
                if stacked is None
                else combine(stacked, weights, torch.empty_like(stacked[0])).view(first.shape)
            )
        return found

    @on_the_cpu()
    def evaluate(
        self,
        points: int = 61,
        *,
        splits: Sequence[str] | None = None,
        out: str | os.PathLike[str] | None = None,
        progress: bool = True,
    ) -> LossSurface:
        """Evaluate loss and metrics along the curve, and along the straight line between its ends.

        Collective over the MPI ranks.

        Args:
            points: Number of places from 0 to 1, both ends included.
            splits: Splits to evaluate; None for all that the data have.
            out: File to write or to resume; None for a temporary file that exists as long as the
                result.
            progress: Show a bar.

        Returns:
            Values [points, 2]: alpha is the place t, beta 0 the curve and 1 the straight line.

        Raises:
            KeyboardInterrupt: If Ctrl-C came: all completed rounds are in out.
        """
        from landscape_mpi.cluster.communicator import start_ranks
        from landscape_mpi.jobs.curve.evaluation import read_curve_plan
        from landscape_mpi.jobs.live.live_files import place_of
        from landscape_mpi.jobs.live.process_state import borrowed
        from landscape_mpi.jobs.live.quiet_job import QuietCurve, run_quietly

        checked_together(lambda: check_lendable(self.problem.network, caller="evaluate"))
        ranks = start_ranks()
        folder, path = place_of(ranks, out, name="curve.h5", caller="evaluate")
        asked = _evaluation(self, points, splits, path)

        def make() -> QuietCurve:
            plan, root, inputs = read_curve_plan(asked, ranks)
            return QuietCurve(
                plan, root, command="landscape_mpi.curve", asked=inputs, shown=progress
            )

        with borrowed(self.problem.network):
            outcome = run_quietly(ranks, make, KEYWORDS)
        if not outcome.finished:
            raise KeyboardInterrupt(f"all computed places are in {path}")
        return LossSurface(read_surface(path), keep=folder, problem=self.problem)

    @on_the_cpu()
    def plane(
        self,
        through: tuple[int, int] | None = None,
        *,
        out: str | os.PathLike[str] | None = None,
    ) -> WeightPlane:
        """Return the plane of the curve, with its start as the center.

        ``network.load_state_dict(curve.state_at(0))`` gives a network the weights of the center.

        Args:
            through: Two points of the curve that the plane contains besides the start; None for the
                end and the bend in the middle.
            out: File to write or replace; None for a temporary file that exists as long as the
                result.
        """
        from landscape_mpi.cluster.communicator import on_root, start_ranks
        from landscape_mpi.jobs.curve.curve_plane import write_curve_plane
        from landscape_mpi.jobs.curve.request import CurvePlaneRequest
        from landscape_mpi.jobs.live.live_files import place_of
        from landscape_mpi.jobs.live.quiet_job import do_quietly

        ranks = start_ranks()
        folder, path = place_of(ranks, out, name="plane.h5", caller="plane")
        asked = CurvePlaneRequest(self.path, path, through)
        work = lambda _: on_root(ranks, lambda: write_curve_plane(asked))  # noqa: E731
        do_quietly(ranks, work, KEYWORDS)
        return WeightPlane(path, keep=(folder, self._keep))


def _evaluation(
    curve: LossCurve, points: int, splits: Sequence[str] | None, path: Path
) -> CurveEvaluationRequest:
    from landscape_mpi.engine import request
    from landscape_mpi.engine.problem_source import ProblemSource
    from landscape_mpi.jobs.curve.request import CurveEvaluationRequest, PlacesRequest

    places = PlacesRequest(
        points, request.FileRequest(path), request.Evaluation(), request.Rounds()
    )
    asked = None if splits is None else tuple(splits)
    return CurveEvaluationRequest(curve.path, places, asked, problem=ProblemSource(curve.problem))


@missing_packages_named("train_curve")
@on_the_cpu()
def train_curve(
    network: nn.Module | Problem,
    data: Any = None,
    *,
    start: Weights,
    end: Weights,
    loss: str | Callable[..., Any] = "cross_entropy",
    out: str | os.PathLike[str] | None = None,
    progress: bool = True,
    **options: Unpack[CurveOptions],
) -> LossCurve:
    """Train a curve of low loss between two solutions.

    The curve is that of the command curve train. The network is unchanged afterwards. Collective
    over the MPI ranks if mpirun has started several. Source: Garipov et al. 2018, arXiv:1802.10026.

    >>> import torch
    >>> network, data = torch.nn.Linear(2, 3), (torch.randn(60, 2), torch.arange(60) % 3)
    >>> ends = [torch.nn.Linear(2, 3) for _ in range(2)]
    >>> curve = train_curve(network, data, start=ends[0], end=ends[1], epochs=2, progress=False)
    >>> len(curve.points), len(curve.history)
    (3, 2)
    >>> plane = curve.plane()
    >>> _ = network.load_state_dict(curve.state_at(0))
    >>> from landscape_mpi import compute_surface
    >>> surface = compute_surface(
    ...     network, data, directions=plane, progress=False, **plane.grid(3)
    ... )
    >>> surface.values["train_loss"].shape
    (3, 3)

    Args:
        network: Network of the solutions; or a Problem, which has its own data and loss.
        data: Batches by split, or only those of the training data; see compute_surface.
        start: Solution at t = 0: a file, a state dict or a network.
        end: Solution at t = 1.
        loss: See compute_surface.
        out: File of the curve to write or to resume; None for a temporary file that exists as long
            as the result.
        progress: Show a bar.
        options: Further options; docs/reference/python.md has a table of them.

    Raises:
        InputError: If an argument is not valid; the message says which one, and why.
        KeyboardInterrupt: If Ctrl-C came: completed epochs are in out, and the same call continues.
    """

    def check() -> Problem:
        check_keywords(options, CurveOptions.__annotations__, caller=CALLER)
        batch_size = options.get("batch_size", 32)
        problem = problem_of(network, data, loss, None, batch_size, caller=CALLER)
        check_lendable(problem.network, caller=CALLER)
        return problem

    return _joined(checked_together(check), (start, end), options, out=out, shown=progress)


def _joined(
    problem: Problem,
    ends: tuple[Weights, Weights],
    options: CurveOptions,
    *,
    out: str | os.PathLike[str] | None,
    shown: bool,
) -> LossCurve:
    # MPI, HDF5 and the rest of torch start here.
    from landscape_mpi.cluster.communicator import start_ranks
    from landscape_mpi.jobs.live.live_files import place_of
    from landscape_mpi.jobs.live.process_state import borrowed
    from landscape_mpi.jobs.live.quiet_job import do_quietly
    from landscape_mpi.jobs.live.shared_call import compare_call

    ranks = start_ranks()
    given = {"start": ends[0], "end": ends[1], "out": out, **options}
    compare_call(ranks, CALLER, given)
    folder, path = place_of(ranks, out, name="curve.pt", caller=CALLER)
    with borrowed(problem.network):
        finished = do_quietly(
            ranks,
            lambda stop: _train(ranks, problem, ends, path, options, stop, shown=shown),
            KEYWORDS,
        )
    if not finished:
        where = "nothing of it is kept" if out is None else f"they are in {path}"
        raise KeyboardInterrupt(f"not all epochs are done; {where}")
    return LossCurve(path, problem, keep=folder)


def _train(
    ranks: Ranks,
    problem: Problem,
    ends: tuple[Weights, Weights],
    path: Path,
    options: CurveOptions,
    stop: StopRequest,
    *,
    shown: bool,
) -> bool:
    """Train the curve. Collective over the ranks.

    Returns:
        Whether all epochs are done.
    """
    from landscape_mpi.engine.rank_processes import RankProcesses
    from landscape_mpi.jobs.curve.training import run_training
    from landscape_mpi.jobs.live.live_files import checkpoint_of, temporary_folder
    from landscape_mpi.jobs.live.quiet_log import BarLog

    is_live = any(not isinstance(end, str | os.PathLike) for end in ends)
    kept, place = temporary_folder(ranks, caller=CALLER) if is_live else (None, Path())
    names = zip(ends, ("start.pt", "end.pt"), strict=True)
    start, end = (checkpoint_of(ranks, one, place / name, caller=CALLER) for one, name in names)
    asked = _request(problem, start, end, path, options)
    with RankProcesses(ranks) as processes:
        finished = run_training(asked, processes, stop, BarLog(shown=shown))
    del kept  # the temporary folder of weights in memory is no longer needed
    return finished


def _request(
    problem: Problem, start: Path, end: Path, path: Path, options: CurveOptions
) -> CurveTrainingRequest:
    from landscape_mpi.engine import request
    from landscape_mpi.engine.problem_source import ProblemSource
    from landscape_mpi.jobs.curve.request import CurveTrainingRequest

    return CurveTrainingRequest(
        inputs=request.InputsRequest(
            request.NetworkRequest(), request.DataRequest(), problem=ProblemSource(problem)
        ),
        file=request.FileRequest(path, options.get("fresh", False)),
        start=start,
        end=end,
        kind=options.get("kind", "bezier"),
        bends=options.get("bends", 3),
        free_ends=options.get("free_ends", False),
        epochs=options.get("epochs", 200),
        batch_size=None,
        lr=options.get("lr", 0.03),
        momentum=options.get("momentum", 0.9),
        weight_decay=options.get("weight_decay", 5e-4),
        augment="auto",
        seed=options.get("seed", 0),
        device=str(str(options.get("device", "auto"))),
        threads=None,
        precision="fp32",
        batches_per_step=options.get("batches_per_step"),
    )
