"""Oracle: the tensors that the test put into the tree, and the types of its containers.

Trees of transformers and torch_geometric are looked at where these are installed.
"""

import collections.abc
import dataclasses
import os
import subprocess
import sys
import threading
import types
from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from landscape_mpi.compute.batch_tree import (
    aliased,
    cloned,
    digest,
    mapped,
    moved,
    n_bytes,
    tensors_in,
)
from landscape_mpi.errors import InputError

Pair = namedtuple("Pair", "x y")


@dataclasses.dataclass(frozen=True)
class Sample:
    x: torch.Tensor
    name: str = "a"


class Encoding(UserDict):
    """Gives its entries as attributes, and holds something else, as transformers' one does."""

    def __init__(self, data=None):
        super().__init__(data)
        self._n_sequences = 1

    def __getattr__(self, name):
        try:
            return self.data[name]
        except KeyError:
            raise AttributeError(name) from None


class Graph:
    """An object of a class that nobody knows, which points to itself."""

    def __init__(self, x, edges):
        self.x, self.edges, self.itself = x, edges, self


@dataclasses.dataclass
class Later:
    """Has a field that somebody sets later, or nobody."""

    x: torch.Tensor
    extra: torch.Tensor = dataclasses.field(init=False)


@dataclasses.dataclass(slots=True)
class LaterInSlots:
    x: torch.Tensor
    extra: torch.Tensor = dataclasses.field(init=False)


class Slots:
    __slots__ = ("x", "y")

    def __init__(self, x):
        self.x = x


class Triple(namedtuple("Triple", "x y z")):
    """Takes fewer values than it holds."""

    __slots__ = ()

    def __new__(cls, x, y):
        return super().__new__(cls, x, y, 3)


def x():
    return torch.arange(6.0).reshape(2, 3)


def trees():
    return {
        "tensor": x(),
        "dict": {"x": x(), "y": torch.arange(2)},
        "ordered": collections.OrderedDict(b=x(), a=None),
        "default": collections.defaultdict(list, x=x()),
        "encoding": Encoding({"x": x(), "y": torch.arange(2)}),
        "tuple": (x(), torch.arange(2)),
        "list": [x(), [torch.arange(2), "word", 3, 2.5, None, True]],
        "namedtuple": Pair(x(), {"z": torch.arange(2)}),
        "dataclass": Sample(x()),
        "object": Graph(x(), torch.arange(4)),
        "packed": pack_sequence([torch.arange(3.0), torch.arange(2.0)]),
        "array": {"x": x(), "ids": np.arange(3)},
        "sparse": torch.eye(3).to_sparse(),
        "nothing": None,
        "later": Later(x()),
        "slots": Slots(x()),
        "triple": Triple(x(), 2),
        "empty": {},
        "word": "word",
        "size": (torch.Size([2, 3]), x()),
    }


def values_in(tree):
    return [tensor.to_dense().tolist() for tensor in tensors_in(tree)]


@pytest.mark.parametrize("name", trees())
@pytest.mark.parametrize("function", [cloned, aliased, lambda tree: moved(tree, "cpu")])
def test_trees_keep_their_form_and_their_values(name, function):
    tree = trees()[name]
    found = function(tree)
    assert type(found) is type(tree)
    assert values_in(found) == values_in(tree)
    assert digest(found) == digest(tree) == digest(trees()[name])


def test_what_is_not_a_tensor_stays():
    made = cloned({"a": "word", "n": 3, "none": None, "pair": (1.5, True)})
    assert made == {"a": "word", "n": 3, "none": None, "pair": (1.5, True)}
    assert cloned(Encoding({"x": x()}))._n_sequences == 1
    assert cloned(collections.defaultdict(list, x=x()))["other"] == []
    graph = cloned(Graph(x(), torch.arange(4)))
    assert graph.itself is graph


@pytest.mark.parametrize("name", trees())
def test_a_clone_shares_nothing(name):
    tree = trees()[name]
    before = digest(tree)
    for tensor in tensors_in(cloned(tree)):
        (tensor.values() if tensor.is_sparse else tensor).zero_()
    assert digest(tree) == before


def test_an_alias_shares_memory_but_no_container_and_no_flag():
    tree = {"x": x(), "labels": torch.arange(2)}
    alias = aliased(tree)
    alias.pop("labels")
    alias["x"].requires_grad_()
    assert list(tree) == ["x", "labels"]
    assert not tree["x"].requires_grad
    assert alias["x"].data_ptr() == tree["x"].data_ptr()
    alias["x"].detach().mul_(2)
    assert tree["x"]._version == 1


def test_what_takes_gradients_still_does():
    points = x().requires_grad_()
    for made in (cloned(points), aliased(points), moved(points, "cpu", torch.float64)):
        assert made.requires_grad
        assert made.is_leaf
        assert made is not points


