"""Find curves of low loss between solutions, with one module per subcommand.

Each module of a subcommand of landscape_mpi.curve has ``SUMMARY``, ``EXAMPLE``, ``add_options`` and
``run``. Only functions that ``run`` calls import torch and HDF5.
"""
