"""A single number in a picture or a sentence."""

from __future__ import annotations

import math

import numpy as np


def number_text(value: float) -> str:
    """Return a number with three digits, or all digits before the point: 0.123 or 1,858."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def rounded_text(value: float, digits: int) -> str:
    """Return a number with some significant digits; below ten million without a power of ten."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e7 else text


def text_to(value: float, step: float) -> str:
    """Return a number with four digits, or with as many more as it takes to show a step.

    Args:
        value: The number.
        step: Difference between it and the numbers beside it; 0 or less if there are none.
    """
    digits = 4
    if step > 0 and value != 0 and math.isfinite(value):
        digits = math.floor(math.log10(abs(value))) - math.floor(math.log10(step)) + 1
    return f"{value:.{min(15, max(4, digits))}g}"


def coordinate_text(axis: np.ndarray, place: int) -> str:
    """Return a coordinate of an axis with enough digits to tell it from its neighbours."""
    return text_to(float(axis[place]), step_of(axis))


def step_of(axis: np.ndarray) -> float:
    """Return the smallest step of an axis, 0 for a single point."""
    return float(np.abs(np.diff(axis)).min()) if len(axis) > 1 else 0.0


def span_text(values: np.ndarray) -> str:
    """Return "least to greatest" of finite values, with enough digits to tell them apart."""
    low, high = float(values.min()), float(values.max())
    return f"{text_to(low, high - low)} to {text_to(high, high - low)}"
