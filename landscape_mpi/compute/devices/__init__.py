"""The devices that a rank may compute on; no other part of the package compares their names."""
