"""Show the sessions of docstrings (lines from >>> on) as code, not as quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

SESSION = re.compile(r"(?m)^>>> .*(?:\n(?!\s*$).+)*")


class DoctestBlocks(griffe.Extension):
    """Fences each session in the docstrings that it meets."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object, once it is read."""
        if obj.docstring is not None:
            text = SESSION.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
            obj.docstring.value = text
