"""Oracles: a count by hand, torch's own encoder layers with the same weights, what must not
change with what comes later, and torch's functional second derivative.
"""

import torch
from torch import nn

from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import fill_network, named_tensors, tensors_of
from landscape_mpi.zoo.checkpoint import refuse_non_finite
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

TEXT = Sample("text", (30,), 65)


def transformer(sample=TEXT):
    torch.manual_seed(0)
    return build_network("transformer", sample=sample).double().eval()


def test_parameter_count():
    w = 64
    block = 2 * 2 * w + 3 * (w * w + w) + w * w + w + w * 4 * w + 4 * w + 4 * w * w + w
    expected = 65 * w + 30 * w + 2 * block + 2 * w + w * 65 + 65
    assert sum(p.numel() for p in transformer().parameters()) == expected


def test_it_is_torchs_own_encoder_with_the_same_weights():
    network = transformer()
    x = network.embedding.weight[torch.arange(60).reshape(2, 30)] + network.places
    for block in network.blocks:
        layer = nn.TransformerEncoderLayer(
            64, 4, 256, dropout=0, activation="gelu", batch_first=True, norm_first=True
        ).double()
        values = list(block.state_dict().values())
        norms, attention, linear = values[:2] + values[6:8], values[2:6], values[8:]
        layer.load_state_dict(
            dict(zip(layer.state_dict(), attention + linear + norms, strict=True))
        )
        x = layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(30).double())
    expected = network.linear(network.norm(x))
    text = torch.arange(60).reshape(2, 30)
    torch.testing.assert_close(network(text), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(text), expected)


def test_a_place_does_not_see_what_comes_later():
    network = transformer()
    text = torch.randint(65, (2, 30))
    changed = text.clone()
    changed[:, 20:] = (changed[:, 20:] + 1) % 65
    before, after = network(text), network(changed)
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.isclose(before[:, 20], after[:, 20]).all(dim=1).any()


def test_layer_norm_stays_put_like_batch_norm():
    network = transformer()
    norms = {f"blocks.{i}.norm{j}.{p}" for i in (0, 1) for j in (1, 2) for p in ("weight", "bias")}
    norms |= {"norm.weight", "norm.bias"}
    everything = set(dict(network.named_parameters()))
    assert everything - set(moved_names(network, ignore=("bn",))) == norms
    left = set(moved_names(network, ignore=("bias", "bn")))
    assert everything - left == norms | {name for name in everything if name.endswith("bias")}


def test_it_has_second_derivatives():
    network = transformer(Sample("text", (4,), 5))
    text = torch.randint(5, (2, 4))
    loss = nn.functional.cross_entropy(network(text).flatten(0, 1), text.flatten())
    weight = network.blocks[0].attention.mixed.weight
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    (product,) = torch.autograd.grad(gradient.sum(), weight)
    assert product.abs().max() > 0


def test_every_rank_can_build_it_and_fill_it_with_the_weights():
    network, empty = transformer(), build_network("transformer", sample=TEXT).double().eval()
    tensors = named_tensors(network)
    assert tensors["blocks.0.attention.later"].dtype == torch.bool
    refuse_non_finite("transformer", tensors)
    fill_network(empty, tensors_of(network))
    text = torch.randint(65, (2, 30))
    assert torch.equal(empty(text), network(text))
