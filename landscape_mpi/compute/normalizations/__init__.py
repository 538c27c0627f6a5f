"""How random directions are scaled, a file for each way; registry.NORMALIZATIONS lists them."""
