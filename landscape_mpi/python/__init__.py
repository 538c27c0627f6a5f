"""What ``import landscape_mpi`` offers to Python; the package itself looks it up here."""
