"""Fewer samples at a known error: their order, the sums of those taken, and when they suffice."""
