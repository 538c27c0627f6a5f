"""Oracle: names that a person would choose, written down here; each is an end of its own path."""

import pytest

from landscape_mpi.short_names import short_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/with/epoch_0015.pt"], ["epoch_0015"]),
        (["a/one.pt", "b/two.pt"], ["one", "two"]),
        (["with/epoch_0015.pt", "other/epoch_0015.pt"], ["with/epoch_0015", "other/epoch_0015"]),
        (["a/x.h5", "b/x.h5", "b/y.h5"], ["a/x", "b/x", "y"]),
        (["1/run/x.pt", "2/run/x.pt", "2/old/x.pt"], ["1/run/x", "2/run/x", "old/x"]),
        (["x.pt", "../old/x.pt", "old/new/../x.pt"], ["x", "../old/x", "old/x"]),
        (["/x.pt", "/a/x.pt", "/b/a/x.pt"], ["/x", "/a/x", "b/a/x"]),
        (["a/x.pt", "a/x.h5", "a/y.pt"], ["x.pt", "x.h5", "y"]),
        (["a/x.pt", "a/x.pt", "b/x.pt"], ["a/x", "a/x", "b/x"]),
        (["lr0.1/net.pt", "lr0.01/net.pt"], ["lr0.1/net", "lr0.01/net"]),
        ([], []),
    ],
)
def test_as_much_of_a_path_as_tells_it_apart(paths, names):
    assert short_names(paths) == names


def test_endings_stay_where_they_are_asked_for():
    assert short_names(["a/lr0.1", "b/lr0.1", "b/lr0.01"], endings=True) == [
        "a/lr0.1",
        "b/lr0.1",
        "lr0.01",
    ]
