"""Libraries of the field whose networks the tests take: there, or a reason to skip."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

import pytest


def imported(name: str) -> ModuleType:
    """Import a module; without a library that it needs, skip, or fail if set-up installed it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as absent:
        message = f"{name}: {absent}: make setup, or pip install it"
    if os.environ.get("LANDSCAPE_EXPECT_LIBRARIES") == "1":
        pytest.fail(f"{message}; LANDSCAPE_EXPECT_LIBRARIES=1 says it is expected")
    pytest.skip(message)
