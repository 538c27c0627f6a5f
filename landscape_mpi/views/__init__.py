"""Figures and meshes made from surface files; neither torch nor MPI is imported here."""
