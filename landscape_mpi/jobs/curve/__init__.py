"""Curves of low loss between solutions: a module for each subcommand of landscape_mpi.curve.

Each has ``SUMMARY``, ``EXAMPLE``, ``add_options`` and ``run``, and imports torch and HDF5 only in
what ``run`` calls.
"""
