"""Oracle: a network filled by hand, compared tensor by tensor."""

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.tensors import fill_network, named_tensors, tensors_of
from landscape_mpi.errors import InputError


class Masked(nn.Module):
    """Has a buffer that no state dict holds, and state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("mask", torch.randn(2), persistent=False)

    def get_extra_state(self):
        return {"epoch": 3}

    def set_extra_state(self, state):
        pass


def test_every_tensor_goes_over_also_those_of_no_state_dict():
    first, second = Masked(), Masked()
    arrays = tensors_of(first)
    assert "mask" in arrays
    assert "norm.running_var" in arrays
    fill_network(second, arrays)
    for name, tensor in named_tensors(second).items():
        np.testing.assert_array_equal(tensor.detach().numpy(), arrays[name])


def test_another_network_is_refused():
    with pytest.raises(InputError, match=r"a second time gave other tensors \(bias\)"):
        fill_network(nn.Linear(3, 2), tensors_of(nn.Linear(3, 2, bias=False)))


def test_complex_weights_are_refused():
    network = nn.Linear(3, 2, dtype=torch.complex64)
    with pytest.raises(InputError, match="weight is complex, but a plane needs real weights"):
        tensors_of(network)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_weights_of_half_length_go_over_exactly(half):
    first, second = nn.Linear(3, 2, dtype=half), nn.Linear(3, 2, dtype=half)
    arrays = tensors_of(first)
    assert arrays["weight"].dtype == np.float32
    fill_network(second, arrays)
    assert torch.equal(second.weight, first.weight)
