"""Declare what setup.cfg cannot: a wheel holds the scripts that lie beside the package."""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from landscape_mpi.templates import scripts


class BuildWithScripts(build_py):
    """Build the package, then copy the scripts into it."""

    def run(self) -> None:
        """Build, then copy; an editable install uses the scripts of the checkout."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / "landscape_mpi/scripts"
        for source, place in scripts():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / place)


setup(cmdclass={"build_py": BuildWithScripts})
