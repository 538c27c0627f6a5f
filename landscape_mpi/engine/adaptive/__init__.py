"""Fewer points at a known error: the choice of the points, and the interpolation of the others."""
