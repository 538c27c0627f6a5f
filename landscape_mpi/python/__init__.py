"""Provide the Python interface of ``import landscape_mpi``; the package looks it up here."""
