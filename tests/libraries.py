"""Libraries of the field whose networks the tests take: there, or a reason to skip."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from types import ModuleType

import pytest

# It has no wheel for Linux on arm64, where set-up leaves it out.
HAS_GUDHI = importlib.util.find_spec("gudhi") is not None or not (
    sys.platform == "linux" and platform.machine() == "aarch64"
)
needs_gudhi = pytest.mark.skipif(not HAS_GUDHI, reason="gudhi has no wheel for this processor")


def imported(name: str) -> ModuleType:
    """Import a module; without a library that it needs, skip, or fail if set-up installed it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as absent:
        message = f"{name}: {absent}: make setup, or pip install it"
    if os.environ.get("LANDSCAPE_EXPECT_LIBRARIES") == "1":
        pytest.fail(f"{message}; LANDSCAPE_EXPECT_LIBRARIES=1 says it is expected")
    pytest.skip(message)
