"""What landscape_mpi.doctor looks at, and what it says of that."""
