"""A folder that a run fills and resumes from, locked during the run.

``resume.pt`` is written last, whenever a part of the run is complete. It holds the state to resume
from and the identity of the run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch

from landscape_mpi.errors import InputError
from landscape_mpi.output import OutputLock, whole_file
from landscape_mpi.zoo.weight_files import changed_record

RESUME = "resume.pt"
RESUME_VERSION = 1  # of its format; files without a version have this one
OF_ALL = r"|resume\.pt|\..*\.(partial|lock)"  # files that every kind of run has
OWN = "landscape_mpi "  # beginning of the format of every kind of run
Folder = TypeVar("Folder", bound="JobFolder")
UNSAID = {"class_axis": -1, "ignore_index": "none"}  # kind of older runs, which do not state it


class JobFolder:
    """The folder of one kind of run, locked for this process until it is released."""

    format: ClassVar[str]  # stated in its resume.pt
    files: ClassVar[str]  # regular expression for the names of files that such a run writes
    begun: ClassVar[frozenset[str]] = frozenset()  # files written before the first resume.pt

    def __init__(self, path: Path) -> None:
        """Make the folder if it is missing, and lock it.

        Args:
            path: Value of --run.

        Raises:
            InputError: If that fails, or another run has locked it.
        """
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise InputError(
                f"--run: {path} cannot be made ({problem.strerror}). Name a folder of your own."
            ) from problem
        self._lock = OutputLock(path / RESUME)

    def release(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def clear(self, inputs: Sequence[Path] = ()) -> None:
        """Remove the files that a run of this kind has written, and nothing else.

        Args:
            inputs: Files that the command reads.

        Raises:
            InputError: If that would remove an input, or the state of another kind of run.
        """
        if (self.path / RESUME).exists():
            self._load()
        # resume.pt goes first: a half-cleared folder then begins again.
        names = sorted(os.listdir(self.path), key=lambda name: name != RESUME)
        files = [self.path / name for name in names if self._is_own(name)]
        for file in inputs:
            if any(file.samefile(own) for own in files):
                raise InputError(
                    f"--fresh: would remove {file}, a file of --run {self.path} that this command "
                    f"reads. Name another --run, or copy the file elsewhere first."
                )
        for file in files:
            file.unlink()

    def _is_own(self, name: str) -> bool:
        return bool(re.fullmatch(self.files + OF_ALL, name)) and not name.endswith(".lock")

    def read(self, identity: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the state to resume from, None if there is none.

        Args:
            identity: Identity of the run, by option; see check_identity.

        Raises:
            InputError: If the folder holds another run, a damaged one, or something else.
        """
        path = self.path / RESUME
        if not path.exists():
            self._check_unused()
            return None
        content = self._load()
        if content is None:
            raise InputError(
                f"{path}: is damaged, or of another version of this command, so the run cannot "
                "continue from it. Pass --fresh to start over, or another --run."
            )
        check_identity(path, content["identity"], identity)
        return content

    def _load(self) -> dict[str, Any] | None:
        """Return the contents of resume.pt, None if it is damaged or has another version.

        Raises:
            InputError: If it belongs to another kind of run.
        """
        try:
            if changed_record(self.path / RESUME) is not None:
                return None
            content = torch.load(self.path / RESUME, weights_only=True, map_location="cpu")
            found = content["format"]
            version = content.get("format_version", RESUME_VERSION)
        except Exception:  # a damaged pickle can raise anything
            return None
        if found != self.format and str(found).startswith(OWN):
            raise InputError(
                f"--run: {self.path} is the folder of a {found}, but this run is a {self.format}, "
                "so the folder is kept. Name another folder."
            )
        return content if (found, version) == (self.format, RESUME_VERSION) else None

    def _check_unused(self) -> None:
        """Check that the folder is empty, or holds only files from before the first resume.pt.

        Raises:
            InputError: If it holds other files, or weights of a run whose resume.pt is gone.
        """
        names = sorted(os.listdir(self.path))
        others = [name for name in names if name not in self.begun and not name.startswith(".")]
        if others:
            raise InputError(
                f"--run: {self.path} holds {', '.join(others[:5])}, but no {RESUME} to continue "
                "from. Name a new folder, or pass --fresh to remove a run's files from this one."
            )

    def write_resume(self, **content: Any) -> None:
        """Write the state to resume from.

        Args:
            content: Plain types and tensors; ``identity`` is the identity of the run.
        """
        with whole_file(self.path / RESUME) as partial, partial.open("wb") as file:
            mark = {"format": self.format, "format_version": RESUME_VERSION}
            torch.save({**mark, **content}, file)
            file.flush()
            os.fsync(file.fileno())


def open_folder(
    kind: type[Folder],
    path: Path,
    identity: dict[str, Any],
    *,
    fresh: bool,
    inputs: Sequence[Path] = (),
) -> tuple[Folder, dict[str, Any] | None]:
    """Open the folder of a run, and return it with its state to resume from.

    Args:
        kind: Kind of the run.
        path: Value of --run.
        identity: Identity of the run.
        fresh: Whether to remove the files of a previous run.
        inputs: Files that the command reads, which must not be removed.
    """
    folder = kind(path)
    try:
        if fresh:
            folder.clear(inputs)
        return folder, None if fresh else folder.read(identity)
    except BaseException:
        folder.release()
        raise


def check_identity(
    path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any], *, place: str = "--run"
) -> None:
    """Check that a stored run is the one that is requested.

    Args:
        path: File of the stored run.
        stored: Its options by name, and for files that options name, ``<option>_sha256``.
        asked: The same for the present command line.
        place: The option that names the place of the run.

    Raises:
        InputError: If they differ, naming the first difference.
    """
    for name, value in asked.items():
        known = stored.get(name, UNSAID.get(name))
        if known == value:
            continue
        others = f"another {place}, or --fresh to start over."
        if name == "data_sha256":
            raise InputError(
                f"{path}: was started with data of SHA-256 {stored[name][:16]}, but --data "
                f"{asked['data']} here has {value[:16]}. A run has one training set: pass its "
                f"--data-dir, {others}"
            )
        if name.endswith("_sha256"):
            option = f"--{name.removesuffix('_sha256')}"
            raise InputError(
                f"{path}: was started with {option} of SHA-256 {str(stored.get(name))[:16]}, but "
                f"{option} here has {value[:16]}. Pass the original file, {others}"
            )
        was, now = _option(name, known), _option(name, value)
        raise InputError(
            f"{path}: was started with {was}, but this command has {now}. A run has one recipe: "
            f"pass {was}, {others}"
        )


def _option(name: str, value: Any) -> str:
    """Return an option as it is typed."""
    dashed = name.replace("_", "-")
    if value is None:
        return f"no --{dashed}"
    if isinstance(value, bool):
        return f"--{dashed}" if value else f"--no-{dashed}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = ",".join(f"{item:g}" for item in value) or "none"
    return f"--{dashed} {value}"
