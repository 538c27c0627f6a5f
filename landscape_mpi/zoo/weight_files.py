"""Find, check and load files and folders of weights.

These are files of torch.save or safetensors; an index.json with its shards, or a folder with one,
as written by Hugging Face's save_pretrained; and folders of torch.distributed.checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from landscape_mpi.errors import InputError, MissingInputError, nearest_name
from landscape_mpi.tensor_names import listed
from landscape_mpi.zoo.distributed_checkpoint import METADATA, load_distributed

# Files in a folder of weights, in the order in which transformers and peft look for them.
IN_FOLDER = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
    *("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json"),
    *("diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json"),
    *("adapter_model.safetensors", "adapter_model.bin"),
)
TRAINER_STATE = "trainer_state.json"  # record of Hugging Face's Trainer
LONGEST_NAME = 255  # characters of a file name
SUFFIXES = (".pt", ".pth", ".th", ".ckpt", ".tar", ".bin", ".safetensors")


@dataclass(frozen=True)
class WeightFiles:
    """Hold the paths of one checkpoint's weights."""

    path: Path  # as the user named it
    main: Path  # main file, or the folder of torch.distributed.checkpoint
    shards: tuple[Path, ...]  # shards that an index names, in the order of their names
    others: tuple[str, ...]  # other files of the folder with weights; they are not used

    @property
    def sha256(self) -> str:
        """Return the digest of the bytes of all files, in their order."""
        files = [self.main, *self.shards]
        if self.main.is_dir():
            files = [self.main / METADATA, *sorted(self.main.glob("*.distcp"))]
        state = hashlib.sha256()
        for file in files:
            with file.open("rb") as stream:
                while block := stream.read(2**20):
                    state.update(block)
        return state.hexdigest()


def is_weight_folder(path: Path) -> bool:
    """Return whether a folder is one checkpoint."""
    return path.is_dir() and any((path / name).exists() for name in (*IN_FOLDER, METADATA))


def find_weights(path: Path) -> WeightFiles:
    """Return the files of a checkpoint.

    Raises:
        InputError: If there are none, if one is empty, or if one is a single shard of several.
        MissingInputError: If there is no such file, or an index names a missing one.
    """
    main, others = (_in_folder(path)) if _is_folder(path) else (path, ())
    if main.is_dir():
        return WeightFiles(path, main, (), others)
    _check_file(main)
    if main.name.endswith(".index.json"):
        return WeightFiles(path, main, _shards_of(main), others)
    found = re.search(r"-(\d{5})-of-(\d{5})\.", path.name)
    if found and int(found[2]) > 1:
        raise InputError(
            f"{path}: is shard {int(found[1])} of {int(found[2])}, so it holds only a part of the "
            "weights. Name the folder, or the index.json in it."
        )
    return WeightFiles(path, main, (), others)


def load_files(found: WeightFiles, *, trust: bool, mapped: bool = False) -> object:
    """Return the content of the files, with tensors on the CPU.

    Args:
        found: The files.
        trust: Unpickle any object in them, which can run code.
        mapped: Whether tensors are read only when they are used, if the format allows it.
    """
    if found.main.is_dir():
        return load_distributed(found.main, trust=trust)
    if not found.shards:
        return _load_file(found.main, trust=trust, mapped=mapped)
    named = _weight_map(found.main)
    tensors: dict[str, Any] = {}
    for shard in found.shards:
        tensors |= _load_shard(shard, named, trust=trust, mapped=mapped)
    return tensors


def record_beside(found: WeightFiles) -> dict[str, Any]:
    """Return the record of Hugging Face's Trainer beside the weights; empty if there is none."""
    place = found.path / TRAINER_STATE
    if not found.path.is_dir() or not place.is_file():
        return {}
    record = _read_json(place)
    return record if isinstance(record, dict) else {}


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as problem:  # a name that is too long
        raise InputError(
            f"{str(path)[:LONGEST_NAME]}: cannot be read ({problem.strerror}). Name a checkpoint."
        ) from problem


