"""Colours and dashes of several curves in one pair of axes."""

from __future__ import annotations

from typing import Any

# By Okabe and Ito, 2008: colour-blind people can tell them apart too. Then again, with dashes.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "0.2")
DASHES = ("-", "--", ":")
MOST = len(COLORS) * len(DASHES)


def look_of(number: int) -> dict[str, Any]:
    """Return the colour and the dashes of a curve by its number, from 0 to below MOST."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number // len(COLORS)],
    }
