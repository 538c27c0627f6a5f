"""Read the batches of a split one by one, in a fixed order.

Ranks divide the batches among themselves and read only their own. This holds for lists, tensors,
Datasets and DataLoaders of Datasets. If data can only be iterated over, every rank reads them from
the beginning and keeps its own batches.

A limit counts samples if the data are not yet in batches (a Dataset, tensors), and batches if they
are (a list, a DataLoader, any iterable), because a loss is a function of whole batches.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    TensorDataset,
    default_collate,
)

from landscape_mpi.compute.batch_tree import digest
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.default_device import of_the_user
from landscape_mpi.errors import InputError, users_own
from landscape_mpi.problem import Problem

MOST_OFTEN = 100  # average number of draws per sample; a sampler that draws more counts as endless
LONG = {10**n for n in range(3, 16)}  # numbers of counted batches of which the user is told
N_SHOWN = 16  # number of batches that are compared if comparing all would read all of the data
Collate = Callable[[Any], Any]
NO_DATASETS = (DataLoader, torch.Tensor, np.ndarray, list, tuple, deque)


class EndError(InputError):
    """Signal that the batches have ended."""


class BatchSource(ABC):
    """Read the batches of one split."""

    counts: ClassVar[str] = "batches"  # unit of a limit
    reads_alone: ClassVar[bool] = True  # whether a batch can be read without the batches before it

    def __init__(self, name: str, seed: int) -> None:
        """Keep the attributes that all sources share.

        Args:
            name: Name of the split.
            seed: Seed of the random numbers that are drawn while batches are read.
        """
        self.name, self.seed = name, seed
        self._lock = threading.Lock()  # generators are shared by the whole process

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches."""

    @abstractmethod
    def limited(self, n: int) -> BatchSource:
        """Return the source of the first n samples or batches, as ``counts`` says."""

    @property
    def n_counted(self) -> int:
        """Return the number of units that a limit counts: samples or batches."""
        return len(self)

    @property
    def is_empty(self) -> bool:
        """Return whether there are no batches."""
        return len(self) == 0

    @abstractmethod
    def _read(self, i: int) -> Any:
        """Return a batch."""

    @property
    def order(self) -> str:
        """Return a text that is equal on two ranks if their batches consist of the same samples.

        The text does not depend on the contents of the samples.
        """
        return f"{type(self).__name__} of {len(self)} batches"

    def fingerprint(self) -> str:
        """Return the SHA-256 of the order and of all or some of the batches.

        Data drawn without a seed differ on each rank and in each run.

        Raises:
            UserCodeError: If a batch cannot be read.
        """
        return digest([self.order, *self._prints()])

    def _prints(self) -> Iterator[str]:
        """Yield the SHA-256 of the data in memory, or of batches spread evenly over all."""
        for i in np.unique(np.linspace(0, len(self) - 1, N_SHOWN).astype(int)):
            yield digest(self.read(int(i)))

    def read(self, i: int) -> Any:
        """Return a batch; it sees the same random numbers every time.

        Args:
            i: Index of the batch.

        Raises:
            UserCodeError: If the user's data cannot be read.
        """
        number = batch_seed(self.seed, i, use="read")
        where = f"Problem: reading batch {i} of data[{self.name!r}] failed"
        theirs = users_own(where, library_too=True)
        with self._lock, Generators().seeded(number), theirs, of_the_user():
            return self._read(i)


class ListedBatches(BatchSource):
    """Read batches from a list."""

    def __init__(self, name: str, seed: int, batches: Sequence[Any]) -> None:
        """Take the batches; see BatchSource."""
        super().__init__(name, seed)
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def limited(self, n: int) -> ListedBatches:
        """Return the source of the first n batches."""
        return ListedBatches(self.name, self.seed, list(itertools.islice(self._batches, n)))

    def _read(self, i: int) -> Any:
        return self._batches[i]

    def _prints(self) -> Iterator[str]:
        return (digest(self.read(i)) for i in range(len(self)))


