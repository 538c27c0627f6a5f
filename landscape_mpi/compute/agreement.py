"""Comparison of fast evaluations with the network as torch runs it.

The truth is the network that the user's function builds, with its weights loaded in training
mode, after eval(), called plainly on a batch of real samples. A fast evaluation is compared with it
at the center and at a moved point: if it has frozen weights, it is right at the center alone.

Two ways to compute in float32 differ by rounding, which deep networks amplify. A larger difference
counts as rounding where the fast evaluation is as close to float64 as the plain one is.
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
from landscape_mpi.compute.steps import ALL, PLAIN, STEPS, WORDS, Steps
from landscape_mpi.errors import InputError, UserCodeError

Point = tuple[float, float]
CENTER = (0.0, 0.0)

N_FIRST, N_OTHERS = 8, 2  # samples compared of the first batch, and of each of the others
MOST_BATCHES = 8  # that are computed at the same time to see whether threads disturb each other
CLOSE = 1e-5  # relative; smaller differences are not examined
AS_GOOD = 30.0  # allowed distance from float64, in distances of the plain one, which vary
NEARBY = 1e-6  # of the way to a moved point: a step of about ten roundings
UNKNOWN = 1e-3  # relative; taken for rounding if the network cannot compute in float64
SAME_ALONE = 1e-4  # relative; allowed for a sample in another batch, by other kernels


class Split(Protocol):
    """Samples on a device."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def snapshot(self) -> Any:
        """Return what is_as() takes."""

    def is_as(self, before: Any) -> bool:
        """Return whether the data are as they were at a snapshot."""


S = TypeVar("S", bound=Split)


class MakePlane(Protocol[S]):
    """Prepares an evaluation of some samples."""

    def __call__(
        self, splits: dict[str, S], setting: Setting, *, exact: bool = False
    ) -> PointLosses[S]:
        """Return the evaluation, in float64 if exact."""


@dataclass(frozen=True)
class Seen:
    """Outputs and losses of an evaluation at one point."""

    outputs: torch.Tensor  # float64 [n, ...], of the first samples at least, on the CPU
    losses: torch.Tensor  # float64 [n, ...], of all that are compared, on the CPU

    def apart_from(self, expected: Seen) -> float:
        """Return the largest difference from another evaluation, relative to its largest value."""
        n = min(len(self.outputs), len(expected.outputs))
        return max(
            relative(self.outputs[:n], expected.outputs[:n], scale_of=expected.outputs),
            relative(self.losses, expected.losses, scale_of=expected.losses),
        )


@dataclass(frozen=True)
class Chosen:
    """The steps of a run, and what is known of them; the same on every rank."""

    steps: Steps
    left_out: tuple[str, ...] = ()  # one step each, with the reason
    center_outputs: tuple[float, ...] = ()  # of the first samples, each the sum of its outputs
    checked_batch: int = 0  # size of the batches that were compared; 0 if none were