def _in_folder(path: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the main file of a folder, and the names of its other files with weights.

    Raises:
        InputError: If it holds no readable file.
    """
    names = [name for name in IN_FOLDER if (path / name).is_file()]
    if names:
        return path / names[0], tuple(names[1:])
    if (path / METADATA).is_file():
        return path, ()
    if any(path.glob("*mp_rank_*_model_states.pt")) or (path / "zero_to_fp32.py").exists():
        raise InputError(
            f"{path}: is a folder of DeepSpeed, which splits the weights into parts. Join them "
            "with the script zero_to_fp32.py in the folder or beside it, and name the file that "
            "the script writes."
        )
    inside = sorted(
        inner.name
        for inner in path.iterdir()
        if inner.suffix in SUFFIXES or is_weight_folder(inner)
    )
    hint = f": it holds {listed(inside)}" if inside else ""
    raise InputError(
        f"{path}: is a directory. Name the checkpoint file in it{hint}. A folder is a checkpoint "
        f"itself only if it holds {IN_FOLDER[0]}, {IN_FOLDER[2]} or the index of its shards, or "
        f"{METADATA}."
    )


def _check_file(path: Path) -> None:
    if not path.exists():
        near = nearest_name(path.name, _names_beside(path))
        hint = f" Did you mean {path.parent / near}?" if near else ""
        raise MissingInputError(f"{path}: no such checkpoint.{hint}")
    if path.stat().st_size == 0:
        raise InputError(
            f"{path}: is empty; the program that wrote it was probably interrupted. Take another "
            "checkpoint."
        )


def _names_beside(path: Path) -> list[str]:
    return [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []


def _shards_of(index: Path) -> tuple[Path, ...]:
    """Return the shards that an index names.

    Raises:
        InputError: If one lies elsewhere or is empty.
    """
    names = sorted(set(_weight_map(index).values()))
    for name in names:
        if Path(name).name != name or len(name) > LONGEST_NAME:
            raise InputError(
                f"{index}: names {name[:LONGEST_NAME]!r}, which is not a file beside it. Copy the "
                "whole folder again."
            )
        _check_file(index.parent / name)
    return tuple(index.parent / name for name in names)


def _weight_map(index: Path) -> dict[str, str]:
    """Return the shard of each tensor.

    Raises:
        InputError: If the index names none.
    """
    content = _read_json(index)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named:
        raise InputError(
            f"{index}: has no weight_map, which says in which shard each tensor lies. Name a "
            f"checkpoint, or the index.json that save_pretrained wrote."
        )
    return {str(name): str(shard) for name, shard in named.items()}


def _read_json(path: Path) -> object:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, RecursionError, ValueError) as problem:
        raise InputError(
            f"{path}: cannot be read as JSON ({problem}). Copy the whole folder again."
        ) from problem
    return content


def _load_shard(
    shard: Path, named: Mapping[str, str], *, trust: bool, mapped: bool
) -> dict[str, Any]:
    """Return the tensors that the index assigns to a shard.

    Raises:
        InputError: If one is missing.
    """
    loaded = _load_file(shard, trust=trust, mapped=mapped)
    there = loaded if isinstance(loaded, Mapping) else {}
    wanted = [name for name, place in named.items() if place == shard.name]
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InputError(
            f"{shard}: lacks {listed(missing)}, which the index assigns to it. The files belong "
            "to two checkpoints, or one was not copied completely. Copy the folder again."
        )
    return {name: there[name] for name in wanted}


def _load_file(path: Path, *, trust: bool, mapped: bool) -> object:
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    # Torch files from before 2020, which are not zip archives, are read whole.
    return _load_torch(path, trust, mapped=mapped and zipfile.is_zipfile(path))


def changed_record(path: Path) -> str | None:
    """Return a record of a torch file that has changed since torch.save wrote it, None if none has.

    Torch writes the CRC-32 of each record, but does not check it. Only files of this program
    should be checked: other programs may turn the CRC-32 off.

    Args:
        path: File that torch.load can read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except zipfile.BadZipFile as problem:
        return str(problem)


def _load_safetensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as problem:
        raise InputError(
            f"{path}: is not a safetensors file, or is truncated: {first_sentence(problem)} Copy "
            "it again."
        ) from problem


def _load_torch(path: Path, trust: bool, *, mapped: bool = False) -> object:
    try:
        return torch.load(path, weights_only=not trust, map_location="cpu", mmap=mapped)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {first_sentence(problem)}") from problem
    except Exception as problem:  # a damaged pickle can raise any error
        raise _refused(path, problem, trust) from problem


def _refused(path: Path, problem: Exception, trust: bool) -> InputError:
    """Return the error for a file that torch.load refused."""
    unsafe = re.search(r"GLOBAL ([\w.]+)|(TorchScript)", str(problem))
    if unsafe and not trust:
        return InputError(
            f"{path}: holds {unsafe[1] or 'a TorchScript program'}, not only tensors, and loading "
            "such an object can run code. Save only network.state_dict(), or pass "
            "--trust-checkpoint if you trust the author of the file."
        )
    if isinstance(problem, AttributeError | ImportError):
        return InputError(
            f"{path}: holds an object whose class cannot be imported here: "
            f"{first_sentence(problem)} Save only network.state_dict() where it can be imported."
        )
    return _damaged(path, problem)


def _damaged(path: Path, problem: Exception) -> InputError:
    """Return the error for a file that is truncated, or was never a checkpoint."""
    with path.open("rb") as file:
        start = file.read(16)
    cut_zip = start.startswith(b"PK") and not zipfile.is_zipfile(path)
    foreign_pickle = re.search("Unsupported operand|magic number", str(problem))
    if cut_zip or (start.startswith(b"\x80") and not foreign_pickle):
        return InputError(
            f"{path}: is truncated or damaged, {path.stat().st_size:,} bytes "
            f"({type(problem).__name__}: {first_sentence(problem)}) Copy it again, or take "
            "another checkpoint."
        )
    return InputError(
        f"{path}: is not a checkpoint of torch.save or safetensors, or is damaged; it begins with "
        f"{start!r}. Name a checkpoint, or copy it again."
    )


def first_sentence(problem: BaseException) -> str:
    """Return the first sentence of a library's error."""
    return str(problem).strip().split("\n")[0].split(". ")[0].rstrip(".") + "."
