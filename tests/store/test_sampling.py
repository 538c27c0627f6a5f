"""Means and standard errors of a part of the samples, and the rule that takes more.

Oracle: plain NumPy over the same samples, and a population whose mean is known.
"""

import itertools
import math

import numpy as np
import pytest
import torch

from landscape_mpi.compute.evaluation import mean_values
from landscape_mpi.compute.unit_values import UnitValues, values_of_batches, values_of_samples
from landscape_mpi.engine.sampling.order import LEAST, portions
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.sampling.tally import Tally, standard_errors

RULE = SamplingRule(rtol=0.02, atol=0.002)
GUESS = np.array([math.log(10)])


def units(losses):
    """Return the losses of samples as the values of one quantity."""
    losses = np.asarray(losses, dtype=float)[None]
    return UnitValues(losses, np.ones_like(losses), losses.sum(1), np.array([losses.size], float))


def tally_of(losses, ends):
    tally = Tally.begin(units(losses[: ends[0]]))
    for start, end in itertools.pairwise(ends):
        tally = tally.add(units(losses[start:end]))
    return tally


def is_met(rule, tally, n_all, guesses=GUESS):
    error = tally.standard_errors(n_all, guesses)[0]
    return bool(rule.is_met(tally.means[0], error, np.array(tally.n), n_all))


@pytest.mark.parametrize(
    ("n", "batch"), [(1, 8), (3, 8), (100, 7), (256, 64), (257, 64), (4000, 96)]
)
def test_portions_double_in_whole_batches_and_take_every_sample_once(n, batch):
    found = portions(n, batch)
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(n))
    ends = np.cumsum([len(rows) for rows in found])
    assert all(end % batch == 0 for end in ends[:-1])
    assert all(2 * end == later for end, later in itertools.pairwise(ends[:-1]))
    assert ends[0] == n or LEAST <= ends[0] < LEAST + batch
    assert all((np.diff(rows) > 0).all() for rows in found)


def test_a_first_portion_of_all_samples_has_the_order_of_the_data():
    assert np.array_equal(portions(100, 32)[0], np.arange(100))


def test_the_order_is_random():
    """Ranks of the rows of the first quarter: their mean is that of a uniform draw."""
    first = np.concatenate(portions(4096, 64)[:3])
    assert len(first) == 1024
    assert abs(first.mean() - 2047.5) < 4 * 4096 / math.sqrt(12 * 1024)


def test_sums_of_portions_give_the_mean_and_the_deviation_of_all():
    losses = np.random.default_rng(0).lognormal(0, 1, 1000)
    tally = tally_of(losses, [256, 512, 1000])
    assert tally.n == 1000
    assert tally.means[0] == pytest.approx(losses.mean(), rel=1e-13)
    about = losses - losses[:256].mean()
    assert tally.squares[0] == pytest.approx((about**2).sum(), rel=1e-12)
    assert tally.cubes[0] == pytest.approx((about**3).sum(), rel=1e-12)
    assert tally.largest[0] == np.abs(about).max()


def test_many_samples_have_the_textbook_error():
    """Normal losses: no skewness, and one sample more is nothing beside 100,000."""
    losses = np.random.default_rng(1).normal(5, 1, 100_000)
    error = tally_of(losses, [len(losses)]).standard_errors(200_000, GUESS)[0]
    assert error == pytest.approx(losses.std() / math.sqrt(len(losses)) * math.sqrt(0.5), rel=2e-3)


def test_all_samples_have_no_error():
    losses = np.random.default_rng(2).lognormal(0, 2, 300)
    assert tally_of(losses, [300]).standard_errors(300, GUESS)[0] == 0
    assert tally_of(losses, [256]).standard_errors(300, GUESS)[0] > 0


def test_sums_survive_the_row_of_a_file():
    losses = np.random.default_rng(3).lognormal(0, 1, 512)
    tally = tally_of(losses, [256])
    again = Tally.of_row(tally.row(1000, GUESS)).add(units(losses[256:]))
    assert (
        again.row(1000, GUESS).tobytes() == tally_of(losses, [256, 512]).row(1000, GUESS).tobytes()
    )


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_intervals_of_skewed_losses_hold_in_95_percent(sigma):
    """The known mean of a log-normal distribution, 2,000 samples of 512."""
    draws = np.random.default_rng(4).lognormal(0, sigma, (2000, 512))
    about = draws - draws.mean(axis=1, keepdims=True)
    worst = np.abs(about).max(axis=1)
    errors = standard_errors(512, 10**9, (about**2).sum(1), (about**3).sum(1), worst)
    held = np.abs(draws.mean(axis=1) - math.exp(sigma**2 / 2)) <= 1.96 * errors
    assert 0.935 <= held.mean() <= 0.985


def test_an_error_rate_of_nothing_seen_is_not_certain():
    """No miss among 300 of very many: up to 1 % may be missed (the rule of three)."""
    tally = tally_of(np.zeros(300), [300])
    half = 1.96 * tally.standard_errors(10**9, np.array([100.0]))[0]
    assert 0.9 < half < 2.5  # percent


def test_one_huge_loss_in_ten_thousand_takes_all_samples_once_it_is_seen():
    losses = np.full(10_000, 0.01)
    losses[300] = 500.0
    assert not is_met(RULE, tally_of(losses, [256, 512]), 10_000)
    assert not is_met(RULE, tally_of(losses, [256, 512, 1024, 2048, 4096, 8192]), 10_000)
    assert is_met(RULE, tally_of(losses, [256, 10_000]), 10_000)


