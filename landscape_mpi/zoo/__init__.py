"""Provide networks and data sets by name, checkpoints, and access to the user's own."""
