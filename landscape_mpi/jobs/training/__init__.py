"""Run a training run on one process or on ranks."""
