"""Oracle: numpy's own mean and std of the images as float64, and the sentences."""

import numpy as np
import pytest

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.statistics import channel_statistics, given_mean, given_std


@pytest.mark.parametrize("shape", [(7, 5, 4, 3), (2300, 3, 3, 1)])
def test_statistics_are_numpys(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images[..., 0] //= 2
    mean, std = channel_statistics(images)
    floats = images.astype(np.float64) / 255
    np.testing.assert_allclose(mean, floats.mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(std, floats.std(axis=(0, 1, 2)), rtol=1e-13)


def test_constant_channel_has_std_zero():
    assert channel_statistics(np.full((2, 3, 3, 1), 51, np.uint8)) == ((0.2,), (0.0,))


def test_one_number_serves_all_channels():
    assert given_mean([0.5], n_channels=3) == (0.5, 0.5, 0.5)
    assert given_std([0.1, 0.2, 0.3], n_channels=3) == (0.1, 0.2, 0.3)
    assert given_std([1], n_channels=1) == (1.0,)


@pytest.mark.parametrize("given", [given_mean, given_std])
def test_numbers_of_another_scale_are_shown_divided(given):
    option = given.__name__.replace("given_", "--")
    with pytest.raises(InputError) as caught:
        given([0.1, 125.3], n_channels=2)
    assert str(caught.value) == (
        f"{option} 125.3 is above 1, but pixels count from 0 to 1 here. "
        f"If it counts from 0 to 255, divide by 255: {option}=0.491373."
    )


@pytest.mark.parametrize("given", [given_mean, given_std])
def test_counts_and_nan_are_checked(given):
    with pytest.raises(InputError, match="has 2 numbers, but the images have 3 channels. Give one"):
        given([0.1, 0.2], n_channels=3)
    with pytest.raises(InputError, match="has 3 numbers, but the images have 1 channel. Give one"):
        given([0.1, 0.2, 0.3], n_channels=1)
    with pytest.raises(InputError, match="has 0 numbers"):
        given([], n_channels=1)
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"{value}: must be a finite number"):
            given([value], n_channels=1)


@pytest.mark.parametrize("value", [0, -0.5])
def test_std_must_be_positive(value):
    with pytest.raises(InputError, match=f"--std {value}: images are divided by it"):
        given_std([0.1, value], n_channels=2)
