"""Choose the offset that is added to a loss before its logarithm.

Pictures in three dimensions and --adaptive take the logarithm of loss + offset. Losses far below
the offset then look like zero. Without it, a minimum of 1e-9 would be a needle many decades deep,
which would take most of the height and most of the points.
"""

from __future__ import annotations

import numpy as np

IN_NAT = 0.1  # the same for all losses in nat, so that surfaces of all networks can be compared
BELOW_MEDIAN = 10.0  # for other losses, the offset is at least this many times smaller
LEAST_EXPONENT = -300


def offset_below(values: np.ndarray) -> float:
    """Return a power of ten that is 10 to 100 times smaller than the median magnitude of values.

    Args:
        values: Losses of any unit, in any shape; only finite values except 0 count.

    Returns:
        The power of ten, or IN_NAT if no value counts.
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if not sizes.size:
        return IN_NAT
    # The exponent is read from text, because the logarithms of two libraries may round differently.
    _, exponent = f"{float(np.median(sizes)) / BELOW_MEDIAN:.17e}".split("e")
    return float(f"1e{max(int(exponent), LEAST_EXPONENT)}")
