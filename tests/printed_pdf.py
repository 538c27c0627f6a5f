"""The objects of a PDF that a browser printed."""

import re


def objects_of(pdf):
    """Return the objects of a PDF by number: their dictionaries, and the bytes of their streams."""
    found = {}
    for number, content in re.findall(rb"(\d+) 0 obj\n(.*?)\nendobj", pdf, re.DOTALL):
        head, _, stream = content.partition(b"stream\n")
        found[int(number)] = head, stream.rpartition(b"\nendstream")[0]
    return found
