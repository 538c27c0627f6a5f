"""Examine a machine for landscape_mpi.doctor."""
