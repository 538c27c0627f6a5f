"""The commands of the package: its modules that have a main(), read from their source."""

from folders import ROOT

COMMANDS = sorted(
    path.stem
    for path in (ROOT / "landscape_mpi").glob("[!_]*.py")
    if "\ndef main(" in path.read_text()
)
