"""Networks in float64 whose losses are larger than float32 can hold.

Oracle: the mean loss of the unmodified network in float64.
"""

import importlib.util
import re

import pytest
from torch.nn import functional

from landscape_mpi import sharpness
from landscape_mpi.zoo.own_network import seed_generators

MODULE = """
import torch
from torch import nn

def words():
    draw = torch.Generator().manual_seed(0)
    return {"train": (torch.randint(0, 9, (20, 4), generator=draw), torch.arange(20) % 3)}

def network():
    layers = nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(20, 3)).double()
    with torch.no_grad():
        layers[0].weight.mul_(1e30)
        layers[2].weight.mul_(1e20)
    return layers
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a module in the folder of this test, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "double_words.py").write_text(MODULE)
    spec = importlib.util.spec_from_file_location("double_words", tmp_path / "double_words.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_fresh_networks_of_sharpness_with_integer_inputs(module, tmp_path, on_ranks, capsys):
    grid = ["--x=-1:1:3", "--y=-1:1:3", "--out=words.h5"]
    network = ["--model=double_words:network", "--data=double_words:words"]
    on_ranks(1, ["landscape_mpi.surface", *network, *grid], cwd=tmp_path, check=True)
    options = ["--iterations=1", "--radius=0.001", "--fresh-networks=1", "--seed=5", "--device=cpu"]
    assert sharpness.main(["words.h5", *options]) == 0
    found = re.search("1 fresh networks: loss (.*?) to", capsys.readouterr().out)[1]
    seed_generators(5)
    inputs, targets = module.words()["train"]
    fresh = functional.cross_entropy(module.network()(inputs), targets).item()
    assert fresh > 1e45
    assert found == f"{fresh:.4g}"


def test_weights_too_large_for_a_direction(tmp_path, on_ranks):
    (tmp_path / "large_words.py").write_text(MODULE.replace("1e30", "1e42"))
    network = ["--model=large_words:network", "--data=large_words:words"]
    words = ["landscape_mpi.surface", *network, "--x=-1:1:3", "--out=large.h5"]
    done = on_ranks(1, words, cwd=tmp_path)
    assert done.returncode == 2
    assert "the network: the direction of 0.weight has entries of " in done.stderr
    assert "float32, which ends at 3.4e38" in done.stderr
    assert not (tmp_path / "large.h5").exists()
