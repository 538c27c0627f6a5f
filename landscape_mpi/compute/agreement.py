"""Compare fast evaluations with the network as torch runs it.

The reference is the network that the user's function builds: its weights are loaded in training
mode, eval() is called, and the network is called on a batch of real samples. A fast evaluation is
compared with it at the center and at a moved point, because an evaluation that froze the weights is
right only at the center.

Two ways to compute in float32 differ by rounding, which deep networks amplify. A larger difference
counts as rounding if the fast evaluation is as close to float64 as the plain one is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch

from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.lockstep import lockstep
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.random_numbers import Generators
from landscape_mpi.compute.steps import ALL, PLAIN, STEPS, WORDS, Steps
from landscape_mpi.errors import InputError, UserCodeError

Point = tuple[float, float]
CENTER = (0.0, 0.0)

N_DRAWS = 50  # further calls of a network that draws random numbers
N_FIRST, N_OTHERS = 8, 2  # samples compared from the first batch, and from each other batch
MOST_BATCHES = 8  # batches computed at the same time, to see whether threads disturb each other
CLOSE = 1e-5  # relative; smaller differences are not examined
AS_GOOD = 30.0  # allowed distance from float64, as a multiple of the plain evaluation's distance
NEARBY = 1e-6  # fraction of the way to a moved point: a step of about ten roundings
UNKNOWN = 1e-3  # relative; counts as rounding if the network cannot compute in float64
SAME_ALONE = 1e-4  # relative; allowed for a sample in another batch, where other kernels run


class Split(Protocol):
    """Hold samples on a device."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def snapshot(self) -> Any:
        """Return a snapshot of the data for is_as()."""

    def is_as(self, before: Any) -> bool:
        """Return whether the data are unchanged since a snapshot."""


S = TypeVar("S", bound=Split)


class MakePlane(Protocol[S]):
    """Prepare an evaluation of some samples."""

    def __call__(
        self, splits: dict[str, S], setting: Setting, *, exact: bool = False
    ) -> PointLosses[S]:
        """Return the evaluation, in float64 if ``exact``."""


@dataclass(frozen=True)
class Seen:
    """Hold outputs and losses of an evaluation at one point."""

    outputs: torch.Tensor  # float64 [n, ...], for at least the first samples, on the CPU
    losses: torch.Tensor  # float64 [n, ...], for all compared samples, on the CPU

    def apart_from(self, expected: Seen) -> float:
        """Return the largest difference from another evaluation, relative to its largest value."""
        n = min(len(self.outputs), len(expected.outputs))
        return max(
            relative(self.outputs[:n], expected.outputs[:n], scale_of=expected.outputs),
            relative(self.losses, expected.losses, scale_of=expected.losses),
        )


@dataclass(frozen=True)
class Chosen:
    """Hold the chosen steps of a run and the findings about them; the same on every rank."""

    steps: Steps
    left_out: tuple[str, ...] = ()  # steps left out, with the reason
    center_outputs: tuple[float, ...] = ()  # sum of the outputs of each of the first samples
    checked_batch: int = 0  # size of the compared batches; 0 if none were compared
    center_scale: float = 0.0  # size of the outputs, if larger than center_outputs


