"""Oracle: torch's own DataLoader, lists cut by hand, and data sets that note what is read.

Random numbers are compared with those after seeding torch, numpy and random by hand, with a seed
that the test makes with hashlib.
"""

import hashlib
import itertools
import random
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.problem import Problem

N = 10
NETWORK = nn.Linear(2, 1)  # none is called


class Rows(Dataset):
    """Notes the indices that are read."""

    def __init__(self, n=N):
        self.n, self.read = n, []

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        self.read.append(i)
        return {"x": torch.tensor([i, i + 0.5]), "y": i}


class Many(Rows):
    """Reads several samples at once."""

    def __getitems__(self, places):
        return [super(Many, self).__getitem__(i) for i in places]


class Noisy(Rows):
    def __getitem__(self, i):
        return torch.rand(2), np.random.rand(), random.random()


class Flow(IterableDataset):
    def __init__(self, n=N):
        self.n = n

    def __iter__(self):
        return (torch.tensor([i, torch.rand(()).item()]) for i in range(self.n))


class Repeated:
    """Can be iterated over as often as one likes, and has no length."""

    def __init__(self, n=4):
        self.n, self.begun = n, 0

    def __iter__(self):
        self.begun += 1
        return (torch.full((2,), float(i)) for i in range(self.n))


def source(data, **options):
    problem = Problem(NETWORK, data, lambda network, batch: batch, **options)
    return source_of(problem, "train")


def all_of(source):
    return [source.read(i) for i in range(len(source))]


def as_lists(batches):
    return [
        {name: value.tolist() for name, value in batch.items()}
        if isinstance(batch, dict)
        else [value.tolist() for value in batch]
        for batch in batches
    ]


def seed_by_hand(seed, i, use):
    words = f"{seed}/{i}/{use}".encode()
    number = int.from_bytes(hashlib.sha256(words).digest()[:8], "big") >> 1
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


@pytest.mark.parametrize("kind", [list, deque])
def test_batches_in_a_list(kind):
    batches = kind([{"x": torch.ones(2)}, {"x": torch.zeros(1)}, {"x": torch.ones(3)}])
    found = source(batches)
    assert all(read is given for read, given in zip(all_of(found), batches, strict=True))
    assert found.counts == "batches"
    assert [b["x"].tolist() for b in all_of(found.limited(2))] == [[1, 1], [0]]
    assert len(found.limited(9)) == 3
    assert (found.n_counted, found.limited(2).n_counted) == (3, 2)


def test_rows_of_tensors():
    x, y = torch.randn(N, 3), torch.arange(N)
    found = source((x, y), batch_size=4)
    assert [[len(part) for part in batch] for batch in all_of(found)] == [[4, 4], [4, 4], [2, 2]]
    assert torch.equal(torch.cat([b[0] for b in all_of(found)]), x)
    few = found.limited(5)
    assert (found.counts, [len(b[1]) for b in all_of(few)]) == ("samples", [4, 1])
    assert torch.equal(torch.cat([b[1] for b in all_of(few)]), y[:5])
    assert (found.n_counted, few.n_counted, few.limited(9).n_counted) == (N, 5, 5)


def test_one_tensor_and_arrays():
    assert [b.tolist() for b in all_of(source(torch.arange(5), batch_size=3))] == [
        [0, 1, 2],
        [3, 4],
    ]
    x, y = np.ones((4, 2), np.float32), np.arange(4)
    (batch,) = all_of(source((x, y)))
    assert [part.dtype for part in batch] == [torch.float32, torch.int64]


@pytest.mark.parametrize("kind", [Rows, Many])
def test_a_dataset_is_collated_as_a_loader_does(kind):
    found = source(kind(), batch_size=4)
    assert as_lists(all_of(found)) == as_lists(DataLoader(Rows(), batch_size=4))
    assert found.counts == "samples"


def test_a_limit_reads_no_more():
    data = Rows()
    few = source(data, batch_size=4).limited(6)
    assert [len(batch["y"]) for batch in all_of(few)] == [4, 2]
    assert data.read == [0, 1, 2, 3, 4, 5]
    assert (few.n_counted, few.limited(5).n_counted, few.limited(9).n_counted) == (6, 5, 6)


