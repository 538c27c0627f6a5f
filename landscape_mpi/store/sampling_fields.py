"""The datasets of a surface whose values are estimates from a part of the samples."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

from landscape_mpi.store.schema import SPLITS, Field

RTOL, ATOL = "rtol", "atol"  # root attributes: the standard error allowed is atol + rtol * loss
SAMPLING = "sampling"  # root attribute: the order of the samples, in words
# Root attribute: the unseen loss that errors allow for. Only files of problems have it, if they are
# not older.
GUESS = "sampling_guess"
NOUN = "sampling_noun"  # root attribute: noun for what is taken, e.g. images
N_ALL = "n_all_"  # beginning of root attributes: samples of a split
N_SAMPLES = "n_samples"  # ending of the dataset of the number taken, after the split
STANDARD_ERROR = "_standard_error"  # ending of the name of a quantity's standard error
# Endings of the sums from which a quantity takes further samples, in the order of Tally's fields.
STATE = ("totals", "counts", "pivots", "squares", "cubes", "largest")
POWERS = {"squares": "^2", "cubes": "^3"}  # of the unit of the quantity
WORDS = {
    "totals": "sum over the samples taken",
    "counts": "number or weight of the terms in the sum",
    "pivots": "mean of the first samples taken (the pivot)",
    "squares": "sum of squared deviations from the pivot",
    "cubes": "sum of cubed deviations from the pivot",
    "largest": "largest deviation from the pivot",
}


def sampling_fields(
    quantities: Sequence[Field], splits: Iterable[str], noun: str
) -> tuple[Field, ...]:
    """Return the additional datasets; the number of samples of each split comes first.

    Args:
        quantities: Quantities of a point.
        splits: Splits in the order of evaluation.
        noun: Noun for what is taken, e.g. ``samples``.
    """
    return tuple(
        field
        for split in splits
        for field in _of_split(
            f"{split}_", [item for item in quantities if item.name.startswith(f"{split}_")], noun
        )
    )


def _of_split(split: str, quantities: Sequence[Field], noun: str) -> Iterator[Field]:
    yield Field(f"{split}{N_SAMPLES}", "i8", "1", f"{noun} taken, 0 where no value is computed", 0)
    for item in quantities:
        words = f"standard error of {item.name}; 1.96 times this covers the error in 95 % of cases"
        yield Field(f"{item.name}{STANDARD_ERROR}", "f8", item.units, words, math.nan)
        for name in STATE:
            units = f"{item.units}{POWERS.get(name, '')}" if name != "counts" else "1"
            words = f"to continue {item.name}: {WORDS[name]}"
            yield Field(f"{item.name}_{name}", "f8", units, words, math.nan)


def is_of_sampling(names: Collection[str], name: str) -> bool:
    """Say whether a dataset is about the samples taken, and not a separate quantity.

    Args:
        names: Names of all datasets.
        name: Name of the dataset.
    """
    split = next((split for split in SPLITS if name.startswith(split)), None)
    if split is None or f"{split}{N_SAMPLES}" not in names:
        return False
    endings = (STANDARD_ERROR, *(f"_{kind}" for kind in STATE))
    return name == f"{split}{N_SAMPLES}" or any(
        name.endswith(ending) and name.removesuffix(ending) in names for ending in endings
    )
