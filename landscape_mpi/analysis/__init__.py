"""Analyse a surface by its coordinates and values alone: needs NumPy and SciPy, no files."""
