"""Oracle: the documentation of torch says which functions have a state for the whole process; that
several threads really disturb one another there was seen in a loop of torch alone."""

import sys

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.nn.utils import parametrize, stateless

from landscape_mpi.compute.thread_watch import FORWARD, ONE_STATE, REPLACED, WRITES, ThreadWatch

NETWORK = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
OTHER = nn.Linear(3, 1)
ROWS = torch.ones(2, 3)


def scalar(row):
    return NETWORK(row).sum()


def dual():
    with forward_ad.dual_level():
        return NETWORK(forward_ad.make_dual(ROWS, torch.ones_like(ROWS)))


def cached():
    with parametrize.cached():
        return NETWORK(ROWS)


CALLS = {
    "cached": (cached, ONE_STATE.format("torch.nn.utils.parametrize.cached")),
    "default": (
        lambda: torch.set_default_dtype(torch.get_default_dtype()),
        ONE_STATE.format("torch.set_default_dtype"),
    ),
    "jvp": (lambda: jvp(NETWORK, (ROWS,), (ROWS,)), FORWARD),
    "jacfwd": (lambda: vmap(jacfwd(scalar))(ROWS), FORWARD),
    "hessian": (lambda: vmap(hessian(scalar))(ROWS), FORWARD),
    "dual_level": (dual, FORWARD),
    "plain": (lambda: NETWORK(ROWS), None),
    "vmap": (lambda: vmap(scalar)(ROWS), None),
    "grad": (lambda: vmap(grad(scalar))(ROWS), None),
    "jacrev": (lambda: vmap(jacrev(jacrev(scalar)))(ROWS), None),
    "own": (lambda: functional_call(NETWORK, dict(NETWORK.named_parameters()), ROWS), None),
    "part": (lambda: functional_call(NETWORK[0], dict(NETWORK[0].named_parameters()), ROWS), None),
    "other": (lambda: functional_call(OTHER, dict(OTHER.named_parameters()), ROWS), REPLACED),
    "old": (
        lambda: stateless.functional_call(OTHER, dict(OTHER.named_parameters()), ROWS),
        REPLACED,
    ),
    "write": (lambda: NETWORK[0].weight.mul_(1.0), WRITES),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:.*stateless.functional_call.*:FutureWarning")
def test_what_threads_would_disturb(name):
    call, reason = CALLS[name]
    before = sys.getprofile()
    with (
        torch.set_grad_enabled(name != "write"),
        ThreadWatch(NETWORK, NETWORK.parameters()) as seen,
    ):
        call()
    assert seen.reason == reason
    assert sys.getprofile() is before
