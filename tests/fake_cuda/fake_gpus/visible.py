"""The GPUs that this process sees, as it numbers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

from fake_gpus.machine import Gpu, gpus_of, visible_places


class VisibleGpus:
    """The visible GPUs of a machine."""

    kind_of_properties = Gpu

    def __init__(self, library: ModuleType, environment: Mapping[str, str]) -> None:
        """Take the GPUs that an environment describes.

        Args:
            library: The compiled part, which is told of them.
            environment: Of a process: FAKE_GPUS, CUDA_VISIBLE_DEVICES and FAKE_GPUS_ONLY.
        """
        machine = gpus_of(environment["FAKE_GPUS"])
        self._library = library
        self._places = visible_places(environment.get("CUDA_VISIBLE_DEVICES"), machine)
        self._gpus = [machine[place] for place in self._places]
        library.set_device_count(len(self._gpus))
        for index, gpu in enumerate(self._gpus):
            library.set_total(index, gpu.total_memory)
        only = environment.get("FAKE_GPUS_ONLY")
        if only:  # a number, or a variable that has one
            library.allow_only(int(environment.get(only, only)))

    def properties(self, index: int) -> Gpu:
        """Return what torch tells of a GPU."""
        return self._gpus[index]

    def change(self, index: int, **changes: Any) -> None:
        """Make a GPU another one, e.g. ``name="Tesla T4", major=7, minor=5``."""
        self._gpus[index] = replace(self._gpus[index], **changes)
        self._library.set_total(index, self._gpus[index].total_memory)

    def place(self, index: int) -> int:
        """Return the place of a GPU in the machine."""
        return self._places[index]
