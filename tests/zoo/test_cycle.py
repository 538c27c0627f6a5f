"""Oracle: the two lines of the schedule between exact fractions, as section 4 of the paper has it
(arXiv:1802.10026), written out for every iteration; and a list of small numbers by hand.
"""

from fractions import Fraction

import pytest

from landscape_mpi.zoo.cycle import Cycle, length_of


def by_the_paper(i, high, low, c):
    t = Fraction((i - 1) % c + 1, c)
    if 0 < t <= Fraction(1, 2):
        return (1 - 2 * t) * high + 2 * t * low
    return (2 - 2 * t) * low + (2 * t - 1) * high


@pytest.mark.parametrize("length", [2, 4, 10, 94, 1564])
def test_the_rate_is_that_of_the_paper(length):
    high, low = Fraction(1, 20), Fraction(1, 2000)
    cycle = Cycle(float(high), float(low), length)
    for i in range(1, 2 * length + 2):
        expected = float(by_the_paper(i, high, low, length))
        assert cycle.rate(i) == pytest.approx(expected, rel=1e-12)


def test_a_cycle_of_four_by_hand():
    cycle = Cycle(0.5, 0.1, 4)
    assert [cycle.rate(i) for i in range(1, 9)] == pytest.approx([0.3, 0.1, 0.3, 0.5] * 2)
    assert [cycle.is_minimum(i) for i in range(1, 9)] == [False, True, False, False] * 2
    assert list(cycle.minima(9)) == [2, 6]
    assert list(cycle.minima(1)) == []


def test_minima_are_where_the_rate_is_low():
    cycle = Cycle(0.05, 0.0005, 12)
    lowest = [i for i in range(1, 61) if cycle.rate(i) == 0.0005]
    assert list(cycle.minima(60)) == lowest == [i for i in range(1, 61) if cycle.is_minimum(i)]
    assert lowest == [6, 18, 30, 42, 54]


def test_fractions_of_a_cycle():
    assert list(Cycle(1, 0, 8).fractions(17, 4)) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert list(Cycle(1, 0, 6).fractions(12, 4)) == [2, 3, 4, 6, 8, 9, 10, 12]
    for n in (2, 4, 6):
        places = list(Cycle(1, 0, 94).fractions(940, n))
        assert set(Cycle(1, 0, 94).minima(940)) <= set(places)


def test_a_cycle_has_an_even_number_of_iterations():
    assert [length_of(Fraction(2), n) for n in (12, 391)] == [24, 782]
    assert length_of(Fraction(1), 469) in {468, 470}
    assert length_of(Fraction(1, 2), 12) == 6
    assert length_of(Fraction(1, 100), 12) == 2
