"""Read a split from the user's own map-style Dataset by indices of samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.own_network import generator_states, restore_generators
from landscape_mpi.zoo.own_split import make_split, to_array
from landscape_mpi.zoo.user_functions import a_kind


class OwnDataset:
    """Read samples (input, target) of a Dataset, each of them once."""

    def __init__(self, where: str, dataset: Any) -> None:
        """Take a Dataset.

        Args:
            where: The option and the name of the split, for messages.
            dataset: Dataset with ``__len__`` and ``__getitem__``.
        """
        self._where, self._dataset = where, dataset
        self._samples: dict[int, Any] = {}

    @property
    def n_samples(self) -> int:
        """Return the number of samples without reading any."""
        return len(self._dataset)

    def of_rows(self, rows: np.ndarray | None) -> Split:
        """Read some samples; None for all.

        A Dataset that draws random numbers is read from beginning to end, because its numbers for a
        sample depend on the samples read before.

        Args:
            rows: Indices of the samples, ascending, int64 [n].

        Raises:
            InputError: If they are not pairs of numbers, all of one form.
        """
        if rows is None:
            return self._split(np.arange(self.n_samples))
        before = generator_states()
        split = self._split(rows)
        if generator_states() == before:
            return split
        restore_generators(before)
        self._samples.clear()
        return self.of_rows(None).of_rows(rows)

    def _split(self, numbers: np.ndarray) -> Split:
        samples = {number: self._read(number) for number in numbers.tolist()}
        inputs = self._arrays("input", {number: pair[0] for number, pair in samples.items()})
        targets = self._arrays("target", {number: pair[1] for number, pair in samples.items()})
        return make_split(self._where, inputs, targets, numbers=numbers)

    def _read(self, number: int) -> Any:
        if number in self._samples:
            return self._samples[number]
        where = f"{self._where}: sample {number}"
        try:
            sample = self._dataset[number]
        except Exception as problem:
            raise UserCodeError(f"{where} cannot be read", problem) from problem
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise InputError(
                f"{where} is {a_kind(sample)}, not a pair (input, target). Return pairs, or write "
                "a problem, whose loss takes batches of any kind: --problem."
            )
        self._samples[number] = sample
        return sample

    def _arrays(self, part: str, values: Mapping[int, Any]) -> list[np.ndarray]:
        """Return the inputs or the targets as arrays of one type and shape."""
        where = self._where
        arrays = {n: to_array(f"{where} sample {n} {part}", value) for n, value in values.items()}
        _check_alike(f"{where} {part}s", arrays)
        return list(arrays.values())


def _check_alike(where: str, arrays: Mapping[int, np.ndarray]) -> None:
    kinds = {number: f"{array.dtype} {list(array.shape)}" for number, array in arrays.items()}
    for number, kind in kinds.items():
        first = next(iter(kinds))
        if kind != kinds[first]:
            raise InputError(
                f"{where}: sample {first} is {kinds[first]}, sample {number} is {kind}. All "
                "samples go into one array. Crop, pad or convert them to the same shape and type."
            )