class Counted(IterableDataset):
    """Notes how many batches were taken, and has no length."""

    def __init__(self):
        self.taken = 0

    def __iter__(self):
        for i in range(1000):
            self.taken += 1
            yield torch.full((2,), float(i))


def test_a_limit_of_what_has_no_length_reads_no_more():
    data = Counted()
    few = source(data).limited(3)
    assert (len(few), few.n_counted) == (3, 3)
    assert [batch[0].item() for batch in all_of(few)] == [0, 1, 2]
    assert data.taken <= 10


def test_counting_of_many_batches_is_not_silent(capsys):
    """It would last for ever on a stream without an end."""
    assert len(source(Counted())) == 1000
    told = capsys.readouterr().out
    assert "data['train'] has no length, so its batches are counted by reading them" in told
    assert "1,000 so far. If it has no end, stop this run, and pass --limit" in told
    assert len(source(Counted()).limited(999)) == 999
    assert capsys.readouterr().out == ""


def test_a_batch_is_read_alone():
    data = Rows()
    assert source(data, batch_size=4).read(1)["y"].tolist() == [4, 5, 6, 7]
    assert data.read == [4, 5, 6, 7]
    data = Rows()
    assert source(DataLoader(data, batch_size=4)).read(2)["y"].tolist() == [8, 9]
    assert data.read == [8, 9]


def test_a_dataset_with_a_collate_function():
    found = source(Rows(), batch_size=4, collate=lambda samples: [s["y"] for s in samples])
    assert all_of(found) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize("kind", [Rows, Many])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4},
        {"batch_size": 4, "drop_last": True},
        {"batch_size": None},
        {
            "batch_size": 3,
            "collate_fn": lambda samples: {"y": torch.tensor([s["y"] for s in samples])},
        },
        {"batch_sampler": [[0, 5], [9], [3, 3, 3]]},
        {"sampler": [7, 1, 2], "batch_size": 2},
    ],
)
def test_loaders_in_their_own_order(kind, options):
    found = source(DataLoader(kind(), **options))
    expected = list(DataLoader(Rows(), **options))
    if options == {"batch_size": None}:
        assert [batch["y"] for batch in all_of(found)] == [batch["y"] for batch in expected]
    else:
        assert as_lists(all_of(found)) == as_lists(expected)


def drawn(seed=0, loader=None):
    loader = loader or DataLoader(Rows(), batch_size=4, shuffle=True)
    found = source(loader, seed=seed)
    return [i for batch in all_of(found) for i in batch["y"].tolist()], found.order


def test_a_shuffled_loader_has_one_order():
    torch.manual_seed(1)
    first, order = drawn()
    torch.manual_seed(2)
    assert drawn() == (first, order)
    assert sorted(first) == list(range(N))
    assert first != list(range(N))
    assert drawn(seed=1)[0] != first
    assert drawn(seed=1)[1] != order


def test_a_users_generator_is_put_back():
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(Rows(), batch_size=4, shuffle=True, generator=generator)
    before = generator.get_state()
    first = drawn(loader=loader)
    assert torch.equal(generator.get_state(), before)
    torch.rand(3, generator=generator)
    assert drawn(loader=loader) == first
    weights = WeightedRandomSampler([1.0] * N, 20, generator=generator)
    loader = DataLoader(Rows(), batch_size=4, sampler=weights)
    assert len(drawn(loader=loader)[0]) == 20


def test_drawing_and_reading_leave_the_generators_as_they_were():
    seed_by_hand(3, 0, "here")
    expected = torch.rand(2).tolist(), np.random.rand(), random.random()
    seed_by_hand(3, 0, "here")
    all_of(source(DataLoader(Noisy(), batch_size=4, shuffle=True)))
    all_of(source(DataLoader(Flow(), batch_size=4)))
    assert (torch.rand(2).tolist(), np.random.rand(), random.random()) == expected


