"""The points that a tolerance asks for, on surfaces that are looked up instead of computed.

Oracle: the surface itself, at every point that was not computed. Its formulas, noise and spikes
are made here, and the planner sees of them only the points that it asks for.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landscape_mpi.engine.adaptive import refinement
from landscape_mpi.engine.adaptive.level_grid import level_grids, predict
from landscape_mpi.engine.adaptive.points import AdaptivePoints
from landscape_mpi.engine.adaptive.self_check import next_step
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.engine.plan import Plan

DECADES = Tolerance(0.03)


def look_up(losses, tolerance=DECADES, *, stop_after=None, done=None):
    """Compute what the planner asks for; with stop_after, at most so many points in all."""
    losses = np.atleast_3d(losses.T).T
    done = np.zeros(losses.shape[1:], bool) if done is None else done.copy()
    while True:
        step = next_step(losses, done, tolerance)
        assert not done.ravel()[step.pending].any()
        if step.is_last:
            return step, done
        for point in step.pending:
            if stop_after is not None and done.sum() >= stop_after:
                return step, done
            done.ravel()[point] = True


def grid(n):
    axis = np.linspace(-1, 1, n)
    return np.meshgrid(axis, axis, indexing="ij")


def bowl(n):
    alpha, beta = grid(n)
    return 20 * (alpha**2 + 2 * beta**2) + 0.001


def rough(n, *, seed=0):
    """Return a bowl under ripples of all lengths from 2 to 1/30, weaker as they get shorter."""
    alpha, beta = grid(n)
    draw = np.random.default_rng(seed)
    total = np.zeros_like(alpha)
    for length in np.geomspace(0.07, 2, 120):
        angle, phase = draw.uniform(0, 2 * np.pi, 2)
        along = alpha * np.cos(angle) + beta * np.sin(angle)
        total += length * np.cos(2 * np.pi * along / length + phase)
    return np.exp(0.1 * total) * (0.1 + 8 * np.hypot(alpha, beta))


def errors_of(losses, step, done, tolerance=DECADES):
    """Return errors and estimates of the points that were not computed."""
    with np.errstate(invalid="ignore"):  # infinity less infinity, where it was computed
        errors = np.abs(tolerance.scaled(losses) - step.answer.values[0])
    return errors[~done], step.answer.errors[0][~done]


def test_a_smooth_surface_takes_few_points():
    losses = bowl(249)
    step, done = look_up(losses)
    errors, estimates = errors_of(losses, step, done)
    assert done.mean() <= 0.07
    assert np.quantile(errors, 0.99) <= 0.03
    assert (errors <= estimates).mean() >= 0.95


def test_a_rough_surface_takes_more_where_it_is_rough():
    losses = rough(201)
    step, done = look_up(losses)
    errors, estimates = errors_of(losses, step, done)
    assert 0.02 < done.mean() < 0.5
    assert np.quantile(errors, 0.99) <= 0.03
    assert (errors <= estimates).mean() >= 0.95
    middle = done[80:121, 80:121].mean()  # log10 of the loss bends most around its minimum
    assert middle > done[:41, :41].mean()


def test_a_smaller_tolerance_takes_more_points_and_keeps_to_it():
    losses, shares = rough(101), []
    for value in (0.1, 0.03, 0.01):
        tolerance = Tolerance(value)
        step, done = look_up(losses, tolerance)
        errors, _ = errors_of(losses, step, done, tolerance)
        assert errors.size == 0 or np.quantile(errors, 0.99) <= value
        shares.append(done.mean())
    assert shares == sorted(shares)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.8, 0.99])
def test_a_run_that_goes_on_takes_the_same_points_and_bits(share):
    losses = rough(101)
    whole, all_done = look_up(losses)
    _, some = look_up(losses, stop_after=int(share * all_done.sum()))
    resumed, done = look_up(losses, done=some)
    assert np.array_equal(done, all_done)
    assert resumed.answer.values.tobytes() == whole.answer.values.tobytes()
    assert resumed.answer.errors.tobytes() == whole.answer.errors.tobytes()


def test_points_that_others_computed_out_of_turn_change_no_decision():
    losses = rough(101)
    _, all_done = look_up(losses)
    extra = np.random.default_rng(1).random(losses.shape) < 0.2
    _, done = look_up(losses, done=extra)
    assert np.array_equal(done, all_done | extra)


HOSTILE = {
    "cliff": lambda losses, alpha, beta: np.where(alpha > 0.31, 1e3, losses),
    "not a number": lambda losses, alpha, beta: np.where(alpha + beta > 0.9, np.nan, losses),
    "infinite": lambda losses, alpha, beta: np.where(alpha + beta > 0.9, np.inf, losses),
    "constant": lambda losses, alpha, beta: np.ones_like(losses),
    "zero": lambda losses, alpha, beta: np.zeros_like(losses),
    "1e36": lambda losses, alpha, beta: np.full_like(losses, 1e36),
    "almost infinite": lambda losses, alpha, beta: np.where(alpha > 0.2, 1e308, losses),
    "checkerboard": lambda losses, alpha, beta: 1.0 + np.indices(losses.shape).sum(0) % 2,
    "noise": lambda losses, alpha, beta: np.random.default_rng(0).random(losses.shape),
    "negative": lambda losses, alpha, beta: losses - 5,
}


@pytest.mark.parametrize("unit", ["decades", "nat"])
@pytest.mark.parametrize("name", HOSTILE)
def test_on_hostile_surfaces_estimates_hold_and_nothing_is_interpolated_across(name, unit):
    losses = HOSTILE[name](bowl(101), *grid(101))
    tolerance = Tolerance(0.03 if unit == "decades" else 0.5, unit)
    step, done = look_up(losses, tolerance)
    errors, estimates = errors_of(losses, step, done, tolerance)
    assert np.isfinite(step.answer.values[0][~done]).all()
    assert np.isfinite(tolerance.scaled(losses)[~done]).all()
    assert errors.size == 0 or (errors <= estimates).mean() >= 0.95


@pytest.mark.filterwarnings("error")
def test_a_tolerance_that_no_loss_can_keep_computes_everything_without_a_warning():
    """A quadratic is predicted almost to the last bit; other ratios of errors are infinite."""
    _, done = look_up(1e36 * bowl(101), Tolerance(1e-300, "nat"))
    assert done.mean() > 0.99


def test_the_check_refines_what_the_levels_cannot_see():
    """A patch is rough at odd points alone; each level of even points is smooth there."""
    losses = bowl(101)
    odd = (np.indices(losses.shape) % 2).any(axis=0)
    patch = np.zeros_like(odd)
    patch[20:60, 20:60] = True
    losses[odd & patch] *= 3
    step, done = look_up(losses)
    errors, estimates = errors_of(losses, step, done)
    assert not step.checks[0].is_passed
    assert step.checks[-1].is_passed
    assert (errors <= estimates).mean() >= 0.95
    assert done[patch].mean() > 2 * done[~patch].mean()


def test_a_check_computes_at_least_100_points_and_says_what_it_found():
    losses = bowl(101)
    step, done = look_up(losses)
    check = step.checks[-1]
    assert len(np.unique(check.points)) == len(check.points) >= 100
    assert done.ravel()[check.points].all()
    assert check.is_passed == (check.holds.mean() >= 0.95)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (201, 51), (13, 90)])
def test_any_shape_of_grid(shape):
    alpha, beta = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    losses = np.exp(alpha + 2 * beta)
    step, done = look_up(losses)
    errors, _ = errors_of(losses, step, done)
    assert errors.size == 0 or errors.max() <= 0.03


@pytest.mark.parametrize("unit", ["decades", "nat"])
def test_nothing_is_interpolated_beyond_what_is_computed(unit):
    """A loss that is 0 on a curve: a cubic undershoots it."""
    alpha, beta = grid(101)
    losses = np.abs(beta - alpha**2) ** 1.5
    tolerance = Tolerance(0.1, unit)
    step, done = look_up(losses, tolerance)
    found = tolerance.losses(step.answer.values[0])[~done]
    assert found.size > 1000
    assert found.min() >= losses[done].min() - 1e-12
    assert found.max() <= losses[done].max() + 1e-12


def test_every_loss_keeps_to_the_tolerance():
    """The second loss is rough where the first is smooth."""
    losses = np.stack([bowl(101), rough(101)])
    step, done = look_up(losses)
    errors = np.abs(DECADES.scaled(losses) - step.answer.values)[:, ~done]
    assert (np.quantile(errors, 0.99, axis=1) <= 0.03).all()


@pytest.mark.parametrize("n", [16, 17, 23, 101])
def test_a_cubic_is_predicted_exactly_also_in_a_narrow_last_cell(n):
    alpha, beta = grid(n)
    cubic = (alpha**3 - alpha) * (2 * beta**3 + beta**2) + 1
    *_, coarse, fine = level_grids(n, n)
    predicted = predict(cubic[coarse.select], coarse, fine)
    assert predicted == pytest.approx(cubic[fine.select], abs=1e-12)


def test_ranks_that_wait_for_a_level_share_its_points_as_if_they_were_all():
    """The coarsest level of 201 points has every 16th and the last one: 14."""
    axis = np.linspace(-1, 1, 201)
    subject = None  # of no matter here
    exact = Plan(Path("x.h5"), axis, axis, subject, n_pending=201 * 201)
    assert exact.n_together == 201 * 201
    assert replace(exact, tolerance=DECADES).n_together == 14 * 14
    assert replace(exact, tolerance=DECADES, n_pending=5).n_together == 5


def test_levels_are_those_of_the_usual_order():
    order = coarse_to_fine(21, 34)
    for level in level_grids(21, 34):
        nodes = np.ravel_multi_index(level.select, (21, 34)).ravel()
        assert set(order[: len(nodes)]) == set(nodes)


def test_errors_in_nat_reach_the_upper_side():
    losses, errors = np.array([0.0, 2.3, 50.0]), np.array([0.03, 0.3, 0.01])
    reached = losses + DECADES.loss_errors(DECADES.scaled(losses), errors)
    assert DECADES.scaled(reached) - DECADES.scaled(losses) == pytest.approx(errors)


@pytest.mark.parametrize("shape", [(2, 11, 11), (1, 5, 1), (1, 1, 7), (2, 40, 33)])
def test_neighbours_are_those_of_scipy(shape):
    """Bit for bit: files that earlier versions began would otherwise go on with other points."""
    from scipy import ndimage

    draw = np.random.default_rng(0)
    values = draw.lognormal(0, 3, shape) * (draw.random(shape) > 0.3)
    expected = ndimage.convolve(values, np.ones((1, 3, 3)), mode="constant")
    assert np.array_equal(refinement._window_sums(values), expected)
    nodes = np.unique(np.append(np.arange(0, shape[2], 4), shape[2] - 1))
    for reach in (1, 2, 16):
        step = reach * int(np.diff(nodes).max(initial=1))
        around = ndimage.maximum_filter1d(values, 2 * step + 1, axis=-1)
        assert np.array_equal(refinement._largest_within(values, nodes, reach), around[..., nodes])


def test_points_that_are_likely_to_take_most_samples_come_first():
    """The same points as without numbers of samples, in an order that foresees what they take."""
    losses, (alpha, beta) = rough(101), grid(101)
    work = np.where(np.hypot(alpha, beta) < 0.4, 4000.0, 250.0)
    begin = ("train_loss",), losses[None], np.zeros(losses.shape, bool), DECADES
    plain = AdaptivePoints(*begin)
    ordered = AdaptivePoints(*begin, work=np.zeros(losses.shape))
    n_levels, foreseen = 0, []
    while len(points := ordered.next_points()):
        assert np.array_equal(np.sort(points), plain.next_points())
        taken = work.ravel()[points]
        many, few = np.flatnonzero(taken > 1000), np.flatnonzero(taken < 1000)
        if n_levels and len(many) and len(few):
            foreseen.append((many[:, None] < few).mean())  # of all pairs
        ordered.take(points, losses.ravel()[points, None], taken)
        plain.take(points, losses.ravel()[points, None])
        n_levels += 1
    assert not len(plain.next_points())
    assert n_levels > 3
    assert len(foreseen) > 1
    assert min(foreseen) > 0.9
    for name, values in ordered.fill().columns.items():
        assert np.array_equal(values, plain.fill().columns[name])


def run(losses, tolerance):
    """Take the points that a tolerance asks for, and return them and all values."""
    chooser = AdaptivePoints(
        ("train_loss",), np.zeros((1, *losses.shape)), np.zeros(losses.shape, bool), tolerance
    )
    while len(points := chooser.next_points()):
        chooser.take(points, losses.ravel()[points, None])
    filled = chooser.fill()
    values = losses.copy().ravel()
    values[filled.points] = filled.columns["train_loss"]
    estimates = np.zeros(losses.size)
    estimates[filled.points] = filled.columns["train_loss_error"]
    return chooser, filled.points, values.reshape(losses.shape), estimates.reshape(losses.shape)


@pytest.mark.parametrize("scale", [1e-9, 1e-4, 1e7])
def test_a_loss_without_a_unit_takes_the_same_points_on_any_scale(scale):
    """With an offset of 0.1, losses of 1e-9 would all look like zero and be interpolated."""
    losses = 0.01 + rough(101)
    free = replace(DECADES, offset=None)
    _, usual, *_ = run(losses, free)
    chooser, points, values, estimates = run(scale * losses, free)
    assert chooser.tolerance.offset == pytest.approx(scale * 0.1)  # the median is 5
    assert np.array_equal(points, usual)
    assert len(points) > 2000
    errors = np.abs(np.log10(values / scale + 0.1) - np.log10(losses + 0.1)).ravel()[points]
    assert np.quantile(errors, 0.99) <= 0.03
    assert (np.abs(values - scale * losses) <= estimates).ravel()[points].mean() >= 0.95


def test_the_offset_follows_from_the_first_level_alone():
    """Later levels do not change it; without a finite loss it is that of losses in nat."""
    free, losses = replace(DECADES, offset=None), 1e-5 * rough(101)
    first = np.zeros(losses.shape, bool)
    first[level_grids(101, 101)[1].select] = True
    later = np.where(first, losses, 1e3)
    known = [
        AdaptivePoints(("train_loss",), values[None], done, free).tolerance.offset
        for values, done in ((losses, first), (losses, first | True), (later, first | True))
    ]
    assert known == [known[0]] * 3
    assert np.log10(known[0]) == round(np.log10(known[0]))
    assert 10 <= np.median(losses[first]) / known[0] < 100
    lost = AdaptivePoints(("train_loss",), np.full((1, 101, 101), np.nan), first, free)
    assert lost.tolerance.offset == 0.1


CHOOSE = """
import sys
import numpy as np
from landscape_mpi.engine.adaptive.self_check import next_step
from landscape_mpi.engine.adaptive.tolerance import Tolerance

losses = np.add.outer(np.linspace(-1, 1, 41) ** 2, np.linspace(-1, 1, 41) ** 2)
losses[1::2, 1::2] += 1  # between the points of the coarser levels, so that the check fails
done = np.zeros((41, 41), bool)
while len((step := next_step(losses[None], done, Tolerance(0.3))).pending):
    done.ravel()[step.pending] = True
print(len(step.checks), *sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_no_rank_waits_for_an_import_of_rank_0():
    """Half a second for scipy at the first decision, and all ranks of a run would wait for it."""
    words = [sys.executable, "-c", CHOOSE]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    n_checks, *imported = done.stdout.split()
    assert int(n_checks) > 1
    assert "numpy" in imported
    assert "scipy" not in imported