class Agreement(Generic[S]):
    """Compares evaluations of a network with the plain one, on real samples."""

    most_steps: Steps = ALL  # that may be taken

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
            make_plane: Prepares an evaluation.
            take_samples: Puts the samples of some rows, int64 [n], on the setting's device.
            setting: How the run will evaluate.
            n_samples: Number of samples of the split.
            moved: Points beside the center, the best one first; the first point at which the
                network gives finite numbers is taken.
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
        self.agreeing: PointLosses[S] | None = None  # with all steps, where that agrees

    def check_plain(self) -> None:
        """Check that the network as torch runs it is a function of its weights and its input.

        Raises:
            UserCodeError: If it raises.
            InputError: If its outputs differ in a second call, after building it a second time,
                for a sample alone, or after a first call on other samples.
            OutOfMemoryError: If the samples do not fit.
        """
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
        # At once: what is kept from a batch may be of use only to one of the same size.
        if not same_bits(first, self._look_once(plain, samples, CENTER)):
            raise InputError(
                "--model: the same samples give other outputs the second time (dropout that stays "
                "on, random numbers drawn in forward, or state that changes). A surface needs a "
                "network that is a function of its weights and its input."
            )
        self._check_alone(plain, samples, first)
        self._check_built_again(first)

    def _check_built_again(self, first: Seen) -> None:
        """Check a second network, which is first called on some samples alone, at another point.

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
                f"--model: the outputs depend on the batch with which the network is called "
                f"first, by {apart:.2g} of the largest output: the first call sets values from its "
                f"batch and keeps them (as ActNorm and observers of quantization do). Let the "
                f"function call the network once, on samples of your choice, or pass a checkpoint "
                f"that holds these values."
            )
        raise InputError(
            f"--model: the outputs depend on the weights that the network has when it is called "
            f"first, by {apart:.2g} of the largest output: it computes something from its weights "
            f"once and keeps it, so it would be wrong at every other point. Compute it in each "
            f"call."
        )

    def _apart_begun_at(self, point: Point, first: Seen) -> float:
        """Return how much it changes the outputs to call a new network first on few samples.

        Raises:
            OutOfMemoryError: If the samples do not fit.
        """
        other, samples = self._plain()
        few = self._take_samples(self._rows[self._compared[_parts(len(samples))[0]]])
        try:
            self._look_once(other, few, point)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the network cannot be computed there, which is no matter here
            other, samples = self._plain()
        alone = _apart_from_part(self._look_once(other, few, CENTER), first, slice(0, len(few)))
        return max(alone, self._look_once(other, samples, CENTER).apart_from(first))

    def _check_alone(self, plain: PointLosses[S], samples: S, together: Seen) -> None:
        apart = 0.0
        for part in _parts(len(samples)):
            some = self._take_samples(self._rows[self._compared[part]])
            alone = self._look_once(plain, some, CENTER)
            apart = max(apart, _apart_from_part(alone, together, part))
        if apart <= SAME_ALONE or self._is_rounding(together, apart):
            return
        raise InputError(
            f"--model: the outputs for a sample depend on the other samples of its batch, by "
            f"{apart:.2g} of the largest output (batch-norm without running statistics, "
            f"track_running_stats=False, or kept in training mode; or a --loss that mixes "
            f"samples). The surface would depend on --batch: give the network a fixed "
            f"normalisation."
        )

    def _is_rounding(self, seen: Seen, apart: float) -> bool:
        """Return whether rounding in float32 explains a difference at the center."""
        exact = self._exact_at(CENTER)
        return exact is not None and apart <= AS_GOOD * seen.apart_from(exact)

    def center_outputs(self) -> tuple[float, ...]:
        """Return for each of the first samples the sum of its outputs at the center."""
        outputs = self._plain_at(CENTER).outputs[: self._n_first]
        sums = outputs.reshape(len(outputs), -1).sum(dim=1)
        return tuple(sums.nan_to_num().tolist())

    def choose(self) -> Chosen:
        """Return the steps that leave the network as it is, and why the others are left out.

        Raises:
            InputError: If the network itself depends on its batches.
        """
        if self.fault_of(self.most_steps) is None:
            return Chosen(self.most_steps, (), self.center_outputs(), self._setting.batch)
        steps, left_out = PLAIN, []
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
        return Chosen(steps, tuple(left_out), self.center_outputs(), self._setting.batch)

    def _check_batches(self) -> None:
        """Check that the network as torch runs it gives the same in batches of the run's size.

        Raises:
            InputError: If it does not.
        """
        samples = self.take_batches()
        setting = replace(self._setting, steps=PLAIN, precision="fp32", compiled=False, points=1)
        found = self._look_at(self._make_plane({"train": samples}, setting), samples, CENTER)
        apart = found.apart_from(self._plain_at(CENTER))
        if apart <= SAME_ALONE or self._is_rounding(self._plain_at(CENTER), apart):
            return
        raise InputError(
            f"--model: in batches of {setting.batch} the network gives other outputs than in one "
            f"of {len(self._compared)}, by {apart:.2g} of the largest. The outputs for a sample "
            f"depend on the other samples of its batch, or on earlier calls, so the surface would "
            f"depend on --batch. Give the network a fixed normalisation, and no state that a call "
            f"changes."
        )

    def fault_of(self, steps: Steps) -> str | None:
        """Return the reason why an evaluation with some steps does not agree; None if it agrees.

        Raises:
            OutOfMemoryError: If a batch does not fit.
        """
        setting = replace(self._setting, steps=steps, precision="fp32", compiled=False, points=1)
        try:
            samples = self.take_batches()
            with redirect_stderr(io.StringIO()):  # where torch prints the code of a traced network
                plane = self._make_plane({"train": samples}, setting)
                fault = self.fault_of_plane(plane, samples, n_threads=setting.n_threads)
        except torch.OutOfMemoryError:
            raise
        except Exception as problem:  # a step may fail in any way on the user's network
            return _one_line(problem)
        if fault is None and steps == self.most_steps:
            self.agreeing = plane
        return fault

    def take_batches(self) -> S:
        """Return as many batches of samples as are computed at the same time."""
        return self._take_samples(self._rows)

    def fault_of_plane(
        self, plane: PointLosses[S], samples: S, *, n_threads: int = 1
    ) -> str | None:
        """Return the reason why a prepared evaluation does not agree; None if it agrees.

        Args:
            plane: The evaluation.
            samples: On its device; the first rows are those that are compared.
            n_threads: Batches that it computes at the same time.
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
        return None if samples.is_as(before) else "it changes the data it is given"

    def _is_same_again(self, plane: PointLosses[S], samples: S, first: Seen) -> bool:
        """Return whether an evaluation gives the same bits at the center again.

        On GPUs kernels may add in another order each time, so all batches are evaluated again.
        """
        if not self._setting.device.is_host:
            return same_bits(first, self._look_at(plane, samples, CENTER))
        outputs, _ = plane.look_at(*CENTER, samples, slice(0, self._n_first))
        return _equal(first.outputs, outputs.detach().double().cpu())

    def _points_to_try(self) -> list[Point]:
        moved = next((p for p in self._moved if self._is_finite(p)), None)
        return [CENTER, *([moved] if moved is not None else self._moved[:1])]

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
            f"at alpha = {alpha:.4g}, beta = {beta:.4g} it gives other outputs, by {apart:.2g} of "
            f"the largest: mean loss {mean:.6g}, and {plain:.6g} as torch runs it"
        )

    def _is_this_network(self, exact: Seen, point: Point) -> bool:
        """Return whether the network in float64 still is this network.

        Conversion to float64 separates tensors that share memory: tied weights, and views kept as
        attributes. If it did, the results are further apart than rounding explains; a step as
        small as rounding shows how much this network amplifies it.
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
        """Return what the network gives in float64; None if it cannot compute in float64.

        Raises:
            OutOfMemoryError: If it does not fit.
        """
        if point not in self._exact:
            try:
                self._exact[point] = self._look_once(*self._plain(exact=True), point)
            except torch.OutOfMemoryError:
                raise
            except Exception:  # code that is written for float32
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
        """Return what an evaluation gives of the samples that are compared."""
        with lockstep(n_threads):
            losses = plane.losses_at(*point, samples).double().cpu()
        outputs, _ = plane.look_at(*point, samples, slice(0, self._n_first))
        return Seen(outputs.detach().double().cpu(), losses[torch.from_numpy(self._compared)])

    def _look_once(self, plane: PointLosses[S], samples: S, point: Point) -> Seen:
        """Return what an evaluation gives of samples in one batch."""
        outputs, losses = plane.look_at(*point, samples, slice(0, len(samples)))
        return Seen(outputs.detach().double().cpu(), losses.detach().double().cpu())


def compared_rows(n_samples: int, batch: int) -> np.ndarray:
    """Return the rows whose losses are compared: the first ones of each batch, int64 [n]."""
    first = np.arange(min(n_samples, batch, N_FIRST))
    others = [
        np.arange(start, min(start + N_OTHERS, start + batch, n_samples))
        for start in range(batch, n_samples, batch)
    ]
    return np.concatenate([first, *others])


def moved_points(alpha: np.ndarray, beta: np.ndarray) -> list[Point]:
    """Return points of a grid beside the center, those half way to its far corner first.

    Args:
        alpha: Coordinates along the first direction, float64 [n_alpha].
        beta: Coordinates along the second, float64 [n_beta].
    """
    shares = (0.75, 0.6, 0.55, 1.0)
    points = []
    for share in shares:
        row, column = (min(int(share * len(axis)), len(axis) - 1) for axis in (alpha, beta))
        points.append((float(alpha[row]), float(beta[column])))
    return [point for point in dict.fromkeys(points) if point != CENTER]


def relative(found: torch.Tensor, expected: torch.Tensor, *, scale_of: torch.Tensor) -> float:
    """Return the largest difference over the largest finite value.

    Infinite if shapes differ, or if entries are finite in one and not in the other.
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
    """Return how far some samples without the others are from what they are together."""
    seen = together.outputs[part]
    return max(
        relative(found.outputs[: len(seen)], seen, scale_of=together.outputs),
        relative(found.losses, together.losses[part], scale_of=together.losses),
    )


def _parts(n_samples: int) -> list[slice]:
    """Return two parts of the samples, none of which has samples of the other."""
    if n_samples < 2:
        return [slice(0, n_samples)]
    n = max(1, n_samples // 3)
    return [slice(0, n), slice(n, n_samples)]


def same_bits(one: Seen, other: Seen) -> bool:
    """Return whether two evaluations have the same bits, not-a-number aside."""
    return _equal(one.outputs, other.outputs) and _equal(one.losses, other.losses)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether tensors have the same bits, not-a-number aside."""
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _one_line(problem: BaseException) -> str:
    """Return the first line of what an error says, with its type."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}{': ' + lines[0][:150] if lines else ''}"
