"""Read the tensors of torch.distributed.checkpoint folders in one process.

The folder's index is a pickle. Without trust, only the classes of torch that an index needs are
unpickled. Everything else in the folder that is not a tensor is also a pickle, and is not read.
"""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from landscape_mpi.errors import InputError

METADATA = ".metadata"
# Classes in an index of torch.distributed.checkpoint, by module.
CLASSES = {
    "torch.distributed.checkpoint.metadata": {
        *("Metadata", "MetadataIndex", "StorageMeta", "BytesStorageMetadata"),
        *("TensorStorageMetadata", "TensorProperties", "ChunkStorageMetadata"),
        "_MEM_FORMAT_ENCODING",
    },
    "torch.distributed.checkpoint.filesystem": {"_StorageInfo"},
    "torch.serialization": {"_get_layout"},
    "torch": {"Size", "device", *(n for n, v in vars(torch).items() if isinstance(v, torch.dtype))},
    "collections": {"OrderedDict"},
    "pathlib": {"PosixPath", "PurePosixPath", "Path"},
}


class _IndexReader(pickle.Unpickler):
    """Unpickle the classes that an index needs, and refuse others."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a class that an index needs.

        Raises:
            UnpicklingError: If an index does not need it.
        """
        if name not in CLASSES.get(module, set()):  # a name with dots would reach other objects
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return super().find_class(module, name)


def load_distributed(path: Path, *, trust: bool) -> dict[str, Any]:
    """Return the tensors of a folder, nested as saved, without those of optimizers.

    Args:
        path: The folder, with its index METADATA.
        trust: Unpickle any object in the index, which can run code.

    Raises:
        InputError: If it cannot be read here.
    """
    # The import takes half a second, and few folders are of this kind.
    from torch.distributed.checkpoint import CheckpointException, FileSystemReader, load
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    try:
        index = (pickle.Unpickler if trust else _IndexReader)(
            io.BytesIO((path / METADATA).read_bytes())
        ).load()
        tensors = {
            name: torch.empty(entry.size, dtype=entry.properties.dtype)
            for name, entry in index.state_dict_metadata.items()
            if isinstance(entry, TensorStorageMetadata) and not name.startswith("optim")
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loading in one process is intended
            load(tensors, storage_reader=FileSystemReader(path))
    except (Exception, CheckpointException) as problem:  # a damaged folder can raise anything
        said = (str(problem).strip().splitlines() or [""])[-1][:200]
        raise InputError(
            f"{path}: is a folder of torch.distributed.checkpoint that cannot be read here "
            f"({type(problem).__name__}: {said}). If you trust its author, pass "
            "--trust-checkpoint. Or convert it with the version of torch that wrote it, and name "
            "the new file: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
            f"{path} weights.pt"
        ) from problem
    return _nested(tensors, index.planner_data)


def _nested(tensors: dict[str, torch.Tensor], places: object) -> dict[str, Any]:
    """Return tensors in the nested dictionaries in which they were saved."""
    nested: dict[str, Any] = {}
    for name, tensor in tensors.items():
        place = places.get(name, (name,)) if isinstance(places, dict) else (name,)
        inner = nested
        for word in place[:-1]:
            inner = inner.setdefault(str(word), {})
        inner[str(place[-1])] = tensor
    return nested
