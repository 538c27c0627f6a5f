"""A single number in a picture or a sentence."""

from __future__ import annotations


def number_text(value: float) -> str:
    """Return a number with three digits, or all digits before the point: 0.123 or 1,858."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def rounded_text(value: float, digits: int) -> str:
    """Return a number with some significant digits; below ten million without a power of ten."""
    text = f"{value:.{digits}g}"
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e7 else text
