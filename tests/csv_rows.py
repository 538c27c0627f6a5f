"""Read a table of comma-separated values, with Python's csv alone."""

import csv


def rows_of(path):
    """Return the rows of a table, by the names of its columns."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
