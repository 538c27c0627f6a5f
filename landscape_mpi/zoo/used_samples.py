"""Which samples of a data set a run uses, so that no others are read where they lie one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.subset import FIRST, rows_of


@dataclass(frozen=True)
class UsedSamples:
    """Some splits, and of the training split all samples or some."""

    splits: tuple[str, ...] | None = None  # None for those that the data have
    limit: int | None = None  # training samples, None for all
    subset: str = FIRST  # which of them; see subset.rows_of

    @property
    def all_of_training(self) -> bool:
        """Return whether every training sample is used."""
        return self.limit is None and (self.splits is None or "train" in self.splits)

    def rows(self, spec: str, n_samples: Mapping[str, int]) -> dict[str, np.ndarray | None]:
        """Return the rows of each split that is used, ascending, int64 [n]; None for all rows.

        Args:
            spec: What --data names, for messages.
            n_samples: Samples of each split that the data have.

        Raises:
            InputError: If a split is not there, or has fewer samples.
        """
        asked = self.splits or tuple(n_samples)
        for name in asked:
            if name not in n_samples:
                raise InputError(
                    f"--splits: {name} is asked for, and --data {spec} has "
                    f"{', '.join(n_samples)}. Leave it out, or pass data that has it."
                )
        rows: dict[str, np.ndarray | None] = dict.fromkeys(asked)
        if self.limit is not None:
            rows["train"] = self._limited(spec, asked, n_samples["train"], self.limit)
        return rows

    def _limited(self, spec: str, asked: tuple[str, ...], n: int, limit: int) -> np.ndarray:
        if "train" not in asked:
            raise InputError(
                f"--limit {limit}: limits the training samples, but --splits "
                f"{','.join(asked)} has none of them. Leave --limit out, or add train to --splits."
            )
        if limit > n:
            raise InputError(
                f"--limit {limit}: --data {spec} has only {n} training samples. Pass at "
                f"most {n}, or leave --limit out for all of them."
            )
        return rows_of(self.subset, limit, n)
