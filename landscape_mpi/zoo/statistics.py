"""Compute mean and standard deviation of each channel to standardise images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from landscape_mpi.errors import InputError

LEAST_STD = 1e-4
N_IMAGES_AT_ONCE = 1000  # images at a time, because counting widens uint8 to int64


def channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and population standard deviation of each channel, in [0, 1] units.

    Args:
        images: uint8 [n, height, width, channels].

    Returns:
        Both, exact up to float64 rounding: each of the 256 values is counted, then weighted.
    """
    counts = np.stack([_count_values(images[..., c]) for c in range(images.shape[-1])])
    weights = counts / counts.sum(axis=1, keepdims=True)  # float64 [channels, 256]
    values = np.arange(256) / 255
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(axis=1)
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())


def given_mean(values: Sequence[float], *, n_channels: int) -> tuple[float, ...]:
    """Return one mean per channel from the value of --mean.

    Raises:
        InputError: If they are not numbers in [0, 1] units, one or one per channel.
    """
    return _per_channel("--mean", values, n_channels)


def given_std(values: Sequence[float], *, n_channels: int) -> tuple[float, ...]:
    """Return one standard deviation per channel from the value of --std.

    Raises:
        InputError: If they are not positive numbers in [0, 1] units, one or one per channel.
    """
    for value in values:
        if value < LEAST_STD:
            raise InputError(
                f"--std {value:g}: images are divided by it, so it must be at least "
                f"{LEAST_STD:g}, a fortieth of the smallest difference between pixels."
            )
    return _per_channel("--std", values, n_channels)


def _per_channel(option: str, values: Sequence[float], n_channels: int) -> tuple[float, ...]:
    for value in values:
        if not math.isfinite(value):
            raise InputError(
                f"{option} {value}: must be a finite number. Pass a number from 0 to 1."
            )
        if value < 0:
            raise InputError(
                f"{option} {value:g} is below 0, but pixels count from 0 to 1 here. Pass the "
                "value for pixels from 0 to 1."
            )
        if value > 1:
            raise InputError(
                f"{option} {value:g} is above 1, but pixels count from 0 to 1 here. "
                f"If it counts from 0 to 255, divide by 255: {option}={value / 255:.6g}."
            )
    if len(values) not in {1, n_channels}:
        raise InputError(
            f"{option} has {len(values)} numbers, but the images have {n_channels} "
            f"channel{'s' * (n_channels > 1)}. Give one number for each channel or one for all."
        )
    return tuple(float(value) for value in values) * (n_channels // len(values))


def _count_values(channel: np.ndarray) -> np.ndarray:
    """Return how often each value from 0 to 255 occurs, int64 [256]."""
    counts = np.zeros(256, dtype=np.int64)
    for start in range(0, len(channel), N_IMAGES_AT_ONCE):
        counts += np.bincount(channel[start : start + N_IMAGES_AT_ONCE].ravel(), minlength=256)
    return counts
