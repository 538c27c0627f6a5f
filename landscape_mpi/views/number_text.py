"""A single number in a picture."""

from __future__ import annotations


def number_text(value: float) -> str:
    """Return a number with three digits, or all digits before the point: 0.123 or 1,858."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"
