"""compute_hessian: surfaces of live networks and files of the commands, here and under mpirun.

Oracle: the command of the same problem, bit for bit; numpy's dense eigenvalues of second
derivatives that torch.autograd.functional takes of the mean loss over all data.
"""

from __future__ import annotations

import importlib
import sys
import textwrap

import h5py
import numpy as np
import pytest
import torch
from one_process import run_alone
from torch import nn
from torch.func import functional_call
from torch.nn import functional

import landscape_mpi as lm
from landscape_mpi.errors import InputError

VALUES = ("hessian_min", "hessian_max")
GRID = {"x": (-1, 1, 3), "y": (-0.5, 0.5, 3), "progress": False}
MODULE = """
    import torch
    from torch import nn
    import landscape_mpi as lm

    def loss(network, batch):
        logits = network(batch["x"])
        return nn.functional.cross_entropy(logits, batch["y"], reduction="none")

    def problem():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        batches = [{"x": torch.randn(8, 5), "y": torch.randint(0, 3, (8,))} for _ in range(6)]
        return lm.Problem(network, batches, loss)
"""
SCRIPT = """
    import sys
    import landscape_mpi as lm
    from hessian_of_mine import problem

    surface = lm.compute_surface(problem(), x=(-1, 1, 3), y=(-0.5, 0.5, 3), out=sys.argv[1],
                                 progress=False)
    surface = lm.compute_hessian(surface, tolerance=1e-6, ranks_per_point=2, progress=False)
    sys.stdout.write(f"{float(surface.values['hessian_max'][1, 1])}\\n")
"""

WRONG = (
    ({"strides": 2}, "'strides' is not known. Did you mean stride"),
    ({"parameters": "al"}, "parameters: 'al' .* moved, all"),
    ({"solver": "power"}, "solver: 'power' .* lanczos, arpack"),
    ({"stride": 0}, "stride is 0, but must be a whole number from 1"),
    ({"limit": 2.5}, "limit is 2.5, but must be a whole number"),
    ({"tolerance": float("nan")}, "tolerance is nan, but must be a finite number above 0"),
)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of a problem, importable here and in what is started in tmp_path."""
    (tmp_path / "hessian_of_mine.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("hessian_of_mine")
    sys.modules.pop("hessian_of_mine", None)


def of_command(tmp_path, *options):
    """Return the file that the commands make of the module's problem."""
    path = tmp_path / "command.h5"
    surface = ["landscape_mpi.surface", "--problem=hessian_of_mine:problem", f"--out={path}"]
    for words in (
        [*surface, "--x=-1:1:3", "--y=-0.5:0.5:3"],
        ["landscape_mpi.hessian", path, *options],
    ):
        ended = run_alone(words)
        assert ended.status == 0, ended.words
    return path


def dense_ends(network, inputs, targets):
    """Return the extreme eigenvalues in the weights, of which no bias is one."""
    double = network.double()
    own = {name: p for name, p in double.named_parameters() if not name.endswith("bias")}
    sizes = [p.numel() for p in own.values()]

    def mean(vector):
        parts = zip(own.items(), vector.split(sizes), strict=True)
        moved = {name: part.view(like.shape) for (name, like), part in parts}
        return functional.cross_entropy(functional_call(double, moved, inputs.double()), targets)

    start = torch.cat([p.detach().flatten() for p in own.values()])
    return np.linalg.eigvalsh(
        torch.autograd.functional.hessian(mean, start, vectorize=True).numpy()
    )[[0, -1]]


def test_the_bits_of_the_command(mine, tmp_path):
    path = of_command(tmp_path, "--tolerance=1e-6")
    live = lm.compute_hessian(lm.compute_surface(mine.problem(), **GRID), tolerance=1e-6)
    with h5py.File(path) as file:
        for name in VALUES:
            np.testing.assert_array_equal(live.values[name], file[name][()], strict=True)
    problem = mine.problem()
    inputs, targets = (torch.cat([b[name] for b in problem.data]) for name in "xy")
    expected = dense_ends(problem.network, inputs, targets)
    np.testing.assert_allclose([live.values[n][1, 1] for n in VALUES], expected, rtol=1e-5)
    assert {"train_loss", *VALUES, "hessian_ratio"} <= set(live.values)


def test_on_two_ranks(mine, tmp_path, on_ranks):
    problem = mine.problem()
    inputs, targets = (torch.cat([b[name] for b in problem.data]) for name in "xy")
    expected = dense_ends(problem.network, inputs, targets)[1]
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    done = on_ranks(2, ["script.py", tmp_path / "two.h5"], check=True, cwd=tmp_path)
    told = [float(word) for word in done.stdout.split()]
    assert len(set(told)) == 1
    np.testing.assert_allclose(told, [expected] * 2, rtol=1e-5)


def test_a_file_of_the_command_and_one_of_a_network(mine, tmp_path):
    path = of_command(tmp_path, "--tolerance=1e-6")
    again = lm.compute_hessian(path, tolerance=1e-6, progress=False)  # resumed: all is done
    assert again.path == path
    fresh = lm.compute_hessian(path, mine.problem(), tolerance=1e-6, fresh=True, progress=False)
    np.testing.assert_equal(dict(fresh.values), dict(again.values))
    digits = tmp_path / "digits.h5"
    words = ["landscape_mpi.surface", "--model=hessian_of_mine:network", "--data=digits"]
    (tmp_path / "hessian_of_mine.py").open("a").write(
        "\n\ndef network():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    importlib.reload(mine)
    ended = run_alone([*words, "--x=0", "--limit=50", f"--out={digits}"])
    assert ended.status == 0, ended.words
    found = lm.compute_hessian(digits, gauss_newton=True, progress=False)
    assert found.values["hessian_max"][0, 0] > 0
    with pytest.raises(InputError, match="--problem a problem in Python: .* not of a problem"):
        lm.compute_hessian(digits, mine.problem(), progress=False, fresh=True)


def test_a_network_and_data_as_for_the_surface():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    network[0].bias.requires_grad_(False)
    network.train()
    data = torch.randn(50, 4), torch.randint(0, 3, (50,))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    surface = lm.compute_surface(network, data, **GRID)
    found = lm.compute_hessian(
        lm.open_surface(surface.path), network, data, tolerance=1e-6, progress=False
    )
    assert network.training
    assert [p.requires_grad for p in network.parameters()] == [True, False, True, True]
    assert all(p.grad is None for p in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[n]) for n, value in network.state_dict().items())
    np.testing.assert_allclose(
        [found.values[n][1, 1] for n in VALUES], dense_ends(network, *data), rtol=1e-5
    )


def test_what_does_not_suit_is_one_sentence(mine):
    surface = lm.compute_surface(mine.problem(), **GRID)
    with pytest.raises(InputError, match="passed in Python, so the file has no name for it"):
        lm.compute_hessian(surface.path, progress=False)
    with pytest.raises(InputError, match="data or loss is given without a network"):
        lm.compute_hessian(surface, loss="mse", progress=False)
    with pytest.raises(InputError, match="gauss_newton: uses the matrix"):
        lm.compute_hessian(surface, gauss_newton=True, progress=False)
    for options, words in WRONG:
        with pytest.raises(InputError, match=words):
            lm.compute_hessian(surface, progress=False, **options)
    with torch.no_grad():
        surface.problem.network[0].weight.add_(1)
    with pytest.raises(InputError, match="was computed with weights of SHA-256"):
        lm.compute_hessian(surface, progress=False)
