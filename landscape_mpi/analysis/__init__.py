"""Numbers of a surface, from its coordinates and values alone: needs NumPy and SciPy, no files."""
