"""Select the samples that a run uses, so that others stored one by one are not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.subset import FIRST, rows_of


@dataclass(frozen=True)
class UsedSamples:
    """Hold the used splits, with all or some samples of the training split."""

    splits: tuple[str, ...] | None = None  # None for all splits of the data
    limit: int | None = None  # number of training samples; None for all
    subset: str = FIRST  # choice of these samples; see subset.rows_of

    @property
    def all_of_training(self) -> bool:
        """Return whether every training sample is used."""
        return self.limit is None and (self.splits is None or "train" in self.splits)

    def rows(self, spec: str, n_samples: Mapping[str, int]) -> dict[str, np.ndarray | None]:
        """Return the rows of each used split, ascending, int64 [n]; None for all rows.

        Args:
            spec: Value of --data, for messages.
            n_samples: Number of samples of each split in the data.

        Raises:
            InputError: If a split is missing, or has too few samples.
        """
        asked = self.splits or tuple(n_samples)
        for name in asked:
            if name not in n_samples:
                raise InputError(
                    f"--splits names {name}, but --data {spec} has only {', '.join(n_samples)}. "
                    "Leave it out, or pass data that has it."
                )
        rows: dict[str, np.ndarray | None] = dict.fromkeys(asked)
        if self.limit is not None:
            rows["train"] = self._limited(spec, asked, n_samples["train"], self.limit)
        return rows

    def _limited(self, spec: str, asked: tuple[str, ...], n: int, limit: int) -> np.ndarray:
        if "train" not in asked:
            raise InputError(
                f"--limit {limit}: limits the training samples, but --splits {','.join(asked)} "
                "has none of them. Leave out --limit, or add train to --splits."
            )
        if limit > n:
            raise InputError(
                f"--limit {limit}: --data {spec} has only {n} training samples. Pass at most {n}, "
                "or leave out --limit to use all of them."
            )
        return rows_of(self.subset, limit, n)
