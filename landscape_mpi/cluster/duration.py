"""Durations and rates in words."""

from __future__ import annotations


def describe_duration(seconds: float) -> str:
    """Return a duration in words, e.g. ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def describe_rate(per_unit: float) -> str:
    """Return a rate with three digits, or in whole numbers, e.g. ``3.14`` or ``3,880``."""
    return f"{per_unit:,.0f}" if per_unit >= 100 else f"{per_unit:.3g}"
