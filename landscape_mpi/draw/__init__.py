"""The steps of the commands that draw, plot and vtp, without torch and MPI."""
