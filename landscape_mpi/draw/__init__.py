"""What the commands that draw do, step by step, without torch and MPI: plot and vtp."""
