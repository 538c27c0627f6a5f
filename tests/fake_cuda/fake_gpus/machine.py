"""The GPUs of the fake machine, and which of them a process sees.

FAKE_GPUS is their number, e.g. ``2``, or their models, e.g. ``H200,V100``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Gpu:
    """The properties that torch.cuda.get_device_properties tells of a GPU, with torch's names."""

    name: str
    major: int  # compute capability
    minor: int
    total_memory: int  # bytes
    multi_processor_count: int
    uuid: str = ""
    L2_cache_size: int = 50 << 20
    warp_size: int = 32
    max_threads_per_multi_processor: int = 2048
    regs_per_multiprocessor: int = 65536
    is_integrated: bool = False
    is_multi_gpu_board: bool = False


MODELS = {
    "H200": Gpu("NVIDIA H200", 9, 0, 140 * GIBIBYTE, 132),
    "A100": Gpu("NVIDIA A100-SXM4-80GB", 8, 0, 80 * GIBIBYTE, 108),
    "V100": Gpu("Tesla V100-SXM2-32GB", 7, 0, 32 * GIBIBYTE, 80),
    "MIG": Gpu("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9, 0, 10 * GIBIBYTE, 16),
}
USUAL = "H200"


def gpus_of(words: str) -> list[Gpu]:
    """Return the GPUs of a machine.

    Args:
        words: As FAKE_GPUS has them.

    Raises:
        ValueError: If a model is unknown.
    """
    names = [USUAL] * int(words) if words.strip().isdecimal() else words.split(",")
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise ValueError(
            f"FAKE_GPUS={words}: there is no model {', '.join(unknown)}. It takes a number, or "
            f"models separated by commas: {', '.join(MODELS)}."
        )
    return [replace(MODELS[name], uuid=_uuid(place)) for place, name in enumerate(names)]


def _uuid(place: int) -> str:
    return f"fa4e0000-0000-4000-8000-{place:012d}"


def visible_places(words: str | None, gpus: Sequence[Gpu]) -> list[int]:
    """Return the places of the GPUs that CUDA_VISIBLE_DEVICES leaves visible, in its order.

    As CUDA reads it: numbers, or identities that may be cut short; what follows the first that is
    none of a GPU is invisible; a GPU named twice makes all of them invisible.

    Args:
        words: The variable, None where it is not set.
        gpus: Of the machine.
    """
    if words is None:
        return list(range(len(gpus)))
    places: list[int] = []
    for word in words.split(","):
        place = _place_of(word.strip(), gpus)
        if place is None:
            break
        if place in places:
            return []
        places.append(place)
    return places


def _place_of(word: str, gpus: Sequence[Gpu]) -> int | None:
    if word.isdecimal():
        return int(word) if int(word) < len(gpus) else None
    kind, _, identity = word.partition("-")
    if kind not in ("GPU", "MIG") or not identity:
        return None
    found = [place for place, gpu in enumerate(gpus) if gpu.uuid.startswith(identity)]
    return found[0] if len(found) == 1 else None
