"""Put the fake under torch: while torch is imported, and not before."""

from __future__ import annotations

import atexit
import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from fake_gpus.library import load_library
from fake_gpus.storages import allow_storages
from fake_gpus.torch_names import add_names
from fake_gpus.visible import VisibleGpus

RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")

gpus: VisibleGpus  # of this process, once torch is imported


def install() -> None:
    """Let torch find fake GPUs when it is imported.

    Raises:
        RuntimeError: If it is imported already: it asks once whether there is CUDA.
    """
    if "torch" in sys.modules:
        raise RuntimeError("the fake GPUs must be installed before torch is imported")
    sys.meta_path.insert(0, _Finder("torch._C", before=_start, after=_complete))
    sys.meta_path.insert(0, _Finder("torch.storage", after=allow_storages))


def _start() -> None:
    global gpus
    gpus = VisibleGpus(load_library(), os.environ)


def _complete(torch_c: ModuleType) -> None:
    add_names(torch_c, load_library(), gpus)
    atexit.register(_report)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a module where Python does, and works before and after it is loaded."""

    def __init__(
        self,
        name: str,
        *,
        after: Callable[[ModuleType], None],
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._before, self._after = before, after

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._before, self._after)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does."""

    def __init__(
        self, loader: Any, before: Callable[[], None], after: Callable[[ModuleType], None]
    ) -> None:
        self._loader = loader
        self._before, self._after = before, after

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        self._before()
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._after(module)


def _report() -> None:
    """Write where this process had contexts, if a folder for that is named."""
    folder = os.environ.get("FAKE_GPUS_REPORT")
    if not folder:
        return
    library = load_library()
    contexts = [gpus.place(index) for index in library.contexts()]
    rank = next((os.environ[name] for name in RANKS if name in os.environ), "0")
    report = {"rank": int(rank), "contexts": contexts, **library.counts()}
    Path(folder, f"{os.getpid()}.json").write_text(json.dumps(report))