class Agreement(Generic[S]):
    """Compare evaluations of a network with the plain one, on real samples."""

    most_steps: Steps = ALL  # steps that may be taken

    def __init__(
        self,
        make_plane: MakePlane[S],
        take_samples: Callable[[np.ndarray], S],
        setting: Setting,
        *,
        n_samples: int,
        moved: Sequence[Point],
    ) -> None:
        """Prepare to compare.

        Args:
            make_plane: Function that prepares an evaluation.
            take_samples: Function that puts the samples of given rows, int64 [n], on the setting's
                device.
            setting: How the run will evaluate.
            n_samples: Number of samples of the split.
            moved: Points other than the center, best first; the comparison uses the first one at
                which the network gives finite numbers.
        """
        self._make_plane, self._take_samples = make_plane, take_samples
        self._setting = setting
        n_batches = min(MOST_BATCHES, max(1, setting.threads))
        self._rows = np.arange(min(n_samples, n_batches * setting.batch))
        self._compared = compared_rows(len(self._rows), setting.batch)
        self._n_first = min(N_FIRST, setting.batch, len(self._rows))
        self._moved = moved
        self._seen: dict[Point, Seen] = {}
        self._exact: dict[Point, Seen | None] = {}
        self._used_plain: tuple[PointLosses[S], S] | None = None
        self.agreeing: PointLosses[S] | None = None  # plane with all steps, if it agrees

    def check_plain(self) -> None:
        """Check that the network, as torch runs it, is a function of its weights and input alone.

        Raises:
            UserCodeError: If it raises.
            InputError: If its outputs differ in a second call, in a network built a second time,
                for a sample without the rest of its batch, or after a first call on other samples.
                If autocast is on for the whole process.
            OutOfMemoryError: If the samples do not fit.
        """
        self._check_autocast()
        plain, samples = self._used_plain = self._plain()
        try:
            first = self._look_once(plain, samples, CENTER)
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as problem:  # the user's own code
            raise UserCodeError(
                f"--model: the network, called on {len(samples)} of its samples, raises", problem
            ) from problem
        self._seen[CENTER] = first
        # Checked right away: state kept from a batch may only fit a batch of the same size.
        generators = Generators(self._setting.device)
        before = generators.states()
        self._check_same(plain, samples, first)
        if generators.states() != before:  # Its effect may show in few calls only.
            for _ in range(N_DRAWS):
                self._check_same(plain, samples, first)
        for point in self._computable():  # A coupling may begin away from the center.
            self._check_alone(plain, samples, point)
        self._check_built_again(first)

    def _check_autocast(self) -> None:
        """Check that nobody has switched autocast on for all calls.

        Until its outermost block ends, autocast keeps copies of the weights, which would not move.

        Raises:
            InputError: If it is on.
        """
        if torch.is_autocast_enabled(self._setting.device.kind):
            raise InputError(
                "torch.autocast is on for all calls, by torch.set_autocast_enabled or by a with "
                "statement around this call. It keeps copies of the weights that do not move from "
                "point to point. Switch it off. To compute in bfloat16, pass --precision bf16, or "
                "use autocast only inside the function of the network or of the loss."
            )

    def _check_same(self, plain: PointLosses[S], samples: S, first: Seen) -> None:
        """Check that another call gives the same.

        Raises:
            InputError: If it does not.
        """
        if not same_bits(first, self._look_once(plain, samples, CENTER)):
            raise InputError(
                "--model: the same samples give different outputs the second time (because of "
                "active dropout, random numbers in forward or in --loss, or changing state). A "
                "surface needs a network that is a function of its weights and its input. Let "
                "the function return a network in which none of these is active."
            )

    def _check_built_again(self, first: Seen) -> None:
        """Check a second network whose first call is on a few samples at another point.

        Raises:
            InputError: If its outputs differ.
        """
        apart = self._apart_begun_at(self._moved[0] if self._moved else CENTER, first)
        if apart <= SAME_ALONE or self._is_rounding(first, apart):
            return
        if self._look_once(*self._plain(), CENTER).apart_from(first) > SAME_ALONE:
            raise InputError(
                f"--model: the network built a second time, with the same weights, gives outputs "
                f"that differ by {apart:.2g} of the largest. Something that its state dict does "
                f"not hold differs: random numbers that its function draws (from a generator "
                f"without a seed), or a tensor that is a plain attribute. Register it as a buffer, "
                f"or seed the generator in the function."
            )
        if self._apart_begun_at(CENTER, first) > SAME_ALONE:
            raise InputError(
                "--model: the outputs depend on the batch with which the network is called first, "
                f"by {apart:.2g} of the largest output: the first call sets values from its batch "
                "and keeps them (as ActNorm and observers of quantization do). Let the function "
                "call the network once on samples of your choice, or pass a checkpoint with these "
                "values."
            )
        raise InputError(
            "--model: the outputs depend on the weights that the network has when it is called "
            f"first, by {apart:.2g} of the largest output: it computes something from its weights "
            "only once and keeps it, so it would be wrong at every other point. Compute it in "
            "each call."
        )

    def _apart_begun_at(self, point: Point, first: Seen) -> float:
        """Return how much the outputs change if a new network is first called on few samples.

        Raises:
            OutOfMemoryError: If the samples do not fit.
        """
        other, samples = self._plain()
        few = self._take_samples(self._rows[self._compared[_parts(len(samples))[0]]])
        try:
            self._look_once(other, few, point)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the network cannot be computed at that point; that does not matter here
            other, samples = self._plain()
        alone = _apart_from_part(self._look_once(other, few, CENTER), first, slice(0, len(few)))
        return max(alone, self._look_once(other, samples, CENTER).apart_from(first))

    def _check_alone(self, plain: PointLosses[S], samples: S, point: Point) -> None:
        apart, together = 0.0, self._plain_at(point)
        for part in _parts(len(samples)):
            some = self._take_samples(self._rows[self._compared[part]])
            alone = self._look_once(plain, some, point)
            apart = max(apart, _apart_from_part(alone, together, part))
        if apart <= SAME_ALONE or self._is_rounding(together, apart, point):
            return
        raise InputError(
            f"--model: the outputs for a sample depend on the other samples of its batch, by "
            f"{apart:.2g} of the largest output (batch-norm without running statistics, "
            f"track_running_stats=False, or kept in training mode; or a --loss that mixes "
            f"samples). The surface would depend on --batch: give the network a fixed "
            f"normalisation."
        )

    def _is_rounding(self, seen: Seen, apart: float, point: Point = CENTER) -> bool:
        """Return whether rounding in float32 explains a difference at a point."""
        exact = self._exact_at(point)
        return exact is not None and apart <= AS_GOOD * seen.apart_from(exact)

    def center_outputs(self) -> tuple[float, ...]:
        """Return the sum of the outputs at the center, for each of the first samples."""
        return tuple(self._first_outputs().sum(dim=1).nan_to_num().tolist())

    def center_scale(self) -> float:
        """Return the size of the outputs, by which differences of center_outputs() are judged.

        Outputs may cancel in a sum, as those of a normalised last layer do. All that remains then
        is rounding. So this is the largest sum of absolute outputs.
        """
        return float(self._first_outputs().abs().sum(dim=1).nan_to_num().max())

    def _first_outputs(self) -> torch.Tensor:
        outputs = self._plain_at(CENTER).outputs[: self._n_first]
        return outputs.reshape(len(outputs), -1)

    def outputs_of_first(self) -> tuple[float, ...]:
        """Return center_outputs() again, computed now."""
        return self.center_outputs()

    def choose(self) -> Chosen:
        """Choose the steps that leave the outputs as they are; record why others are left out.

        Raises:
            InputError: If the network itself depends on its batches.
        """
        left_out = self._leave_threads_out()
        if self.fault_of(self.most_steps) is None:
            return self._chosen(self.most_steps, left_out)
        return self._choose_one_by_one(left_out)

    def _leave_threads_out(self) -> tuple[str, ...]:
        """Take no threads if they would disturb each other; return the words for the log.

        Raises:
            OutOfMemoryError: If the samples do not fit.
        """
        why = self._why_no_threads()
        if why is None:
            return ()
        # Also if this rank has one thread: other ranks, or those of a resumed run, may have
        # several.
        self.most_steps = replace(self.most_steps, threads=False)
        return (f"{WORDS['threads']} ({why})",) if self._setting.threads > 1 else ()

    def _why_no_threads(self) -> str | None:
        """Return the reason why threads may disturb each other; None if none is known.

        A network may write to its weights in forward and give the same at each call, as an
        embedding with max_norm does. Threads share the weights, and two of them that shorten a row
        at the same time shorten it twice. Some functions of torch also have a state that threads
        share. A comparison seldom meets the moment.

        Raises:
            OutOfMemoryError: If the samples do not fit.
        """
        plain, samples = self._used_plain = self._used_plain or self._plain()
        places = (CENTER, *self._moved[:1])
        try:
            reasons = [plain.thread_hazard(*place, samples) for place in places]
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:  # on a user's network watching may fail in any way
            return f"the operations of a call cannot be watched: {_one_line(problem)}"
        return next(filter(None, reasons), None)

    def _choose_one_by_one(self, words: tuple[str, ...]) -> Chosen:
        steps, left_out = PLAIN, list(words)
        for name in STEPS:
            if not getattr(self.most_steps, name) or (name == "fused" and not steps.folded):
                continue
            fault = self.fault_of(replace(steps, **{name: True}))
            if fault is None:
                steps = replace(steps, **{name: True})
            else:
                left_out.append(f"{WORDS[name]} ({fault})")
        if steps == PLAIN:
            self._check_batches()
        return self._chosen(steps, left_out)

    def _chosen(self, steps: Steps, left_out: Sequence[str]) -> Chosen:
        center = self.center_outputs()
        return Chosen(steps, tuple(left_out), center, self._setting.batch, self.center_scale())

    def _check_batches(self) -> None:
        """Check that the network, as torch runs it, gives the same in batches of the run's size.

        Raises:
            InputError: If it does not.
        """
        samples = self.take_batches()
        setting = replace(self._setting, steps=PLAIN, precision="fp32", compiled=False, points=1)
        plane = self._make_plane({"train": samples}, setting)
        for point in self._computable():
            expected, found = self._plain_at(point), self._look_at(plane, samples, point)
            apart = found.apart_from(expected)
            if apart <= SAME_ALONE or self._is_rounding(expected, apart, point):
                continue
            alpha, beta = point
            where = "" if point == CENTER else f" at alpha = {alpha:.4g}, beta = {beta:.4g}"
            raise InputError(
                f"--model: in batches of {setting.batch} the outputs of the network{where} differ "
                f"from those in a batch of {len(self._compared)}, by {apart:.2g} of the largest. "
                "The outputs for a sample depend on the other samples of its batch, or on earlier "
                "calls, so the surface would depend on --batch. Give the network a fixed "
                "normalisation, and remove any state that a call changes."
            )

    def fault_of(self, steps: Steps) -> str | None:
        """Return the reason why an evaluation with some steps does not agree; None if it agrees.

        Raises:
            OutOfMemoryError: If a batch does not fit.
        """
        setting = replace(self._setting, steps=steps, precision="fp32", compiled=False, points=1)
        try:
            samples = self.take_batches()
            with redirect_stderr(io.StringIO()):  # torch prints the code of a traced network here
                plane = self._make_plane({"train": samples}, setting)
                fault = self.fault_of_plane(plane, samples, n_threads=setting.n_threads)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:  # on a user's network a step may fail in any way
            return _one_line(problem)
        if fault is None and steps == self.most_steps:
            self.agreeing = plane
        return fault

    def take_batches(self) -> S:
        """Return one batch of samples for each batch that is computed at the same time."""
        return self._take_samples(self._rows)

    def fault_of_plane(
        self, plane: PointLosses[S], samples: S, *, n_threads: int = 1
    ) -> str | None:
        """Return the reason why a prepared evaluation does not agree; None if it agrees.

        Args:
            plane: Prepared evaluation.
            samples: Samples on its device; the first rows are compared.
            n_threads: Number of batches that it computes at the same time.
        """
        first, before = None, samples.snapshot()
        together = min(n_threads, -(-len(samples) // self._setting.batch))
        for point in self._points_to_try():
            found = self._look_at(plane, samples, point, n_threads=together)
            fault = self._difference(found, point)
            if fault is not None:
                return fault
            first = first or found
        if first is None or not self._is_same_again(plane, samples, first):
            return "the same samples give other outputs the second time"
        return None if samples.is_as(before) else "it changes its input data"

    def _is_same_again(self, plane: PointLosses[S], samples: S, first: Seen) -> bool:
        """Return whether an evaluation gives the same bits at the center again.

        On GPUs kernels may add in a different order each time, so all batches are evaluated again.
        """
        if not self._setting.device.is_host:
            return same_bits(first, self._look_at(plane, samples, CENTER))
        outputs, _ = plane.look_at(*CENTER, samples, slice(0, self._n_first))
        return _equal(first.outputs, outputs.detach().double().cpu())

    def _points_to_try(self) -> list[Point]:
        moved = next((p for p in self._moved if self._is_finite(p)), None)
        if moved is None:
            return [CENTER, *self._moved[:1]]
        # At the end of a direction another solution may lie: what a network keeps of its weights
        # in buffers fits both solutions, but no point between them.
        inside = (p for p in self._moved if _is_end(moved) and not _is_end(p))
        return [CENTER, moved, *[p for p in inside if self._is_finite(p)][:1]]

    def _computable(self) -> list[Point]:
        """Return the points to try at which the plain network can be computed.

        Raises:
            OutOfMemoryError: If the samples do not fit.
        """
        try:
            return self._points_to_try()
        except torch.OutOfMemoryError:
            raise
        except Exception:  # The user's code may refuse weights far from the center.
            return [CENTER]

    def _is_finite(self, point: Point) -> bool:
        return bool(self._plain_at(point).losses.isfinite().any())

    def _difference(self, found: Seen, point: Point) -> str | None:
        expected = self._plain_at(point)
        apart = found.apart_from(expected)
        if apart <= CLOSE:
            return None
        exact = self._exact_at(point)
        if exact is None:
            agrees = apart <= UNKNOWN
        elif not self._is_this_network(exact, point):
            agrees = False
        else:
            agrees = found.apart_from(exact) <= max(CLOSE, AS_GOOD * expected.apart_from(exact))
        if agrees:
            return None
        alpha, beta = point
        mean, plain = (float(seen.losses.mean()) for seen in (found, expected))
        return (
            f"at alpha = {alpha:.4g}, beta = {beta:.4g} its outputs differ by {apart:.2g} of the "
            f"largest: mean loss {mean:.6g}, but {plain:.6g} as torch runs it"
        )

    def _is_this_network(self, exact: Seen, point: Point) -> bool:
        """Return whether the network converted to float64 is still the same network.

        Conversion to float64 separates tensors that share memory, such as tied weights and views
        kept as attributes. Then the results differ by more than rounding explains. A step as small
        as rounding shows how much this network amplifies rounding.
        """
        expected = self._plain_at(point)
        along = self._moved[0] if self._moved else point
        near = (point[0] + NEARBY * along[0], point[1] + NEARBY * along[1])
        change = self._plain_at(near).apart_from(expected)
        return expected.apart_from(exact) <= max(CLOSE, AS_GOOD * change)

    def _plain_at(self, point: Point) -> Seen:
        if point not in self._seen:
            self._used_plain = self._used_plain or self._plain()
            self._seen[point] = self._look_once(*self._used_plain, point)
        return self._seen[point]

    def _exact_at(self, point: Point) -> Seen | None:
        """Return the network's outputs in float64; None if it cannot compute in float64.

        Raises:
            OutOfMemoryError: If the network does not fit.
        """
        if point not in self._exact:
            try:
                self._exact[point] = self._look_once(*self._plain(exact=True), point)
            except torch.OutOfMemoryError:
                raise
            except Exception:  # code written for float32
                self._exact[point] = None
        return self._exact[point]

    def _plain(self, *, exact: bool = False) -> tuple[PointLosses[S], S]:
        samples = self._take_samples(self._rows[self._compared])
        n = len(samples)
        setting = replace(
            self._setting,
            steps=PLAIN,
            precision="fp32",
            compiled=False,
            points=1,
            batch=n,
            threads=1,
        )
        return self._make_plane({"train": samples}, setting, exact=exact), samples

    def _look_at(
        self, plane: PointLosses[S], samples: S, point: Point, *, n_threads: int = 1
    ) -> Seen:
        """Evaluate the compared samples."""
        with lockstep(n_threads):
            losses = plane.losses_at(*point, samples).double().cpu()
        outputs, _ = plane.look_at(*point, samples, slice(0, self._n_first))
        return Seen(outputs.detach().double().cpu(), losses[torch.from_numpy(self._compared)])

    def _look_once(self, plane: PointLosses[S], samples: S, point: Point) -> Seen:
        """Evaluate samples in one batch."""
        outputs, losses = plane.look_at(*point, samples, slice(0, len(samples)))
        return Seen(outputs.detach().double().cpu(), losses.detach().double().cpu())


def compared_rows(n_samples: int, batch: int) -> np.ndarray:
    """Return the rows whose losses are compared: the first rows of each batch, int64 [n]."""
    first = np.arange(min(n_samples, batch, N_FIRST))
    others = [
        np.arange(start, min(start + N_OTHERS, start + batch, n_samples))
        for start in range(batch, n_samples, batch)
    ]
    return np.concatenate([first, *others])


def moved_points(alpha: np.ndarray, beta: np.ndarray) -> list[Point]:
    """Return grid points other than the center, beginning half way to the farthest corner.

    Args:
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Coordinates along the second, float64 [n_beta].
    """
    shares = (0.75, 0.6, 0.55, 1.0, 0.25)
    points = []
    for share in shares:
        row, column = (min(int(share * len(axis)), len(axis) - 1) for axis in (alpha, beta))
        points.append((float(alpha[row]), float(beta[column])))
    return [point for point in dict.fromkeys(points) if point != CENTER]


def _is_end(point: Point) -> bool:
    return set(point) <= {0.0, 1.0}


def relative(found: torch.Tensor, expected: torch.Tensor, *, scale_of: torch.Tensor) -> float:
    """Return the largest difference, divided by the largest finite value.

    The result is infinite if shapes differ, or if an entry is finite in one of the two only.
    """
    finite = expected.isfinite()
    if found.shape != expected.shape or not torch.equal(finite, found.isfinite()):
        return math.inf
    if not finite.any():
        return 0.0
    difference = float((found - expected)[finite].abs().max())
    known = scale_of[scale_of.isfinite()]
    scale = float(known.abs().max()) if known.numel() else 0.0
    return difference / scale if scale else (0.0 if difference == 0 else math.inf)


def _apart_from_part(found: Seen, together: Seen, part: slice) -> float:
    """Return how much outputs change when a part of the samples is computed alone."""
    seen = together.outputs[part]
    return max(
        relative(found.outputs[: len(seen)], seen, scale_of=together.outputs),
        relative(found.losses, together.losses[part], scale_of=together.losses),
    )


def _parts(n_samples: int) -> list[slice]:
    """Return two disjoint parts of the samples."""
    if n_samples < 2:
        return [slice(0, n_samples)]
    n = max(1, n_samples // 3)
    return [slice(0, n), slice(n, n_samples)]


def same_bits(one: Seen, other: Seen) -> bool:
    """Return whether two evaluations have the same bits; every NaN counts as equal."""
    return _equal(one.outputs, other.outputs) and _equal(one.losses, other.losses)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether tensors have the same bits; every NaN counts as equal."""
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _one_line(problem: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}{': ' + lines[0][:150] if lines else ''}"
