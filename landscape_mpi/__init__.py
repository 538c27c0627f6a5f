"""Loss landscapes of trained networks, on as many MPI ranks and GPUs as there are.

Each module with a ``main`` is a command: ``python -m landscape_mpi.surface --help``.
This package imports nothing, so that ``--help`` answers at once.
"""

__version__ = "0.1.0"
