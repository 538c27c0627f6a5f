"""Scale random directions: one file for each way; registry.NORMALIZATIONS lists them."""
