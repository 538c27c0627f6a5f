"""Surfaces of tables and texts, and of images of another size, by the command itself.

Oracle: a plain float32 loop over the unmodified network, its weights moved tensor by tensor;
for a text the loss is the mean over all places of all sequences.
"""

import h5py
import numpy as np
import pytest
import torch

from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network


def plain_value(network, inputs, targets):
    with torch.no_grad():
        logits = network.eval()(inputs)
    targets = torch.from_numpy(targets)
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), reduction="none"
    )
    wrong = (logits.argmax(-1) != targets).double().mean()
    return losses.double().mean().item(), 100 * wrong.item()


def inputs_of(split, data):
    inputs = torch.from_numpy(split.inputs)
    if split.kind != "image":
        return inputs
    images = inputs.permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    return (images - mean) / std


@pytest.mark.parametrize(
    ("model", "data", "noun"),
    [
        ("seismic3", "seismic", "rows"),
        ("lstm16", "shakespeare", "sequences"),
        ("transformer", "shakespeare", "sequences"),
        ("cnn3", "mnist", "images"),
        ("feedforward16_skip2_14", "mnist", "images"),
    ],
)
def test_every_kind_of_samples(model, data, noun, data_dir, tmp_path, on_ranks):
    dataset = load_dataset(data, data_dir=data_dir)
    torch.manual_seed(0)
    network = build_network(model, sample=dataset.sample)
    checkpoint, out = tmp_path / "weights.pt", tmp_path / "surface.h5"
    torch.save(network.state_dict(), checkpoint)
    done = on_ranks(
        2,
        [
            *("landscape_mpi.surface", "--model", model, "--checkpoint", str(checkpoint)),
            *("--data", data, "--data-dir", str(data_dir), "--limit", "200", "--subset", "first"),
            *("--x=-0.5:1:3", "--y=0.5", "--out", str(out), "--ranks-per-point", "2"),
        ],
        check=True,
    )
    assert f"200 train {noun} each" in done.stdout
    assert f" {noun}/s, " in done.stdout
    assert ("pixels:" in done.stdout) == (noun == "images")
    samples = dataset.splits["train"].first(200)
    names = moved_names(network, ignore=("bias", "bn"))
    center = {name: network.get_parameter(name).detach().clone().numpy() for name in names}
    all_names = [name for name, _ in network.named_parameters()]
    steps = [
        random_direction(center, seed=1, axis=axis, normalize="filter", among=all_names)
        for axis in ("alpha", "beta")
    ]
    with h5py.File(out) as file:
        for row in range(3):
            a, b = file["alpha"][row], file["beta"][0]
            with torch.no_grad():
                for name in names:
                    moved = center[name] + (a * steps[0][name] + b * steps[1][name])
                    network.get_parameter(name).copy_(torch.from_numpy(moved.astype(np.float32)))
            loss, error = plain_value(network, inputs_of(samples, dataset), samples.targets)
            assert file["train_loss"][row, 0] == pytest.approx(loss, rel=1e-5)
            assert file["train_error"][row, 0] == pytest.approx(error, abs=0.51)
