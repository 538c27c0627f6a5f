"""All cases: networks with their data and losses, for every test that can use them.

``table`` lists them. The other modules have one kind of case each.
"""
