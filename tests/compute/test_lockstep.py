"""Oracle: each batch taken through its network alone; threads without lockstep err by chance."""

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from landscape_mpi.compute.lockstep import lockstep

SHELF = {}
BATCHES = torch.arange(12.0).view(3, 2, 2)


class Sharing(nn.Sequential):
    """Keeps what its first layer gives where every copy of it keeps it."""

    def __init__(self):
        super().__init__(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))

    def forward(self, rows):
        SHELF["kept"] = self[0](rows)
        return self[2](self[1](SHELF["kept"])) + SHELF["kept"]


class AsOftenAsItSays(nn.Sequential):
    """Calls its layer more often for larger numbers."""

    def __init__(self):
        super().__init__(nn.Linear(2, 2))

    def forward(self, rows):
        for _ in range(1 + int(rows.max()) // 4):
            rows = self[0](rows)
        return rows


def together(networks, *, n_threads):
    """Take a batch through each network, at the same time."""
    with torch.no_grad(), ThreadPoolExecutor(len(networks)) as pool, lockstep(n_threads):
        pairs = zip(networks, BATCHES, strict=True)
        return list(pool.map(lambda pair: pair[0](pair[1]).detach(), pairs))


def alone(networks):
    return [network(batch).detach() for network, batch in zip(networks, BATCHES, strict=True)]


def copies(make):
    torch.manual_seed(0)
    networks = [make() for _ in BATCHES]
    for network in networks:
        network.load_state_dict(networks[0].state_dict())
    return networks


def test_what_threads_share_shows_every_time():
    networks = copies(Sharing)
    expected = alone(networks)
    for _ in range(5):
        found = together(networks, n_threads=len(networks))
        same = [torch.allclose(a, b) for a, b in zip(found, expected, strict=True)]
        assert not all(same)


def test_networks_that_share_nothing_are_left_as_they_are():
    networks = copies(lambda: nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)))
    for found, expected in zip(together(networks, n_threads=3), alone(networks), strict=True):
        torch.testing.assert_close(found, expected)


def test_threads_that_make_other_calls_go_on():
    networks = copies(AsOftenAsItSays)
    for found, expected in zip(together(networks, n_threads=3), alone(networks), strict=True):
        torch.testing.assert_close(found, expected)


def test_nothing_of_it_stays():
    before = torch.nn.Module.__call__
    with lockstep(2):
        assert torch.nn.Module.__call__ is not before
    assert torch.nn.Module.__call__ is before
    networks = copies(Sharing)
    assert together(networks[:1] * 3, n_threads=1)
