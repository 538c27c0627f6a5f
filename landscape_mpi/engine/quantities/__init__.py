"""Quantities of a point beside loss and error, a file for each; registry.QUANTITIES lists them."""
