"""The house of all cases: networks with their data and losses, for every test that can take them.

``table`` lists them. The other modules have one kind of case each.
"""