def test_types_of_floating_point_tensors_alone_change():
    tree = {"x": x(), "half": x().bfloat16(), "ids": torch.arange(2), "mask": torch.ones(2).bool()}
    types = {name: t.dtype for name, t in moved(tree, "cpu", torch.float64).items()}
    assert types == {
        "x": torch.float64,
        "half": torch.float64,
        "ids": torch.int64,
        "mask": torch.bool,
    }


def test_moving_copies_even_to_the_same_place():
    tree = (x(),)
    assert moved(tree, "cpu")[0].data_ptr() != tree[0].data_ptr()
    turned = torch.zeros(1, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    assert moved(turned, "cpu").stride() == turned.stride()


def test_one_tensor_in_two_places_stays_one():
    one = x()
    made = cloned({"input_ids": one, "labels": one})
    assert made["input_ids"] is made["labels"]
    assert len(tensors_in({"a": one, "b": [one]})) == 1
    assert n_bytes({"a": one, "b": [one], "c": torch.arange(2)}) == 6 * 4 + 2 * 8


@pytest.mark.parametrize(
    "other",
    [
        {"x": x() + 1e-6, "n": 3, "s": "a"},
        {"x": x().double(), "n": 3, "s": "a"},
        {"x": x().reshape(3, 2), "n": 3, "s": "a"},
        {"x": x(), "n": 4, "s": "a"},
        {"x": x(), "n": 3.0, "s": "a"},
        {"x": x(), "n": 3, "s": "b"},
        {"y": x(), "n": 3, "s": "a"},
        {"n": 3, "x": x(), "s": "a"},
        {"x": [x()], "n": 3, "s": "a"},
    ],
)
def test_digests_tell_trees_apart(other):
    assert digest(other) != digest({"x": x(), "n": 3, "s": "a"})


IN_ANOTHER_PROCESS = """
import numpy as np
from landscape_mpi.compute.batch_tree import digest

class Thing:
    def __init__(self, value):
        self.value = value

names = {"a", "b", "c", "dd", "eee"}
array = np.array([Thing(1), "a", None, names], dtype=object)
record = np.array([(1, "a")], dtype=[("n", int), ("s", object)])
trees = (names, frozenset(names), {"k": [names]}, Thing(names), {frozenset(names)}, array, record)
for tree in trees:
    print(digest(tree))
"""


def test_digests_in_processes_of_other_hashes_and_addresses():
    found = []
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", f"waste = [object()] * {seed}000\n" + IN_ANOTHER_PROCESS],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 7
    assert digest({"a", "b"}) != digest({"a", "c"})
    assert digest(held(x())) == digest(held(x()))
    assert digest(held(x())) != digest(held(x() + 1))


def held(thing):
    array = np.empty(2, dtype=object)
    array[0] = thing
    return array


class Wrapped(collections.abc.MutableMapping):
    """Holds its items in a dict of its own."""

    def __init__(self, **items):
        self.inner, self.note = items, ["kept"]

    def __getitem__(self, key):
        return self.inner[key]

    def __setitem__(self, key, value):
        self.inner[key] = value

    def __delitem__(self, key):
        del self.inner[key]

    def __iter__(self):
        return iter(self.inner)

    def __len__(self):
        return len(self.inner)


def test_a_mapping_of_another_class_stays_as_it_is():
    first, second = x(), x().requires_grad_() * 2
    tree = Wrapped(first=first, second=second, more={"n": 3})
    found = moved(tree, "cpu", torch.float64)
    assert tree["first"] is first
    assert tree["second"] is second
    assert first.dtype == torch.float32
    assert type(found) is Wrapped
    assert found.note == ["kept"]
    assert found["first"].dtype == found["second"].dtype == torch.float64
    found["more"]["n"] = 4
    found["first"].zero_()
    del found["second"]
    assert tree["more"] == {"n": 3}
    assert len(tree) == 3
    assert torch.equal(tree["first"], x())


def test_digests_of_bits():
    assert digest(torch.tensor([0.0])) != digest(torch.tensor([-0.0]))
    assert digest(torch.tensor([torch.nan])) == digest(torch.tensor([torch.nan]))
    assert digest(x().t()) == digest(x().t().contiguous())
    assert digest(torch.ones(2, dtype=torch.bfloat16)) != digest(torch.ones(2).half())
    assert digest(torch.tensor(3)) == digest(torch.tensor(3))


class Refusing:
    """Raises where it is asked for a name that it has not."""

    def __init__(self):
        self.__dict__["x"] = x()

    def __getattr__(self, name):
        raise KeyError(name)


class Immutable(collections.abc.Mapping):
    def __init__(self, items):
        self._items = items

    def __getitem__(self, key):
        return self._items[key]

    def __iter__(self):
        return iter(self._items)

    def __len__(self):
        return len(self._items)


@dataclasses.dataclass
class NoCopy:
    x: torch.Tensor

    def __copy__(self):
        raise TypeError("there is one of me")


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots:
    x: torch.Tensor
    extra: torch.Tensor = dataclasses.field(init=False)


def local_class():
    class Local:
        tensor = x()

    return Local()


PICKLED = "lists and dataclasses, or of objects that can be pickled.$"
NO_TREES = [
    (local_class, f"Local, which cannot be copied together with its tensors .*{PICKLED}"),
    (
        Refusing,
        rf"Refusing, .*\(KeyError: '__setstate__' .*test_batch_tree.py:\d+\)\)\. .*{PICKLED}",
    ),
    (lambda: Immutable({"x": x()}), f"Immutable, .*does not support item assignment.*{PICKLED}"),
    (lambda: types.MappingProxyType({"x": x()}), f"mappingproxy, .*{PICKLED}"),
    (lambda: NoCopy(x()), f"NoCopy, .*there is one of me.*{PICKLED}"),
    (lambda: FrozenSlots(x()), f"FrozenSlots, .*has no attribute 'extra'.*{PICKLED}"),
    (threading.Lock, f"lock, .*{PICKLED}"),
    (
        lambda: (x() for _ in range(2)),
        r"generator, .* \(TypeError: cannot pickle 'generator' object\)\. It can be read "
        "only once. Return a list of its items",
    ),
    (lambda: map(abs, (one for one in [x()])), "map, .*It can be read only once"),
]


@pytest.mark.parametrize(("make", "words"), NO_TREES)
def test_an_object_that_cannot_be_copied_is_named_with_the_way_out(make, words):
    with pytest.raises(InputError, match=f"a batch holds an object of type {words}"):
        mapped([make()], torch.clone)


def list_in_itself():
    tree = [x()]
    tree.append(tree)
    return tree


def dict_in_itself():
    tree = {"x": x(), "inner": [1, ({},)]}
    tree["inner"][1][0]["outer"] = tree
    return tree


def dataclass_in_itself():
    tree = Later(x())
    tree.extra = [tree]
    return tree


def deep():
    tree = x()
    for _ in range(5000):
        tree = [tree]
    return tree


@pytest.mark.parametrize("make", [list_in_itself, dict_in_itself, dataclass_in_itself, deep])
@pytest.mark.parametrize("function", [cloned, digest])
def test_a_tree_without_an_end_is_refused(make, function):
    with pytest.raises(InputError, match=r"a batch holds itself .*nested deeper .* Remove the"):
        function(make())


def test_an_object_in_itself_stays_in_itself():
    made = cloned(Graph(x(), torch.arange(4)))
    assert made.itself is made


def test_fields_that_are_not_set_stay_so():
    for kind in (Later, LaterInSlots):
        made = cloned(kind(x()))
        assert torch.equal(made.x, x())
        assert not hasattr(made, "extra")
        unset, later = kind(x()), kind(x())
        later.extra = None
        assert digest(made) == digest(unset) != digest(later)


def test_a_tensor_without_values():
    words = r"a tensor \[2, 3\] on the meta device, which has no values"
    with pytest.raises(InputError, match=words):
        moved([x().to("meta")], "cpu")


def test_batches_of_transformers():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    encoding = transformers.BatchEncoding({"input_ids": torch.arange(3), "labels": torch.ones(3)})
    made = moved(encoding, "cpu", torch.float64)
    assert type(made) is transformers.BatchEncoding
    assert made.input_ids.tolist() == [0, 1, 2]
    assert made["labels"].dtype == torch.float64
    outputs = transformers.modeling_outputs.CausalLMOutput(loss=torch.ones(()), logits=x())
    assert cloned(outputs).logits.tolist() == x().tolist()
    assert digest(cloned(outputs)) == digest(outputs)


def test_batches_of_torch_geometric():
    geometric = pytest.importorskip("torch_geometric", reason="torch_geometric is not installed")
    graph = geometric.data.Data(x=x(), edge_index=torch.tensor([[0, 1], [1, 0]]), name="a")
    both = geometric.data.Batch.from_data_list([graph, graph])
    for one in (graph, both):
        made = moved(one, "cpu", torch.float64)
        assert type(made) is type(one)
        assert made.x.dtype == torch.float64
        assert made.edge_index.tolist() == one.edge_index.tolist()
        assert digest(cloned(one)) == digest(one)
        cloned(one).x.zero_()
        assert one.x.sum() > 0
    assert moved(both, "cpu").num_graphs == 2
