"""A job on ranks, from its options to its file: joins cluster, compute, store and zoo.

These four do not know one another; what they share passes through here as plain data.
"""
