"""The units of a tolerance. Imported before numpy."""

UNITS = ("decades", "nat")
