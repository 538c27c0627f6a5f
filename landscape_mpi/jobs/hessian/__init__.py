"""Add eigenvalues of the Hessian to the points of a surface."""
