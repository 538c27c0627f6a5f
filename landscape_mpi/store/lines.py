"""What the file of several lines is: a surface file, alpha the place t, beta the pair.

Pairs of the solutions 0, 1, 2, ... are numbered (0, 1), (0, 2), ..., (1, 2), ...
"""

from __future__ import annotations

SOLUTIONS = "solutions"  # attribute of the file: the checkpoints, in their order
AXIS_WORDS = {
    "alpha": "place t on the line",
    "beta": "pair of solutions: (0, 1), (0, 2), ..., (1, 2), ...",
}
