"""Compute surfaces, loss and error at every point of a plane, and describe their files."""
