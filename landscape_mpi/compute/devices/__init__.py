"""Define the devices that a rank may use; no other part of the package compares their names."""
