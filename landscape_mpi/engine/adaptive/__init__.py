"""Fewer points at a known error: which points to compute, and what stands at the others."""