def test_random_numbers_of_a_batch_are_its_own():
    found = source(Noisy(), batch_size=4, seed=7)
    for i in (2, 0, 1, 2):
        seed_by_hand(7, i, "read")
        expected = next(iter(DataLoader(Noisy(min(4, N - 4 * i)), batch_size=4, num_workers=0)))
        seed_by_hand(7, i, "read")
        samples = [
            (torch.rand(2), np.random.rand(), random.random()) for _ in range(len(expected[0]))
        ]
        read = found.read(i)
        assert torch.equal(read[0], torch.stack([s[0] for s in samples]))
        assert read[1].tolist() == [s[1] for s in samples]
        assert read[2].tolist() == [s[2] for s in samples]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_flow_is_read_in_order(workers):
    found = source(DataLoader(Flow(), batch_size=4, num_workers=workers))
    assert [batch[:, 0].tolist() for batch in all_of(found)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]
    first = found.read(1)
    found.read(2)
    assert torch.equal(found.read(1), first)  # it starts again
    other = source(DataLoader(Flow(), batch_size=4))
    assert torch.equal(other.read(1), first)  # another rank, which passes by the first one
    assert [len(found), len(found.limited(2)), len(found.limited(9))] == [3, 2, 3]


def test_what_is_iterated_over_is_begun_once_a_pass():
    data = Repeated()
    found = source(data)
    assert [batch.tolist() for batch in all_of(found)] == [[i, i] for i in range(4)]
    assert data.begun == 2  # once to count
    all_of(found)
    assert data.begun == 3
    assert len(source(Repeated(100)).limited(3)) == 3


def test_a_loader_that_does_more_is_iterated_over():
    class Doubling(DataLoader):
        def __iter__(self):
            return ({"y": 2 * batch["y"]} for batch in super().__iter__())

    found = source(Doubling(Rows(), batch_size=4))
    assert found.read(1)["y"].tolist() == [8, 10, 12, 14]
    assert len(found) == 3


def test_fingerprints_tell_data_apart():
    rows = torch.arange(20.0).reshape(10, 2)
    same = source((rows, rows), batch_size=4).fingerprint()
    assert source((rows.clone(), rows.clone()), batch_size=4).fingerprint() == same
    for row in (0, 9):
        other = rows.clone()
        other[row, 1] += 1
        assert source((rows, other), batch_size=4).fingerprint() != same
    assert source((rows, rows), batch_size=5).fingerprint() != same
    loader = DataLoader(Noisy(), batch_size=4, shuffle=True)
    assert source(loader).fingerprint() == source(loader).fingerprint()
    assert source(loader).fingerprint() != source(loader, seed=1).fingerprint()
    assert source(Repeated()).fingerprint() == source(Repeated()).fingerprint()