def test_losses_that_look_alike_are_not_trusted_before_a_few_could_be_guesses():
    """A sample of 256 at 0.0001 does not show that fewer than 1 in 256 have a loss of a guess."""
    assert not is_met(RULE, tally_of(np.full(256, 1e-4), [256]), 50_000)
    assert is_met(RULE, tally_of(np.full(4096, 1e-4), [4096]), 50_000)


def test_losses_that_are_all_alike_are_not_certain_where_no_guess_is_known():
    """By the rule of three, up to 3 of 512 may differ, each by as much as the value itself."""
    tally = tally_of(np.full(512, 0.7), [256, 512])
    assert tally.means[0] == pytest.approx(0.7, rel=1e-15)
    half = 1.96 * tally.standard_errors(10**9, np.zeros(1))[0]
    assert 0.9 * 3 / 512 * 0.7 < half < 2 * 3 / 512 * 0.7
    assert is_met(RULE, tally, 10**9, np.zeros(1))


def test_zeros_alone_tell_no_error_where_no_guess_is_known():
    """A hinge loss of a trained network is 0 at most samples."""
    losses = np.zeros(4096)
    losses[700] = 3.0
    assert np.isposinf(tally_of(losses, [256, 512]).standard_errors(5000, np.zeros(1))[0])
    assert not is_met(RULE, tally_of(losses, [256, 512]), 5000, np.zeros(1))
    assert np.isfinite(tally_of(losses, [256, 512, 1024]).standard_errors(5000, np.zeros(1))[0])
    assert tally_of(np.zeros(300), [256, 300]).standard_errors(300, np.zeros(1))[0] == 0


def test_one_sample_of_a_batch_may_be_as_bad_as_a_guess():
    """A batch of 8 samples, of which one may have the loss of a guess that was not seen yet."""
    sums, counts = np.full((1, 256), 8e-4), np.full((1, 256), 8.0)
    tally = Tally.begin(UnitValues(sums, counts, sums.sum(1), counts.sum(1)))
    of_one = tally.standard_errors(10**9, GUESS, guessed=1.0)[0]
    assert tally.standard_errors(10**9, GUESS)[0] == pytest.approx(8 * of_one)
    assert 0.9 * 3 / (256 * 8) < 1.96 * of_one / GUESS[0] < 2 * 3 / (256 * 8)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_the_point(value):
    losses = np.ones(256)
    losses[7] = value
    tally = tally_of(losses, [256])
    assert not np.isfinite(tally.means[0])
    assert np.isnan(tally.standard_errors(5000, GUESS)[0])
    assert is_met(RULE, tally, 5000)
    assert not is_met(SamplingRule(0.0, 0.0), tally, 5000)


def test_without_a_tolerance_all_samples_are_taken():
    tally = tally_of(np.full(256, 0.7), [256])
    assert not is_met(SamplingRule(0.0, 0.0), tally, 5000, np.zeros(1))
    assert is_met(SamplingRule(0.0, 0.0), tally, 256, np.zeros(1))


def test_a_portion_in_which_nothing_counts_takes_the_next():
    nothing = UnitValues(np.zeros((1, 256)), np.zeros((1, 256)), np.zeros(1), np.zeros(1))
    tally = Tally.begin(nothing)
    assert np.isposinf(tally.standard_errors(5000, GUESS)[0])
    assert not is_met(RULE, tally, 5000)
    more = tally.add(units(np.full(256, 2.0)))
    assert more.means[0] == 2.0


def test_values_of_samples_add_up_as_an_exact_run_adds_them():
    torch.manual_seed(0)
    losses, wrong = torch.rand(100), torch.rand(100) < 0.3
    found = values_of_samples((losses, wrong), 100, has_error=True)
    tally = Tally.begin(found)
    assert tally.means.tobytes() == mean_values([(losses, wrong)]).tobytes()


def test_ignored_targets_and_weights_make_a_ratio():
    torch.manual_seed(1)
    weights, counted = torch.rand(40, 5), torch.rand(40, 5) < 0.8
    losses, wrong = torch.rand(40, 5) * weights, (torch.rand(40, 5) < 0.3) & counted
    kept = (losses, wrong, weights, counted)
    flat = tuple(values.flatten() for values in kept)
    found = values_of_samples(flat, 40, has_error=True)
    assert Tally.begin(found).means == pytest.approx(mean_values([kept]), rel=1e-14)
    ratio = losses.double().sum() / weights.double().sum()
    residuals = losses.double().sum(1) - ratio * weights.double().sum(1)
    assert Tally.begin(found).squares[0] == pytest.approx(float((residuals**2).sum()), rel=1e-6)


def test_batches_of_unequal_counts_make_a_ratio():
    sums, counts = torch.tensor([2.0, 9.0, 1.0]).double(), torch.tensor([2.0, 3.0, 1.0]).double()
    found = values_of_batches((sums, counts))
    assert Tally.begin(found).means[0] == 2.0
    assert Tally.begin(found).squares[0] == (2 - 4) ** 2 + (9 - 6) ** 2 + (1 - 2) ** 2


def test_intervals_of_a_ratio_hold_in_95_percent():
    """Batches whose counts and sums go together, of a population with a known ratio."""
    draw = np.random.default_rng(5)
    counts = draw.integers(1, 9, 5000).astype(float)
    sums = counts * draw.lognormal(0, 0.5, 5000)
    true, held = sums.sum() / counts.sum(), []
    for _ in range(500):
        rows = draw.permutation(5000)[:512]
        own, n = sums[rows][None], counts[rows][None]
        tally = Tally.begin(UnitValues(own, n, own.sum(1), n.sum(1)))
        error = tally.standard_errors(5000, np.zeros(1))[0]
        held.append(abs(tally.means[0] - true) <= 1.96 * error)
    assert 0.92 <= np.mean(held) <= 0.99
