"""Oracle: the generators seeded by hand, and functions that draw or do not."""

import hashlib
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.random_numbers import DrawWatch, Generators, batch_seed


def drawn():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random()


def test_the_seed_of_a_batch():
    words = hashlib.sha256(b"5/17/").digest()
    assert batch_seed(5, 17) == int.from_bytes(words[:8], "big") // 2
    seeds = {batch_seed(s, b, use=u) for s in range(9) for b in range(9) for u in ("", "read")}
    assert len(seeds) == 162


def test_seeded_draws_and_what_comes_after():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    np.random.standard_normal()  # keeps a second number
    generators = Generators()
    before = generators.states()
    first = [drawn(), np.random.standard_normal(), random.gauss(0, 1)]
    generators.restore(before)
    with generators.seeded(2**62 + 3):
        inside = drawn()
    assert [drawn(), np.random.standard_normal(), random.gauss(0, 1)] == first
    torch.manual_seed(2**62 + 3)
    np.random.seed((2**62 + 3) % 2**32)
    random.seed(2**62 + 3)
    assert drawn() == inside


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), np.random.rand, random.random])
def test_states_tell_of_each_generator(draw):
    generators = Generators()
    before = generators.states()
    assert generators.states() == before
    draw()
    assert generators.states() != before


def test_the_generator_of_a_device_is_one_of_them(device):
    generators = Generators(device_named(device))
    before = generators.states()
    with generators.seeded(7):
        first = torch.rand(5, device=device)
    assert generators.states() == before
    torch.manual_seed(7)
    assert torch.equal(torch.rand(5, device=device), first)
    assert generators.states() != before


def test_a_draw_on_a_device_is_seen(device):
    ones = torch.ones(1, 2, 4, 8, device=device)
    with DrawWatch(device_named(device)) as watch:
        functional.scaled_dot_product_attention(ones, ones, ones)
        assert not watch.drawn
        functional.dropout(ones, 0.5)
        assert watch.drawn


def forked():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.randn(2)


def attention(p):
    x = torch.ones(1, 2, 4, 8)
    return functional.scaled_dot_product_attention(x, x, x, dropout_p=p)


@pytest.mark.parametrize(
    ("work", "draws"),
    [
        (lambda: torch.rand(2), True),
        (lambda: functional.dropout(torch.ones(9), 0.5), True),
        (lambda: functional.dropout(torch.ones(9), 0.5, training=False), False),
        (forked, True),
        (lambda: torch.rand(2, generator=torch.Generator().manual_seed(0)), False),
        (lambda: attention(0.0), False),
        (lambda: attention(0.5), True),
        (lambda: nn.Dropout().eval()(torch.ones(3)), False),
        (lambda: torch.randperm(4), True),
    ],
)
def test_what_draws_is_seen(work, draws):
    with DrawWatch() as watch:
        work()
    assert watch.drawn == draws


def test_what_is_compiled_stays_so_after_it_was_watched():
    calls = []

    def backend(graph, inputs):
        calls.append("compiled")
        return graph.forward

    function = torch.compile(lambda x: x + torch.rand(2), backend=backend)
    with DrawWatch() as watch:
        function(torch.ones(2))
    assert (watch.drawn, calls) == (True, [])
    function(torch.ones(2))
    assert calls == ["compiled"]
