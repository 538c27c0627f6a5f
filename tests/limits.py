"""The longest wait of a test for another process."""

LIMIT_S = 200.0  # for what takes seconds: other programs may keep the cores
