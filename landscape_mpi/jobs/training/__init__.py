"""Run a training on one process or on ranks."""