class Stream:
    """Is iterated over."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class StreamOfLength(Stream):
    def __len__(self):
        return len(self.batches)


class Lazy(Rows):
    """A Dataset of which some row is another one."""

    def __init__(self, n, other=None):
        super().__init__(n)
        self.other = other

    def __getitem__(self, i):
        return torch.tensor([float(i), float(i == self.other)])


def changed(batches, i):
    return [batch + 1 if k == i else batch for k, batch in enumerate(batches)]


BATCHES = [torch.full((2, 2), float(i)) for i in range(40)]


@pytest.mark.parametrize("i", [0, 1, 20, 38, 39])
@pytest.mark.parametrize(
    "kind",
    [
        list,
        torch.cat,
        Stream,
        lambda b: DataLoader(TensorDataset(torch.cat(b)), batch_size=2, shuffle=True),
        lambda b: TensorDataset(torch.cat(b)),
    ],
)
def test_any_batch_of_what_is_in_memory_shows_in_the_fingerprint(kind, i):
    first = source(kind(BATCHES), batch_size=2).fingerprint()
    assert source(kind([b.clone() for b in BATCHES]), batch_size=2).fingerprint() == first
    assert source(kind(changed(BATCHES, i)), batch_size=2).fingerprint() != first


def test_what_a_limit_leaves_out_is_not_in_the_fingerprint():
    for kind in (list, torch.cat, Stream, lambda b: TensorDataset(torch.cat(b))):
        few = [
            source(kind(b), batch_size=2).limited(10).fingerprint()
            for b in (BATCHES, changed(BATCHES, 39))
        ]
        assert few[0] == few[1]


def test_batches_spread_over_a_dataset_and_the_first_ones_of_a_stream_are_compared():
    plain = source(Lazy(400), batch_size=4).fingerprint()
    shown = [
        i for i in range(100) if source(Lazy(400, other=4 * i), batch_size=4).fingerprint() != plain
    ]
    assert len(shown) == 16
    assert shown[0] == 0
    assert shown[-1] == 99
    assert max(b - a for a, b in itertools.pairwise(shown)) <= 7
    stream = source(StreamOfLength(BATCHES)).fingerprint()
    for i, shows in ((0, True), (15, True), (16, False)):
        other = source(StreamOfLength(changed(BATCHES, i))).fingerprint()
        assert (other != stream) is shows


def test_what_ends_too_early():
    class Short(Repeated):
        def __len__(self):
            return 6

    found = source(Short())
    with pytest.raises(InputError, match="ended after 4 batches, but batch 4 was expected"):
        all_of(found)


def test_faults_of_the_users_data():
    class Broken(Rows):
        def __getitem__(self, i):
            raise KeyError("no such file")

    with pytest.raises(UserCodeError, match=r"reading batch 0 of data\['train'\] failed: KeyError"):
        source(Broken()).read(0)
    with pytest.raises(InputError, match="torch cannot make a batch .* of type Linear .* collate="):
        source(Modules()).read(0)
    with pytest.raises(InputError, match="a tuple of tensors of 3, 4 rows"):
        source((torch.zeros(3), torch.zeros(4)))
    with pytest.raises(InputError, match="a list of 2 tensors of several types"):
        source([torch.zeros(3, 2), torch.arange(3)])
    with pytest.raises(InputError, match="is empty"):
        source(Rows(0))
    with pytest.raises(InputError, match="is empty"):
        source(Repeated(0))


class Modules(Rows):
    def __getitem__(self, i):
        return nn.Linear(1, 1)


def test_a_sampler_without_end():
    class Endless:
        def __iter__(self):
            while True:
                yield [0, 1]

    with pytest.raises(InputError, match="has drawn 1002 indices for 10 samples without ending"):
        source(DataLoader(Rows(), batch_sampler=Endless()))


def test_a_sampler_of_one_part_of_the_data():
    part = DistributedSampler(Rows(), num_replicas=2, rank=0)
    with pytest.raises(InputError, match="reads one of 2 parts of the data"):
        source(DataLoader(Rows(), batch_size=2, sampler=part))
    whole = DistributedSampler(Rows(), num_replicas=1, rank=0, shuffle=False)
    assert len(source(DataLoader(Rows(), batch_size=2, sampler=whole))) == 5


@pytest.mark.parametrize(
    "data",
    [
        DataLoader(Rows()),
        [torch.ones(2)],
        (torch.ones(2, 2), torch.ones(2)),
        torch.ones(2, 2),
        Repeated(),
        DataLoader(Flow()),
    ],
)
def test_a_collate_function_that_nobody_calls(data):
    with pytest.raises(InputError, match="no data of the problem is a Dataset"):
        source(data, collate=list)


def test_a_collate_function_of_one_of_the_splits():
    data = {"train": Rows(), "test": DataLoader(Rows())}
    problem = Problem(NETWORK, data, lambda n, b: b, collate=len, batch_size=4)
    assert all_of(source_of(problem, "train")) == [4, 4, 2]
    assert len(all_of(source_of(problem, "test"))) == N


class Whole(Dataset):
    """Gives a batch for a list of indices."""

    def __len__(self):
        return N

    def __getitem__(self, places):
        return 2.0 * torch.tensor(places)


def test_a_dataset_that_is_asked_for_many_samples_at_once():
    loader = DataLoader(
        Whole(), batch_size=None, sampler=BatchSampler(SequentialSampler(range(N)), 4, False)
    )
    expected = [batch.tolist() for batch in loader]
    assert [batch.tolist() for batch in all_of(source(loader))] == expected
    assert [batch.tolist() for batch in all_of(source(loader).limited(2))] == expected[:2]


def test_sources_of_both_splits():
    data = {"test": Rows(3), "train": Rows(5)}
    problem = Problem(NETWORK, data, lambda n, b: b, batch_size=2)
    found = {name: source_of(problem, name) for name in problem.splits}
    assert {name: (one.name, len(one)) for name, one in found.items()} == {
        "train": ("train", 3),
        "test": ("test", 2),
    }
