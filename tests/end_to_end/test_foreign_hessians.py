"""Eigenvalues of the Hessian for networks of every kind.

Oracle: numpy's dense eigenvalues of second derivatives that torch takes of the unmodified network.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from cases.network_files import CASES, SEQUENCES, NetworkFile, network_file
from one_process import run_alone
from plain_loop import flat, move
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


def test_the_hessian_of_attention_on_two_threads(tmp_path):
    CASES["kept:encoder"].surface(tmp_path / "x.h5")
    found_values = []
    for number in range(6):
        options = ["--stride=2", "--fresh"] if number else ["--stride=2"]
        ended = run_alone(["landscape_mpi.hessian", str(tmp_path / "x.h5"), *options], threads=2)
        assert ended.status == 0, ended.words
        with h5py.File(tmp_path / "x.h5") as file:
            found_values.append(file["hessian_max"][()])
    for values in found_values[1:]:
        np.testing.assert_array_equal(values, found_values[0])


HESSIANS = [
    *(CASES[name] for name in ("weights_read:Flat", "reparametrised:pruned_with_norm-trained")),
    *(CASES[name] for name in ("wrapped:scripted_part", "branches:Masked")),
    network_file("kept:encoder", SEQUENCES, options=("--only=lift.weight,out.weight",)),
]


@pytest.mark.parametrize("case", HESSIANS, ids=str)
def test_the_hessian_of_a_foreign_network(case, tmp_path):
    check_hessians(case, "--x=0:0.5:2", tmp_path)


def test_the_hessian_at_the_center_where_frozen_weights_leave_the_loss_as_it_is(tmp_path):
    check_hessians(CASES["wrapped:scripted_part"], "--x=0", tmp_path)


def test_derivatives_that_a_network_defines_otherwise_are_refused(tmp_path):
    out = tmp_path / "surface.h5"
    network_file("reparametrised:straight_through").surface(out)
    ended = run_alone(["landscape_mpi.hessian", str(out)])
    assert ended.status == 2
    assert "so the Hessian would be wrong" in " ".join(ended.words.split())


def test_second_derivatives_that_torch_has_wrong_are_refused(tmp_path):
    out = tmp_path / "surface.h5"
    network_file("reparametrised:weight_norm").surface(out, "--ignore=none")
    ended = run_alone(["landscape_mpi.hessian", str(out)])
    assert ended.status == 2
    assert "torch's parametrizations.weight_norm has wrong second derivatives" in " ".join(
        ended.words.split()
    )


def check_hessians(case, line, tmp_path):
    out = tmp_path / "surface.h5"
    case.surface(out, plane=(line,))
    ended = run_alone(["landscape_mpi.hessian", str(out), "--tolerance=1e-6"])
    assert ended.status == 0, ended.words
    with h5py.File(out) as file:
        vectors = {name: torch.tensor(v[()]) for name, v in flat(file["directions/alpha"])}
        for number, alpha in enumerate(file["alpha"]):
            network = case.center()
            move(network, float(alpha), vectors)
            values = dense_eigenvalues(network.eval(), list(vectors), case)
            assert file["hessian_max"][number, 0] == pytest.approx(values[-1], rel=1e-3)
            assert file["hessian_min"][number, 0] == pytest.approx(values[0], rel=1e-3)


def dense_eigenvalues(network: nn.Module, names: list[str], case: NetworkFile) -> np.ndarray:
    """Return the eigenvalues of the Hessian of the mean loss in some parameters, ascending."""
    inputs, targets = case.samples()
    named = dict(network.named_parameters())
    parameters = [named[name] for name in names]
    with sdpa_kernel(SDPBackend.MATH):  # the only one that torch differentiates twice
        loss = case.losses(network(inputs), targets).mean()
    first = torch.autograd.grad(loss, parameters, create_graph=True)
    slopes = torch.cat([part.flatten() for part in first])
    rows = [torch.autograd.grad(slope, parameters, retain_graph=True) for slope in slopes]
    matrix = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])
    return np.linalg.eigvalsh(matrix.double().numpy())


def test_eigenvalues_of_sorted_samples_are_of_all_classes_or_said(tmp_path):
    case = network_file("targets:linear_of_four", "samples:sorted_rows")
    case.surface(tmp_path / "x.h5", "--batch=1000", plane=("--x=0",))
    ended = run_alone(["landscape_mpi.hessian", str(tmp_path / "x.h5"), "--batch=1000"])
    assert ended.status == 0, ended.words
    expected = dense_eigenvalues(case.build(), ["weight"], case)[-1]
    with h5py.File(tmp_path / "x.h5") as file:
        close = file["hessian_max"][0, 0] == pytest.approx(expected, rel=0.05)
    assert close or "classes" in ended.words


@pytest.mark.parametrize(
    ("name", "data"),
    [
        *(("weights_read:Views", "rows"), ("set_up:fused", "rows"), ("set_up:Deployed", "images")),
        ("set_up:FusedByHook", "rows"),
    ],
)
def test_derivatives_that_do_not_reach_the_weights_are_refused(name, data, tmp_path):
    network_file(name, f"samples:{data}").surface(tmp_path / "x.h5", plane=("--x=0:0.5:2",))
    before = (tmp_path / "x.h5").read_bytes()
    ended = run_alone(["landscape_mpi.hessian", str(tmp_path / "x.h5")])
    assert ended.status == 2, ended.words
    assert "forward reads copies of weights that derivatives do not reach" in ended.words
    assert (tmp_path / "x.h5").read_bytes() == before
