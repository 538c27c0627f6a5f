"""The trajectory of a training in a plane, made up for tests that store, read or draw one."""

import numpy as np

from landscape_mpi.store.trajectory import COLUMNS, Trajectory


def make_trajectory(name="sgd", **columns):
    n = len(next(iter(columns.values()), [0.0] * 4))
    filled = {column: np.arange(float(n)) for column in COLUMNS}
    filled |= {column: np.asarray(values, float) for column, values in columns.items()}
    texts = {"file": tuple(f"epoch_{i}.pt" for i in range(n)), "file_sha256": ("ab" * 32,) * n}
    return Trajectory(name, filled, texts, np.ones((n, 3)))
