"""Ranks that ask for different things: refused on every rank, with the name of what differs.

Oracle: the messages of both ranks, and that the next call of the same processes goes well.
"""

from __future__ import annotations

import textwrap

import pytest

SCRIPT = """
    import math
    import sys
    from pathlib import Path

    import torch
    from mpi4py import MPI
    from torch import nn

    import landscape_mpi as lm
    from landscape_mpi.errors import InputError

    RANK = MPI.COMM_WORLD.rank
    BATCHES = [torch.full((4, 2), float(i)) for i in range(6)]


    def loss(network, batch):
        return network(batch).square().sum(1)


    def other_loss(network, batch):
        return 2 * loss(network, batch)


    def made(kind=nn.Linear, data=BATCHES, function=loss, **options):
        torch.manual_seed(0)
        return lm.Problem(kind(2, 3), data, function, **options)


    class Mine(nn.Linear):
        pass


    def here(first, second):
        return second if RANK else first


    def surface(problem, x=(-1, 1, 3), **options):
        return lm.compute_surface(problem, x=x, progress=False, **options)


    plain = surface(made())
    CALLS = {
        "x": lambda: surface(made(), x=(-1, 1, here(3, 5))),
        "y": lambda: surface(made(), y=here(None, 0.5)),
        "out": lambda: surface(made(), out=here("a.h5", "b.h5")),
        "out_none": lambda: surface(made(), out=here(None, "b.h5")),
        "also": lambda: surface(made(), also=here((), "gradient_norm")),
        "limit": lambda: surface(made(), **here({}, {"limit": 3})),
        "metrics": lambda: surface(made(metrics=here({}, {"m": loss}))),
        "finish": lambda: surface(made(metrics={"m": (loss, here(math.exp, math.sqrt))})),
        "seed": lambda: surface(made(seed=RANK)),
        "dtype": lambda: surface(made(dtype=here(None, "float64"))),
        "units": lambda: surface(made(units=here("nat", "bit"))),
        "loss": lambda: surface(made(function=here(loss, other_loss))),
        "class": lambda: surface(made(here(nn.Linear, Mine))),
        "middle": lambda: surface(
            made(data=[batch + RANK * (i == 2) for i, batch in enumerate(BATCHES)])
        ),
        "stride": lambda: lm.compute_hessian(plain, stride=here(1, 2), progress=False),
        "epochs": lambda: lm.train_curve(
            made(), start=Path("a.pt"), end=Path("b.pt"), epochs=here(1, 2), progress=False
        ),
    }
    for name, call in CALLS.items():
        try:
            call()
            told = "accepted"
        except InputError as problem:
            told = str(problem)
        sys.stdout.write(f"{name}@{RANK}@{told}\\n")
    again = surface(made())
    assert (again.values["train_loss"] == plain.values["train_loss"]).all()
"""
EXPECTED = {
    "x": "compute_surface: x is (-1, 1, 5) on rank 1",
    "y": "compute_surface: y is 0.5 on rank 1",
    "out": "compute_surface: out is b.h5 on rank 1",
    "out_none": "compute_surface: out is b.h5 on rank 1",
    "also": "compute_surface: also is gradient_norm on rank 1",
    "limit": "compute_surface: limit is 3 on rank 1",
    "metrics": "Problem: metrics is m on rank 1",
    "finish": "Problem: finish of m is sqrt on rank 1",
    "seed": "Problem: seed is 1 on rank 1",
    "dtype": "Problem: dtype is float64 on rank 1",
    "units": "Problem: units is 'bit' on rank 1",
    "loss": "Problem: loss is other_loss on rank 1",
    "class": "Problem: the class of the network is Mine on rank 1",
    "middle": "Problem: rank 1 on ",
    "stride": "compute_hessian: stride is 2 on rank 1",
    "epochs": "train_curve: epochs is 2 on rank 1",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory, on_ranks):
    """Return the output of each rank, by the name of the call."""
    folder = tmp_path_factory.mktemp("calls")
    (folder / "script.py").write_text(textwrap.dedent(SCRIPT))
    done = on_ranks(2, ["script.py"], check=True, cwd=folder)
    lines = [line.split("@", 2) for line in done.stdout.splitlines() if line.count("@") >= 2]
    return {(name, int(rank)): words for name, rank, words in lines}


@pytest.mark.parametrize("name", EXPECTED)
def test_ranks_that_ask_for_different_things_are_refused(name, told):
    for rank in (0, 1):
        assert told[name, rank].startswith(EXPECTED[name])
