"""A run over a surface: loss and error at every point of a plane, and what a file of them says."""
