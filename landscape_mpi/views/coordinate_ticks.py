"""Label each tick with its full coordinate.

Matplotlib takes a common part out of the labels of a tiny plane far from 0, and a power of ten out
of those of a huge one. It writes this part at the end of the axis, where it covers titles and, in
three dimensions, other labels.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import ScalarFormatter

from landscape_mpi.views.levels import format_levels
from landscape_mpi.views.page import current_page

MATHTEXT = re.compile(r"[${}^\s]")  # things that take no room
CHARACTER = 0.085  # inches: width of a character, with a share of the gap to the next label


def longest_of(texts: Sequence[str]) -> int:
    """Return the number of characters of the longest text, as mathtext shows it."""
    return max((len(MATHTEXT.sub("", text.replace(r"\times", "x"))) for text in texts), default=0)


class CoordinateFormatter(ScalarFormatter):
    """Write full coordinates; where there is little room, label only some of the ticks."""

    def __init__(self, inches: float | None = None) -> None:
        """Prepare the labels of one axis.

        Args:
            inches: Length of an axis along which labels stand side by side; None if they do not.
        """
        super().__init__()
        self._inches = inches

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Return the label of each tick."""
        texts = list(super().format_ticks(list(values)))
        if not self.get_offset():
            return texts
        self.set_locs([])  # so that matplotlib writes no common part
        texts = [text.replace("-", "\N{MINUS SIGN}") for text in format_levels(np.array(values))]
        if self._inches is None or not texts:
            return texts
        longest = longest_of(texts) * CHARACTER * current_page().letters
        step = -(-len(texts) // max(2, int(self._inches / longest)))
        return [text if k % step == 0 else "" for k, text in enumerate(texts)]
