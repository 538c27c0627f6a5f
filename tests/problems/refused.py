"""Problems that cannot give one number a batch, each for another reason."""

import torch
from torch import nn

from landscape_mpi import Problem


def network():
    torch.manual_seed(26)
    return nn.Linear(4, 2)


def data():
    draw = torch.Generator().manual_seed(27)
    return torch.randn(20, 4, generator=draw), torch.randn(20, 2, generator=draw)


def loss(net, batch):
    inputs, targets = batch
    return (net(inputs) - targets).square().mean(1)


def mean_of_a_batch():
    return Problem(network(), data(), lambda net, batch: loss(net, batch).mean(), batch_size=8)


def weigh(errors, batch):
    return errors * batch["weight"]


def wrong_key():
    batches = [{"inputs": data()[0]}, {"inputs": data()[0]}]
    return Problem(network(), batches, lambda net, batch: weigh(net(batch["inputs"]), batch))


def read_once():
    inputs, targets = data()
    pairs = zip(inputs.split(8), targets.split(8), strict=True)
    return Problem(network(), (pair for pair in pairs), loss)


def without_weights():
    with torch.device("meta"):
        empty = nn.Linear(4, 2)
    return Problem(empty, data(), loss)


def three_things():
    return network(), data(), loss


def without_batches():
    return Problem(network(), [], loss)


def nothing():
    three_things()


async def later():
    return Problem(network(), data(), loss)


def of_a_rate(rate, *, width):
    return Problem(network(), data(), loss)
