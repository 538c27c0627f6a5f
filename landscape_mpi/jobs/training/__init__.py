"""A training run, on one process or on ranks."""
