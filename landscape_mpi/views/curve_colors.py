"""Colours and dashes of several curves in one pair of axes."""

from __future__ import annotations

from typing import Any

# By Okabe and Ito, 2008: told apart by the colour-blind too. Then with dashes.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "0.2")
DASHES = ("-", "--", ":")
MOST = len(COLORS) * len(DASHES)


def look_of(number: int) -> dict[str, Any]:
    """Return colour and dashes of the curve of a number from 0, below MOST."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number // len(COLORS)],
    }
