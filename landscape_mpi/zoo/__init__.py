"""Provide networks and data sets by name, checkpoints, and hooks for the user's own."""
