"""Networks in files, as users write them: threads, lines, types and wrappers.

Oracle: a plain loop over the unmodified network (plain_loop.py), which imports nothing of the
package; the same surface computed in another way, bit for bit; the words of a refusal.
"""

from __future__ import annotations

import functools

import h5py
import numpy as np
import pytest
import torch
from cases import table
from cases.network_files import CASES, PACKAGE, network_file
from one_process import run_alone
from plain_loop import plain_losses
from refusals import message_of
from torch.nn import functional

CLOSE = 1e-5  # relative
KEEPING = [*table.networks_in_files("kept"), CASES["entries:Kept---output=logits"]]


@pytest.mark.parametrize("case", KEEPING, ids=str)
def test_the_same_bits_on_one_thread_and_on_two(case, tmp_path):
    losses = []
    for threads in (1, 2):
        out = tmp_path / f"{threads}.h5"
        case.surface(out, run=functools.partial(run_alone, threads=threads))
        with h5py.File(out) as file:
            losses.append(file["train_loss"][()])
    np.testing.assert_array_equal(*losses)


LINES = ("set_up:Measuring", "set_up:FusedByHook", "set_up:low_rank", "branches:Longest")


@pytest.mark.parametrize("name", LINES)
def test_the_line_between_two_solutions(name, tmp_path):
    """Both ends hold what a network derives from its weights; no point between does."""
    case, states = network_file(name), []
    build, (inputs, classes) = case.build, case.samples()
    for number in range(2):
        network = build()
        with torch.no_grad():
            for parameter in network.parameters():
                draw = torch.Generator().manual_seed(number)
                parameter.add_(0.4 * torch.randn(parameter.shape, generator=draw))
        states.append(network.eval().train().state_dict())
        torch.save(states[-1], tmp_path / f"{number}.pt")
    ends = f"--checkpoint={tmp_path / '0.pt'}", f"--to={tmp_path / '1.pt'}"
    case.surface(tmp_path / "x.h5", *ends, "--ignore=none", plane=("--x=-0.5:1:4",))
    expected = []
    for step in (-0.5, 0.0, 0.5, 1.0):
        network, (first, second) = build(), states
        network.load_state_dict({k: first[k] + step * (second[k] - first[k]) for k in first})
        expected.append(functional.cross_entropy(network.eval()(inputs), classes).item())
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], expected, rtol=CLOSE)


@pytest.mark.parametrize(("name", "dtype"), [("half", "float16"), ("brain", "bfloat16")])
def test_lower_precision_is_computed_in_or_said(name, dtype, tmp_path):
    case, out = network_file(f"number_types:{name}"), tmp_path / "surface.h5"
    assert dtype in case.surface(out).words
    expected = plain_losses(out, lambda: case.build().float(), case.samples())
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)


def test_the_same_plane_for_a_wrapped_network(tmp_path):
    moved = []
    for name in ("bare", "as_model", "parallel", "compiled_part"):
        network_file(f"wrapped:{name}").surface(tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5") as file:
            vectors = file["directions/alpha"]
            moved.append({key.split(".")[-2]: vectors[key][()] for key in vectors})
    for others in moved[1:]:
        np.testing.assert_equal(others, moved[0])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gc:network", "has no function 'network'"),
        (f"{PACKAGE}.number_types:on_cuda", "number_types.py"),
    ],
)
def test_a_function_that_is_not_there_or_raises(model, words, tmp_path):
    out = tmp_path / "surface.h5"
    others = ["--data=digits", "--x=0", f"--out={out}"]
    ended = run_alone(["landscape_mpi.surface", f"--model={model}", *others])
    assert words in message_of(ended.status, ended.words)
    assert not out.exists()
