"""Problems that few people bring: eigenvalues, and refusals that name the cause.

Oracle: dense second derivatives that torch takes of the problem's own loss; the words of a
message. The surfaces themselves are compared in test_cases.py.
"""

from __future__ import annotations

import copy

import h5py
import pytest
import torch
from cases import problem_files
from one_process import run_alone
from problems import unusual

REFUSED = {
    "without_gradients": "where gradients are off (if it takes derivatives, let it turn them on",
    "list_of_two": "which may be the losses of two samples or (sum, count)",
    "of_outputs_and_targets": "called with (network, batch), not with (outputs, targets)",
    "method_of_one_network": "pass a function, e.g. lambda network, batch: network.loss(batch)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_that_names_the_cause(name, tmp_path):
    out = tmp_path / "surface.h5"
    ended = run_alone(problem_files.unusual(name).words(out))
    assert ended.status == 2, ended.words
    assert ended.words.count("error: ") == 1
    assert REFUSED[name] in ended.words
    assert not out.exists()


def test_what_changes_during_a_run_is_found_at_its_end_and_marked_as_not_computed(tmp_path):
    out = tmp_path / "surface.h5"
    words = problem_files.unusual("scheduled").words(out, plane=("--x=-1:1:60",))
    for _ in range(2):  # the second run computes all points again, and does not call them complete
        ended = run_alone(words)
        assert ended.status == 2, ended.words
        assert ended.words.count("error: ") == 1
        assert "at the end of the run than at its beginning" in ended.words
        assert "marked as not computed" in ended.words
        with h5py.File(out) as file:
            assert not file["done"][()].any()


def test_eigenvalues_of_what_changes_are_marked_as_not_computed_and_the_losses_stay(tmp_path):
    out = tmp_path / "surface.h5"
    problem_files.unusual("scheduled_by_slopes").surface(out, plane=("--x=-1:1:20",))
    ended = run_alone(["landscape_mpi.hessian", str(out), "--tolerance=1e-6"])
    assert ended.status == 2, ended.words
    assert "at the end of the run than at its beginning" in ended.words
    with h5py.File(out) as file:
        assert file["done"][()].all()
        assert not file["hessian_done"][()].any()


def test_a_run_that_has_no_memory_left_at_its_end_is_complete(tmp_path):
    ended = problem_files.unusual("without_memory_at_the_end").surface(tmp_path / "surface.h5")
    assert "too little memory is left to compare the center once more" in ended.words


HESSIANS = {
    "directional_derivative": "",
    "trained_in_place": "changes tensors in place that its derivatives need",
}


@pytest.mark.parametrize("name", HESSIANS)
def test_a_hessian_or_the_reason_why_there_is_none(name, tmp_path):
    out = tmp_path / "surface.h5"
    problem_files.UNUSUAL[name].surface(out, plane=("--x=0",))
    ended = run_alone(["landscape_mpi.hessian", str(out), "--tolerance=1e-6"])
    assert (ended.status == 2) == bool(HESSIANS[name]), ended.words
    assert HESSIANS[name] in ended.words
    if ended.status == 0:
        with h5py.File(out) as file:
            found = file["hessian_max"][0, 0]
            names = list(file["directions/alpha"])
        assert found == pytest.approx(largest_eigenvalue(name, names), rel=1e-3)


def largest_eigenvalue(name: str, names: list[str]) -> float:
    """Return the largest eigenvalue of the Hessian of the mean loss at the center, dense."""
    problem = getattr(unusual, name)()
    weights = [dict(problem.network.named_parameters())[key] for key in names]
    losses = torch.cat([problem.loss(problem.network, batch) for batch in problem.data])
    first = torch.autograd.grad(losses.mean(), weights, create_graph=True)
    rows = [
        torch.cat(
            [part.flatten() for part in torch.autograd.grad(slope, weights, retain_graph=True)]
        )
        for slope in torch.cat([part.flatten() for part in first])
    ]
    return torch.linalg.eigvalsh(torch.stack(rows).double())[-1].item()


def test_a_network_that_is_given_back_has_what_it_derives_from_its_weights():
    import landscape_mpi as lm

    network, batches = unusual.Fused(), unusual.batches()
    product = copy.deepcopy(network.product)
    lm.compute_surface(network, batches, loss=unusual.loss, x=(-1, 1, 3), progress=False)
    torch.testing.assert_close(network.product, product, rtol=0, atol=0)