class TensorRows(BatchSource):
    """Read batches from tensors of equal length whose rows are samples."""

    counts = "samples"

    def __init__(self, name: str, seed: int, tensors: Any, batch_size: int) -> None:
        """Take the tensors.

        Args:
            name: See BatchSource.
            seed: See BatchSource.
            tensors: One tensor, or a tuple of tensors; then the batches are tuples.
            batch_size: Number of rows in a batch.
        """
        super().__init__(name, seed)
        self._tensors, self._batch_size = tensors, batch_size
        self._n_rows = len(tensors[0] if isinstance(tensors, tuple) else tensors)

    def __len__(self) -> int:
        return -(-self._n_rows // self._batch_size)

    @property
    def n_counted(self) -> int:
        """Return the number of rows."""
        return self._n_rows

    def limited(self, n: int) -> TensorRows:
        """Return the source of the first n rows."""
        return TensorRows(self.name, self.seed, self._rows(slice(0, n)), self._batch_size)

    def _rows(self, rows: slice) -> Any:
        if isinstance(self._tensors, tuple):
            return tuple(tensor[rows] for tensor in self._tensors)
        return self._tensors[rows]

    def _read(self, i: int) -> Any:
        return self._rows(slice(i * self._batch_size, (i + 1) * self._batch_size))

    def _prints(self) -> Iterator[str]:
        return (digest(self.read(i)) for i in range(len(self)))

    @property
    def order(self) -> str:
        """Return the number of rows."""
        return f"{self._n_rows} rows in batches of {self._batch_size}"


class IndexedBatches(BatchSource):
    """Collate batches from samples of a Dataset, given by their indices."""

    def __init__(
        self,
        name: str,
        seed: int,
        dataset: Any,
        places: Sequence[Any],
        collate: Collate,
        *,
        alone: bool = False,
    ) -> None:
        """Take a Dataset.

        Args:
            name: See BatchSource.
            seed: See BatchSource.
            dataset: Dataset with __getitem__.
            places: For each batch the list of its samples' indices; if ``alone``, the batch's own
                index.
            collate: Function that makes a batch from the list of its samples, or from the Dataset's
                item if ``alone``.
            alone: Whether the Dataset itself gives a batch for each of the places.
        """
        super().__init__(name, seed)
        self._dataset, self._places, self._collate = dataset, places, collate
        self._alone = alone

    def __len__(self) -> int:
        return len(self._places)

    def limited(self, n: int) -> IndexedBatches:
        """Return the source of the first n batches."""
        few, alone = self._places[:n], self._alone
        return IndexedBatches(self.name, self.seed, self._dataset, few, self._collate, alone=alone)

    def _read(self, i: int) -> Any:
        place = self._places[i]
        if self._alone:
            return self._collate(self._dataset[place])
        if getattr(self._dataset, "__getitems__", None):  # as torch's own loader does it
            return self._collate(self._dataset.__getitems__(place))
        return self._collate([self._dataset[index] for index in place])

    def _prints(self) -> Iterator[str]:
        yield from super()._prints()
        if type(self._dataset) is TensorDataset:
            for place in self._places:
                yield digest([tensor[place] for tensor in self._dataset.tensors])

    @property
    def order(self) -> str:
        """Return a digest of the indices."""
        sha256 = hashlib.sha256(repr(list(self._places)).encode()).hexdigest()[:16]
        return f"{len(self)} batches of indices with SHA-256 {sha256}"


class DatasetRows(IndexedBatches):
    """Read the samples of a Dataset in their own order."""

    counts = "samples"

    @property
    def n_counted(self) -> int:
        """Return the number of samples."""
        return sum(map(len, self._places))

    def limited(self, n: int) -> DatasetRows:
        """Return the source of the first n samples."""
        left, places = n, []
        for place in self._places:
            if left <= 0:
                break
            places.append(place[:left])
            left -= len(place)
        return DatasetRows(self.name, self.seed, self._dataset, places, self._collate)


class StreamedBatches(BatchSource):
    """Read batches from an iterable; reading an earlier batch starts again at the first one."""

    reads_alone = False

    def __init__(self, name: str, seed: int, batches: Any, *, limit: int | None = None) -> None:
        """Take an iterable.

        Args:
            name: See BatchSource.
            seed: See BatchSource.
            batches: Iterable that gives the same batches every time.
            limit: Maximum number of batches; None for all.
        """
        super().__init__(name, seed)
        self._batches, self._limit = batches, limit
        self._length: int | None = None
        self._counted: list[str] = []  # SHA-256 of the batches that counting has read
        self._iterator: Iterator[Any] | None = None
        self._next = 0

    def __len__(self) -> int:
        if self._length is None:
            self._length = self._count()
        return self._length

    @property
    def is_empty(self) -> bool:
        """Return whether there are no batches; without a length this reads the first batch."""
        known = self._known_length()
        return not self._has_another() if known is None else known == 0

    def _known_length(self) -> int | None:
        try:
            return len(self._batches)
        except TypeError:
            return None

    def _has_another(self) -> bool:
        """Read the batch after the counted ones, and count it if it exists."""
        try:
            self._counted.append(digest(self.read(len(self._counted))))
        except EndError:
            return False
        return True

    def _count(self) -> int:
        known = self._known_length()
        if known is not None:
            return known if self._limit is None else min(known, self._limit)
        # The iterable has no length, so it is read once to its end.
        while len(self._counted) != self._limit and self._has_another():
            if len(self._counted) in LONG:
                print(
                    f"Problem: data[{self.name!r}] has no length, so its batches are counted by "
                    f"reading them: {len(self._counted):,} so far. If it has no end, stop this "
                    "run, and pass --limit, or limit= in Python.",
                    flush=True,
                )
        return len(self._counted)

    def _prints(self) -> Iterator[str]:
        """Yield the SHA-256 of all batches if counting had to read them, else of the first ones."""
        n = len(self)
        yield from self._counted or (digest(self.read(i)) for i in range(min(n, N_SHOWN)))

    def limited(self, n: int) -> StreamedBatches:
        """Return the source of the first n batches."""
        fewer = n if self._limit is None else min(n, self._limit)
        return StreamedBatches(self.name, self.seed, self._batches, limit=fewer)

    def _read(self, i: int) -> Any:
        if self._iterator is None or i < self._next:
            Generators().seed(batch_seed(self.seed, 0, use="order"))
            self._iterator, self._next = iter(self._batches), 0
        for number in range(self._next, i + 1):
            # Each batch has its own random numbers, whether it is kept or skipped.
            Generators().seed(batch_seed(self.seed, number, use="read"))
            try:
                batch = next(self._iterator)
            except StopIteration:
                self._iterator = None
                raise EndError(
                    f"Problem: data[{self.name!r}] ended after {number} batches, but batch {i} "
                    "was expected. It must give the same number of batches every time that it is "
                    "iterated over."
                ) from None
            self._next = number + 1
        return batch


def source_of(problem: Problem, name: str) -> BatchSource:
    """Return the batches of one split.

    Args:
        problem: Problem whose data are read.
        name: Name of its split.

    Raises:
        InputError: If the batches are empty or of an unknown kind, or nothing would call
            ``collate``.
    """
    batches = problem.splits[name]
    if problem.collate is not None and not any(map(_is_dataset, problem.splits.values())):
        raise InputError(
            "Problem: collate makes batches from the samples of a Dataset, but no data of the "
            "problem is a Dataset: a DataLoader has its own collate_fn, and the batches of a list "
            "already exist. Leave out collate, or pass the Dataset."
        )
    where = f"Problem: reading data[{name!r}] failed"
    with users_own(where, library_too=True), of_the_user():
        source = _source(problem, name, batches)
        is_empty = source.is_empty  # counted later, because a limit may take only a few
    if is_empty:
        raise InputError(
            f"Problem: data[{name!r}] is empty. A surface needs at least one batch. Check the "
            "data set and its sampler."
        )
    return source


def _source(problem: Problem, name: str, batches: Any) -> BatchSource:
    seed, size = problem.seed, problem.batch_size
    if isinstance(batches, DataLoader):
        return _of_loader(name, seed, batches)
    if isinstance(batches, tuple) and all(
        isinstance(b, (torch.Tensor, np.ndarray)) for b in batches
    ):
        return TensorRows(name, seed, _equally_long(name, batches), size)
    if isinstance(batches, (torch.Tensor, np.ndarray)):
        return TensorRows(name, seed, torch.as_tensor(batches), size)
    if isinstance(batches, (list, tuple, deque)):
        return ListedBatches(name, seed, _batches_in(name, batches))
    if not _is_dataset(batches):
        return StreamedBatches(name, seed, batches)
    indices = list(range(len(batches)))
    places = [indices[start : start + size] for start in range(0, len(indices), size)]
    return DatasetRows(name, seed, batches, places, problem.collate or _collate)


def _is_dataset(batches: Any) -> bool:
    """Return whether its samples can be read by index."""
    if isinstance(batches, (*NO_DATASETS, IterableDataset)):
        return False
    return hasattr(batches, "__getitem__") and hasattr(batches, "__len__")


def _collate(samples: list[Any]) -> Any:
    """Collate a batch with torch's default function.

    Raises:
        InputError: If torch does not know the type of the samples.
    """
    try:
        return default_collate(samples)
    except (TypeError, RuntimeError) as problem:
        raise InputError(
            f"Problem: torch cannot make a batch of the samples of the Dataset, which are of type "
            f"{type(samples[0]).__name__} ({' '.join(str(problem).split())[:200]}). Pass "
            f"collate=..., a function of a list of samples, or a DataLoader that makes batches."
        ) from problem


def _equally_long(name: str, tensors: tuple[Any, ...]) -> tuple[torch.Tensor, ...]:
    lengths = [len(tensor) if tensor.ndim else 0 for tensor in tensors]
    if len(set(lengths)) > 1:
        raise InputError(
            f"Problem: data[{name!r}] is a tuple of tensors of {', '.join(map(str, lengths))} "
            "rows. The rows of a tuple are samples, so its tensors need equal lengths. Put "
            "batches into a list."
        )
    return tuple(torch.as_tensor(tensor) for tensor in tensors)


def _batches_in(name: str, batches: Any) -> Sequence[Any]:
    """Return the batches of a list; refuse a list that may hold the columns of a data set.

    Raises:
        InputError: If all entries are tensors, but of several types.
    """
    if all(isinstance(b, torch.Tensor) for b in batches) and len({b.dtype for b in batches}) > 1:
        raise InputError(
            f"Problem: data[{name!r}] is a list of {len(batches)} tensors of several types. A "
            "list holds batches. For inputs and targets, pass a tuple (inputs, targets), or "
            "[(inputs, targets)] for a single batch of both."
        )
    return batches


def _of_loader(name: str, seed: int, loader: DataLoader[Any]) -> BatchSource:
    """Take a DataLoader apart so that this process can read each of its batches alone."""
    is_plain = all(
        getattr(type(loader), method) is getattr(DataLoader, method)
        for method in ("__iter__", "_get_iterator")
    )
    if not is_plain:  # a subclass that does more than collate samples
        return StreamedBatches(name, seed, loader)
    if isinstance(loader.dataset, IterableDataset):
        return StreamedBatches(name, seed, _without_workers(loader))
    places = _drawn_order(name, seed, loader)
    alone = loader.batch_sampler is None
    return IndexedBatches(name, seed, loader.dataset, places, loader.collate_fn, alone=alone)


def _without_workers(loader: DataLoader[Any]) -> DataLoader[Any]:
    if loader.num_workers == 0:
        return loader
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        drop_last=loader.drop_last,
        collate_fn=loader.collate_fn,
    )


