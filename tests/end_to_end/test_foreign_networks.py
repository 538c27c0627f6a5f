"""Networks, data and losses of every kind that people bring: the right number, or a refusal.

Oracle: a plain loop over the unmodified network (plain_loop.py), which imports nothing of the
package: built by the user's function, its weights loaded in training mode, moved by the vectors of
the file, called in evaluation mode on the real samples. What torch itself cannot give one number
for is refused with a sentence that names the cause and the way out, and nothing is written.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from foreign_networks.cases import (
    CLOSE,
    COLORS,
    IMAGES,
    NUMBERS,
    PACKAGE,
    PENALISED,
    PLANE,
    ROWS,
    SEQUENCES,
    TESTS,
    TOKENS,
    Case,
    check_losses,
    check_refusal,
    command,
    found,
)
from one_process import run_alone
from plain_loop import plain_losses
from torch.nn import functional

READ_WEIGHTS = [
    *(
        Case(f"weights_read:by_{name}", loss=PENALISED, trained=True)
        for name in ("parameters", "names", "vector", "state_dict", "modules")
    ),
    *(
        Case(f"weights_read:{name}")
        for name in ("ByState", "Called", "Flat", "Views", "Listed", "Generated", "Closed")
    ),
    *(
        Case(f"weights_read:{name}")
        for name in ("ByDictionary", "GradViews", "BufferOfWeight", "Transposed", "Clamped")
    ),
    Case("weights_read:LongLetters", TOKENS),
    Case("weights_read:Temperature"),
    Case("weights_read:StaleView"),
    Case("weights_read:Views", trained=True),
]
BRANCHES = [
    *(
        Case(f"branches:{name}", SEQUENCES)
        for name in ("Masked", "InnerMasked", "Keywords", "MaskedByData", "Shaped")
    ),
    *(
        Case(f"branches:{name}")
        for name in ("Gated", "Deep", "Where", "ByTraining", "AnyNumber", "Differentiated")
    ),
    *(Case(f"branches:{name}") for name in ("Solved", "Longest", "Cut", "CutOrNot")),
    Case("branches:Hooked", IMAGES),
]
REPARAMETRISED = [
    *(
        Case(f"reparametrised:{name}", trained=True)
        for name in (
            *("pruned", "pruned_with_norm", "old_weight_norm", "old_weight_norm_with_norm"),
            *("old_spectral_norm", "weight_norm", "spectral_norm", "orthogonal", "symmetric"),
        )
    ),
    Case("reparametrised:pruned"),
    Case("reparametrised:pruned_convolutions", IMAGES, trained=True),
    Case("reparametrised:standardised", IMAGES),
    Case("reparametrised:binary"),
]
NORMALISED = [
    *(
        Case(f"normalised:{name}", SEQUENCES)
        for name in ("linear_over_tokens", "linear_over_as_many_tokens")
    ),
    *(
        Case(f"normalised:{name}", IMAGES)
        for name in (
            *("Twice", "OneNorm", "BothRead", "WeightReadToo", "ByFunction", "frozen"),
            *("norm_and_activation", "synchronised", "channels", "lengths"),
        )
    ),
    Case("normalised:plain", IMAGES, options=("--ignore=none",)),
    Case("normalised:volumes", "samples:volumes"),
    Case("normalised:instance_with_statistics", IMAGES, trained=True),
]
SET_UP = [
    *(
        Case(f"set_up:{name}", trained=trained)
        for name in ("low_rank", "fused", "Copies", "copies_by_hook", "Transposing", "Scaled")
        for trained in (False, True)
    ),
    Case("set_up:low_rank", trained=True, options=("--only=trainable",)),
    Case("set_up:Deployed", IMAGES, trained=True),
    Case("set_up:Renames", trained=True),
    Case("set_up:Grows", trained=True),
    *(
        Case(f"set_up:{name}", trained=trained)
        for name in ("FusedByHook", "FusedByLoading", "Versioned")
        for trained in (False, True)
    ),
    Case("set_up:versioned_part", trained=True),
    *(
        Case(f"set_up:{name}", IMAGES, trained=trained)
        for name in ("lazy_linear", "lazy_all")
        for trained in (False, True)
    ),
]
LAYOUTS = [
    *(
        Case(f"layouts:{name}", COLORS)
        for name in ("Viewed", "Shuffled", "Strided", "AsksStrides", "AsksFormat", "AsksWeights")
    ),
    Case("layouts:InPlace", COLORS),
    Case("layouts:InPlaceRows"),
]
KEPT = [
    *(Case(f"kept:{n}", IMAGES) for n in ("InAttribute", "InClosure", "InModule", "InLayer")),
    Case("kept:InList", IMAGES),
    *(Case(f"kept:{name}", SEQUENCES) for name in ("HiddenReset", "Cached", "encoder")),
]
SHAPES = [
    Case("shapes:classes_second", "shapes:tagged"),
    Case("shapes:classes_last", "shapes:tagged", classes_last=True),
    Case("shapes:segmenter", "shapes:segmented"),
    Case("shapes:Protein", "samples:letters"),
    Case("shapes:Packed", TOKENS),
    Case("shapes:Chosen", "shapes:chosen_rows"),
    Case("shapes:squeezed", NUMBERS, "mse"),
]
TARGETS = [
    Case("targets:linear", "targets:rows_in_part"),
    Case("targets:density", NUMBERS, "targets:likelihood", trained=True),
    Case("targets:tied_by_data", "samples:codes", "mse"),
    Case("targets:copied", "samples:codes", "mse"),
    Case("targets:OneParameter", "targets:following", "targets:language"),
]
TYPES = [
    Case("number_types:double", "samples:exact_numbers", "mse", trained=True),
    Case("number_types:untrained"),
    Case("number_types:DoubleOut"),
    Case("number_types:Whole"),
]
WRAPPED = [
    *(
        Case(f"wrapped:{name}", trained=True)
        for name in ("as_model", "parallel", "compiled", "averaged", "swapped")
    ),
    *(Case(f"wrapped:{name}") for name in ("scripted", "scripted_part", "traced", "checkpointed")),
]
DRAWN = [Case(f"drawn:{name}", NUMBERS, "mse") for name in ("Buffered", "Idle")]
RIGHT = [
    *(*READ_WEIGHTS, *BRANCHES, *REPARAMETRISED, *NORMALISED, *SET_UP, *LAYOUTS, *KEPT),
    *(*SHAPES, *TARGETS, *TYPES, *WRAPPED, *DRAWN),
]


# Torch computes these in more than one way, or not at every point: no number may be wrong.
RIGHT_OR_REFUSED = [
    Case("set_up:MadeInForward"),
    Case("number_types:Mixed", NUMBERS, "mse"),
]
REFUSED = [
    (Case("normalised:without_statistics", IMAGES), "without running statistics"),
    (Case("normalised:rows_without_statistics"), "without running statistics"),
    (Case("normalised:kept_in_training", IMAGES), "training mode"),
    (Case("kept:CachedWeights"), "weights that the network has"),
    (Case("kept:HiddenKept", SEQUENCES), "changing state"),
    (Case("set_up:MadeInForward", trained=True), "head"),
    (Case("drawn:by_nobody", NUMBERS, "mse"), "random"),
    (Case("drawn:by_clock", NUMBERS, "mse"), "random"),
    (Case("drawn:Counting", NUMBERS, "mse"), "changing state"),
    (Case("drawn:Dropping", NUMBERS, "mse"), "dropout"),
    (Case("drawn:Noisy", NUMBERS, "mse"), "second time"),
    (Case("drawn:NoisyByNumpy", NUMBERS, "mse"), "second time"),
    (Case("drawn:Seldom", NUMBERS, "mse"), "second time"),
    (Case("drawn:Running", NUMBERS, "mse"), "changing state"),
    (Case("branches:ByGradients"), "torch.no_grad()"),
    (Case("branches:EarlyExit"), "depend on the other samples of its batch"),
    (Case("drawn:Centered", NUMBERS, "mse"), "other samples of its batch"),
    (Case("shapes:as_many_second", "shapes:tagged_as_many"), "--class-axis"),
    (Case("shapes:as_many_last", "shapes:tagged_as_many"), "--class-axis"),
    (Case("shapes:Total"), "returns [] for 3 rows"),
    (Case("shapes:SqueezedAll"), "squeeze(-1)"),
    (Case("shapes:Pair"), "not a tensor"),
    (Case("shapes:Named"), "logits"),
    (Case("targets:linear", "targets:rows_without"), "--ignore-index"),
    (Case("shapes:ByKeyword"), "write a problem: --problem"),
    (Case("targets:linear", "targets:one_hot"), "targets.argmax(1)"),
    (Case("number_types:HalfInside"), "16-bit weights become float32"),
    (Case("number_types:Complex"), "complex"),
    (Case("number_types:NoParameters"), "no parameters"),
    (Case("number_types:meta"), "meta"),
    (Case("number_types:ToCuda"), "cuda"),
    (Case("number_types:on_cuda"), "cuda"),
]


@pytest.mark.parametrize("case", RIGHT, ids=str)
def test_the_right_number(case, tmp_path):
    out = tmp_path / "surface.h5"
    words, state = command(case, tmp_path, out)
    ended = run_alone(words, threads=2)
    assert ended.status == 0, ended.words
    check_losses(case, out, state)


@pytest.mark.parametrize("case", KEPT, ids=str)
def test_the_same_bits_on_one_thread_and_on_two(case, tmp_path):
    losses = []
    for threads in (1, 2):
        words, _ = command(case, tmp_path, tmp_path / f"{threads}.h5")
        ended = run_alone(words, threads=threads)
        assert ended.status == 0, ended.words
        with h5py.File(tmp_path / f"{threads}.h5") as file:
            losses.append(file["train_loss"][()])
    np.testing.assert_array_equal(*losses)


@pytest.mark.parametrize("case", RIGHT_OR_REFUSED, ids=str)
def test_no_wrong_number(case, tmp_path):
    out = tmp_path / "surface.h5"
    words, state = command(case, tmp_path, out)
    ended = run_alone(words, threads=2)
    if ended.status == 0:
        check_losses(case, out, state)
    else:
        check_refusal(ended, out, "--model")


@pytest.mark.parametrize(("case", "cause"), REFUSED, ids=str)
def test_a_refusal_that_names_the_cause(case, cause, tmp_path):
    out = tmp_path / "surface.h5"
    words, _ = command(case, tmp_path, out)
    check_refusal(run_alone(words, threads=2), out, cause)


LINES = ("set_up:Measuring", "set_up:FusedByHook", "set_up:low_rank", "branches:Longest")


@pytest.mark.parametrize("name", LINES)
def test_the_line_between_two_solutions(name, tmp_path):
    """Both ends hold what a network derives from its weights; no point between does."""
    build, (inputs, classes) = found(name), found(ROWS)()["train"]
    states = []
    for number in range(2):
        network = build()
        with torch.no_grad():
            for parameter in network.parameters():
                draw = torch.Generator().manual_seed(number)
                parameter.add_(0.4 * torch.randn(parameter.shape, generator=draw))
        states.append(network.eval().train().state_dict())
        torch.save(states[-1], tmp_path / f"{number}.pt")
    words = [*command(Case(name), tmp_path, tmp_path / "x.h5")[0], f"--to={tmp_path / '1.pt'}"]
    words = [word for word in words if word not in PLANE[:2]] + ["--x=-0.5:1:4", "--ignore=none"]
    ended = run_alone([*words, f"--checkpoint={tmp_path / '0.pt'}"], threads=2)
    assert ended.status == 0, ended.words
    expected = []
    for step in (-0.5, 0.0, 0.5, 1.0):
        network, (first, second) = build(), states
        network.load_state_dict({k: first[k] + step * (second[k] - first[k]) for k in first})
        expected.append(functional.cross_entropy(network.eval()(inputs), classes).item())
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], expected, rtol=CLOSE)


@pytest.mark.parametrize(("name", "dtype"), [("half", "float16"), ("brain", "bfloat16")])
def test_lower_precision_is_computed_in_or_said(name, dtype, tmp_path):
    case = Case(f"number_types:{name}")
    out = tmp_path / "surface.h5"
    words, _ = command(case, tmp_path, out)
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    assert dtype in ended.words
    expected = plain_losses(out, lambda: found(case.network)().float(), found(ROWS)()["train"])
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)


def test_the_same_plane_for_a_wrapped_network(tmp_path):
    moved = []
    for name in ("bare", "as_model", "parallel", "compiled_part"):
        words, _ = command(Case(f"wrapped:{name}"), tmp_path, tmp_path / f"{name}.h5")
        ended = run_alone(words)
        assert ended.status == 0, ended.words
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
    check_refusal(run_alone(["landscape_mpi.surface", f"--model={model}", *others]), out, words)


# On ranks: each builds the network for itself.

ON_RANKS = [
    Case("weights_read:by_vector", loss=PENALISED, trained=True),
    Case("branches:Masked", SEQUENCES),
    Case("reparametrised:pruned_with_norm", trained=True),
    Case("set_up:low_rank", trained=True),
    Case("set_up:lazy_all", IMAGES),
    Case("layouts:Strided", COLORS),
    Case("kept:InClosure", IMAGES),
    Case("shapes:segmenter", "shapes:segmented"),
    Case("number_types:double", "samples:exact_numbers", "mse", trained=True),
]


@pytest.mark.parametrize("case", ON_RANKS, ids=str)
def test_the_right_number_on_two_ranks(case, tmp_path, on_ranks):
    out = tmp_path / "surface.h5"
    words, state = command(case, tmp_path, out)
    on_ranks(2, [*words, "--ranks-per-point=2"], cwd=TESTS, check=True)
    check_losses(case, out, state)


def test_ranks_refuse_what_differs_between_them(tmp_path, on_ranks):
    out = tmp_path / "surface.h5"
    words, _ = command(Case("drawn:by_nobody", NUMBERS, "mse"), tmp_path, out)
    done = on_ranks(2, words, cwd=TESTS)
    assert done.returncode == 2
    assert "random" in done.stderr
    assert not out.exists()