def _drawn_order(name: str, seed: int, loader: DataLoader[Any]) -> list[Any]:
    """Draw the indices of every batch with a fixed seed; keep the user's generators unchanged.

    Raises:
        InputError: If the sampler does not end.
    """
    _check_sampler(name, loader)
    sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    own = {id(g): g for g in _generators(loader)}.values()
    before = [generator.get_state() for generator in own]
    number = batch_seed(seed, 0, use="order")
    most = MOST_OFTEN * max(1, len(loader.dataset))  # type: ignore[arg-type]
    places: list[Any] = []
    n_drawn = 0
    with Generators().seeded(number):
        for generator in own:
            generator.manual_seed(number)
        for place in sampler:
            places.append(list(place) if loader.batch_sampler is not None else place)
            n_drawn += len(places[-1]) if loader.batch_sampler is not None else 1
            if n_drawn > most:
                raise InputError(
                    f"Problem: the sampler of data[{name!r}] has drawn {n_drawn} indices for "
                    f"{most // MOST_OFTEN} samples without ending. Pass a DataLoader whose "
                    "sampler ends."
                )
    for generator, state in zip(own, before, strict=True):
        generator.set_state(state)
    return places


def _check_sampler(name: str, loader: DataLoader[Any]) -> None:
    """Refuse a sampler that leaves part of the samples to other processes.

    Raises:
        InputError: If it does.
    """
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        if isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1:
            raise InputError(
                f"Problem: data[{name!r}] is a DataLoader with a DistributedSampler, which reads "
                f"one of {sampler.num_replicas} parts of the data. This program distributes the "
                "batches itself. Pass a DataLoader of all data, without that sampler."
            )


def _generators(loader: DataLoader[Any]) -> Iterator[torch.Generator]:
    """Yield the generators from which a loader draws its order."""
    inside = [loader, loader.sampler, loader.batch_sampler]
    inside.append(getattr(loader.batch_sampler, "sampler", None))
    for each in inside:
        generator = getattr(each, "generator", None)
        if isinstance(generator, torch.Generator):
            yield generator
