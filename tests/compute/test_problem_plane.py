"""Oracle: a user's own loop over batches, with weights added by hand (tests/cases/problem_case.py).

It shares no code with the package beside loading arrays into a network: it seeds generators by a
hash of its own, evaluates one batch after the other, and adds Python floats.
"""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import table
from cases.problem_case import batches_of, center_of, directions_of, plain_values
from cases.python_problems import (
    CASES,
    STEPS,
    Encoder,
    autoencoder,
    captured,
    changing,
    contrastive,
    drawn,
    halved,
    hooked,
    language,
    merging,
    physics,
)
from dense import state_at
from torch import nn

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Setting, mean_values
from landscape_mpi.compute.motion import PlaneMotion
from landscape_mpi.compute.network_loan import NetworkLoan
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.problem_plane import ProblemPlane
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.steps import steps_of
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.problem import Problem

POINTS = [(0.0, 0.0), (0.7, -0.3), (-1.0, 0.5), (0.0, 0.0)]


class Made:
    """A problem ready to be evaluated."""

    def __init__(self, device, problem, *, threads=1, steps=STEPS, budget=None, rows=slice(None)):
        dtype = None if problem.dtype is None else getattr(torch, problem.dtype)
        state = center_of(problem)
        self.problem, self.directions = problem, directions_of(state)
        self.network = ProblemNetwork(problem.network, state, device=device, dtype=dtype)
        self.setting = Setting(device_named(device), "fp32", 1, threads, steps=steps_of(steps))
        self.source = source_of(problem, "train")
        self.split = ProblemSplit(
            self.source,
            rows,
            n_functions=len(problem.functions),
            device=device,
            dtype=dtype,
            budget=budget,
        )
        self.plane = self.plane_of(self.setting)

    def plane_of(self, setting):
        return ProblemPlane(
            self.network,
            PlaneMotion(self.directions),
            {"train": self.split},
            setting,
            functions=self.problem.functions,
            seed=self.problem.seed,
        )


@pytest.mark.parametrize("case", table.with_closed_form(), ids=str)
def test_the_plain_loop_agrees_with_closed_forms(case):
    tiny = case.closed_form()
    state = state_at(tiny.build(), directions_of(center_of(case.make())), *POINTS[1])
    (found,) = plain_values(case.make, *POINTS[1])
    assert found == pytest.approx(float(tiny.mean(state)), rel=1e-12)


@pytest.mark.parametrize("case", table.in_python(), ids=str)
def test_values_are_those_of_a_plain_loop(case, device):
    made = Made(device, case.on(device), threads=2, steps=case.steps)
    for alpha, beta in POINTS:
        found = made.plane.evaluate(alpha, beta)
        expected = plain_values(case.make, alpha, beta)
        np.testing.assert_allclose(found, expected, rtol=case.close)
    noisy = "batch by batch, each with its own random numbers"
    is_alone = "threads" not in case.steps or device != "cpu"
    quiet = "batch by batch" if is_alone else "batches distributed over threads"
    assert made.plane.launching == (noisy if case.draws else quiet)


@pytest.mark.parametrize("case", table.in_python(), ids=str)
def test_bits_depend_on_neither_threads_nor_ranks_nor_memory(case, device):
    n = len(Made(device, case.on(device)).split)
    expected = None
    for n_ranks in (1, 2, 3):
        for threads in (1, 2, 3):
            budget = None if threads != 2 else 200  # the last batches are read at every point
            ends = [n * rank // n_ranks for rank in range(n_ranks + 1)]
            options = {"threads": threads, "steps": case.steps, "budget": budget}
            ranks = [
                Made(device, case.make(), rows=slice(*part), **options)
                for part in itertools.pairwise(ends)
            ]
            values = []
            for point in POINTS:
                for rank in ranks:
                    rank.plane.compute_losses(*point)
                kept = zip(*(rank.split.kept for rank in ranks), strict=True)
                whole = tuple(torch.cat(columns) for columns in kept)
                finishes = [f.finish for f in ranks[0].problem.functions]
                values.append(mean_values([whole], finishes=finishes).tobytes())
            expected = expected or values
            assert values == expected, (n_ranks, threads)
    assert expected[0] == expected[-1]


@pytest.mark.parametrize("case", table.in_python(), ids=str)
def test_no_step_changes_a_bit(case, device):
    plain = Made(device, case.on(device), steps=())
    expected = [plain.plane.evaluate(*point).tobytes() for point in POINTS]
    for steps in ({"uncopied"}, {"views"}, set(STEPS)):
        made = Made(device, case.make(), steps=steps & set(case.steps))
        assert [made.plane.evaluate(*point).tobytes() for point in POINTS] == expected


def test_what_is_around_does_not_change_the_random_numbers(device):
    expected = [Made(device, autoencoder()).plane.evaluate(*point) for point in POINTS]
    torch.manual_seed(5)
    np.random.seed(5)
    made = Made(device, autoencoder(), threads=3)
    assert np.array_equal([made.plane.evaluate(*point) for point in POINTS], expected)
    before = torch.get_rng_state()
    made.plane.evaluate(0.1, 0.1)
    assert torch.equal(torch.get_rng_state(), before)
    problem = replace(autoencoder(), seed=4)
    assert not np.array_equal(Made(device, problem).plane.evaluate(0.0, 0.0), expected[0])


def test_a_loss_that_seeds_a_generator_itself_runs_alone(device):
    def loss(network, batch):
        torch.manual_seed(0)
        return (network(batch) * torch.randn(3, device=batch.device)).sum(1)

    def make():
        return Problem(Encoder(), [drawn(3, 6, seed=i) for i in range(9)], loss)

    made = Made(device, make(), threads=3)
    for point in POINTS:
        np.testing.assert_allclose(made.plane.evaluate(*point), plain_values(make, *point), 1e-6)
    assert made.plane.launching.startswith("batch by batch, ")


def test_random_numbers_that_are_drawn_at_some_points_only(device):
    def loss(network, batch):
        found = network(batch)
        return found.sum(1) + (torch.rand(3, device=batch.device) if found.max() > 0.9 else 0.0)

    def make():
        torch.manual_seed(1)
        return Problem(nn.Linear(6, 2), batches, loss)

    batches = [drawn(3, 6, seed=i) for i in range(6)]
    for points in ([(0.0, 0.0), (1.0, 0.0), (0.0, 0.0)], [(1.0, 0.0), (0.0, 0.0)]):
        alone, threaded = Made(device, make()), Made(device, make(), threads=3)
        for point in points:
            assert alone.plane.evaluate(*point) == threaded.plane.evaluate(*point)


def test_a_loss_without_a_network_argument_follows_the_weights(device):
    made = Made(device, captured(), threads=3)
    values = {point: float(made.plane.evaluate(*point)[0]) for point in POINTS}
    assert len(set(values.values())) == 3


def test_planes_take_turns_with_one_network(device):
    for make in (language, merging, hooked):
        steps = {"views"} if make is not merging else set()
        made = Made(device, make(), steps=steps)
        other = made.plane_of(
            Setting(device_named(device), "fp32", 1, 2, steps=steps_of(("threads",)))
        )
        third = made.plane_of(made.setting)
        for point in POINTS:
            expected = Made(device, make(), steps=()).plane.evaluate(*point).tobytes()
            for plane in (made.plane, other, third, made.plane):
                assert plane.evaluate(*point).tobytes() == expected


def test_a_batch_that_is_changed_is_read_again_and_copied(device):
    made = Made(device, changing())
    assert not made.split.is_changed
    first = made.plane.evaluate(0.3, 0.0)
    assert made.split.is_changed
    assert made.plane.evaluate(0.3, 0.0).tobytes() == first.tobytes()
    assert first[0] == first[1]  # the metric is the loss again
    assert made.source.read(0)["x"].min() < 0  # the user's own batch


def test_batches_that_do_not_fit_are_streamed(device):
    made = Made(device, language(), budget=500)
    assert 0 < made.split.n_bytes <= 500
    assert not made.split.is_resident
    assert Made(device, language()).split.is_resident
    assert Made(device, language(), budget=0).split.n_bytes == 0


def test_streamed_batches_must_be_the_same_again(device):
    class Restless:
        """Draws from a generator of its own."""

        generator = np.random.default_rng(0)

        def __len__(self):
            return 2

        def __getitem__(self, i):
            if i >= 2:
                raise IndexError
            return torch.from_numpy(self.generator.standard_normal(6)).float()

    problem = Problem(Encoder(), Restless(), lambda network, batch: network(batch).sum(1))
    made = Made(device, problem, budget=0)
    with pytest.raises(InputError, match=r"batch 0 of data\['train'\] has other values when it is"):
        made.plane.evaluate(0.0, 0.0)


def test_rows_are_numbers_of_batches(device):
    whole, some = Made(device, language()), Made(device, language(), rows=np.array([1, 4]))
    whole.plane.compute_losses(0.5, 0.5)
    some.plane.compute_losses(0.5, 0.5)
    assert torch.equal(some.split.values, whole.split.values[[1, 4]])
    assert len(some.split) == 2
    values, losses = whole.plane.look_at(0.5, 0.5, whole.split, slice(1, 3))
    assert torch.equal(values, whole.split.values[1:3])
    assert torch.equal(losses, whole.split.losses[1:3])
    assert torch.equal(whole.plane.losses_at(0.5, 0.5, some.split), some.split.losses)


def test_a_plane_takes_other_batches(device):
    made, other = Made(device, contrastive()), Made(device, contrastive(), rows=slice(0, 2))
    made.plane.take({"train": other.split}, other.split)
    assert made.plane.evaluate(0.2, 0.0) == other.plane.evaluate(0.2, 0.0)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda x: x.mean(), r"returned one number for batch 0 of data\['train'\] at alpha = 0.5"),
        (lambda x: 0.3, r"for a mean over n, \(mean \* n, n\)"),
        (lambda x: x[:, None], r"returned a tensor \[3, 1\] of float32 .* Return the losses"),
        (lambda x: None, "returned None for batch 0"),
        (lambda x: {"loss": x}, "returned a dict for batch 0"),
        (lambda x: (x, 3), r"returned a pair with a tensor \[3\] of float32 in it"),
        (lambda x: (x.sum(), None), "returned a pair with None in it"),
        (lambda x: (1, 2, 3), "returned a tuple of 3"),
        (lambda x: x.to(torch.complex64), r"returned a tensor \[3\] of complex64"),
    ],
)
def test_what_a_loss_may_not_return(returned, words, device):
    problem = Problem(Encoder(), [drawn(3, 6)], lambda network, x: returned(network(x).sum(1)))
    with pytest.raises(InputError, match=words):
        Made(device, problem).plane.evaluate(0.5, 0.0)


@pytest.mark.parametrize(
    "returned",
    [
        lambda x: (x.sum(), 3),
        lambda x: [x.double().sum().item(), torch.tensor(3)],
        lambda x: (x.sum()[None], np.int64(3)),
        lambda x: x.requires_grad_(),
        lambda x: (np.float32(x.sum().item()), torch.tensor([3.0])),
    ],
)
def test_what_a_loss_may_return(returned, device):
    problem = Problem(Encoder(), [drawn(3, 6)], lambda network, x: returned(network(x).sum(1)))
    expected = Encoder()(drawn(3, 6)).sum(1).mean().item()
    assert Made(device, problem).plane.evaluate(0.0, 0.0) == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_loss_that_raises(threads, device):
    def loss(network, batch):
        if batch.max() > 1:
            raise ValueError("no such thing")
        return batch.sum(1)

    batches = [torch.full((3, 6), float(i)) for i in range(6)]
    made = Made(device, Problem(Encoder(), batches, loss), threads=threads)
    with pytest.raises(
        UserCodeError, match="raised on batch 2 .* ValueError: no such thing"
    ) as got:
        made.plane.evaluate(0.25, 0.0)
    assert "at alpha = 0.25, beta = 0" in str(got.value)
    assert 'raise ValueError("no such thing")' in str(got.value)
    assert "landscape_mpi/compute" not in str(got.value)


def test_a_loss_of_a_library_that_raises(device):
    problem = Problem(Encoder(), [drawn(3, 6)], nn.functional.linear)
    with pytest.raises(UserCodeError, match="Problem: loss raised on batch 0 .* TypeError"):
        Made(device, problem).plane.evaluate(0.0, 0.0)


def test_means_that_are_no_numbers_of_this_world(device):
    def nothing(network, batch):
        return 0.0, 0

    problem = Problem(
        Encoder(),
        [drawn(3, 6)],
        lambda network, batch: network(batch).sum(1) + 1e4,
        metrics={"perplexity": (lambda n, b: n(b).sum(1) + 1e4, math.exp)} | {"nothing": nothing},
    )
    loss, perplexity, empty = Made(device, problem).plane.evaluate(0.0, 0.0)
    assert loss > 9000
    assert perplexity == np.inf
    assert np.isnan(empty)


def test_what_a_problem_does_not_do(device):
    made = Made(device, language())
    for changed, words in (
        ({"precision": "bf16"}, "--precision bf16: a problem computes in the types"),
        ({"compiled": True}, "--compile on, --points-at-once 1: a problem's loss is called"),
        ({"points": 4}, "--compile off, --points-at-once 4"),
    ):
        with pytest.raises(InputError, match=words):
            made.plane_of(replace(made.setting, **changed))


def test_a_finish_that_raises(device):
    def finish(mean):
        raise ValueError("below 0")

    metrics = {"bits": (lambda n, b: n(b).sum(1), finish)}
    problem = Problem(Encoder(), [drawn(3, 6)], lambda n, b: n(b).sum(1), metrics=metrics)
    with pytest.raises(UserCodeError, match="finishes a metric raised for .* below 0"):
        Made(device, problem).plane.evaluate(0.0, 0.0)


@pytest.mark.parametrize("make", [language, physics, merging, halved])
def test_a_network_is_given_back_as_it_was(make, device):
    problem = make()
    network = problem.network.train()
    network.head = getattr(network, "head", None) or nn.Linear(1, 1)
    network.head.eval()
    parameter = next(network.parameters())
    parameter.grad = torch.ones_like(parameter)
    list(network.parameters())[-1].requires_grad_(False)
    trained = [tensor.requires_grad for tensor in network.parameters()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    places = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    loan = NetworkLoan(network)
    made = Made(device, problem, steps=CASES[make.__name__].steps)
    made.plane.evaluate(0.7, 0.2)
    moved = next(network.parameters())
    assert moved.device == torch.device(device)
    assert not torch.equal(moved.float().cpu(), next(iter(state.values())))
    for tensor in network.parameters():  # as what is differentiated does
        tensor.requires_grad_(True)
    loan.give_back()
    assert [tensor.requires_grad for tensor in network.parameters()] == trained
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name])
        assert tensor.data_ptr() == places[name]
    assert network.training
    assert not network.head.training
    assert parameter.grad.sum() == parameter.numel()
    batch = batches_of(make())[0]
    if make is merging:
        before = merging().network(batch)
        torch.testing.assert_close(network(batch), before)
        torch.testing.assert_close(network.eval()(batch), merging().network.eval()(batch))


class Standing(nn.Module):
    """A network whose values tell its modes apart."""

    def __init__(self):
        super().__init__()
        self.net, self.noise = Encoder(), nn.Identity()

    def forward(self, x):
        return self.net(x) + 1.0 * self.training + 2.0 * self.noise.training


def training_it(network, batch):
    network.train()
    return network(batch).sum(1)


def as_it_is(network, batch):
    return network(batch).sum(1)


def late_training(network, batch):
    found = as_it_is(network, batch)
    network.noise.train(batch.shape[0] == 2)
    return found


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("loss", [training_it, late_training])
def test_modes_that_a_loss_sets_last_for_its_call(loss, threads, device):
    batches = [drawn(2 + k % 3, 6, seed=k) for k in range(6)]
    problem = Problem(Standing(), batches, loss, metrics={"plain": as_it_is})
    found = Made(device, problem, threads=threads).plane.evaluate(0.0, 0.0)
    network = problem.network.eval().cpu()
    with torch.no_grad():
        expected = torch.cat([as_it_is(network, batch) for batch in batches]).double().mean()
    shift = 9.0 if loss is training_it else 0.0  # three outputs are added
    np.testing.assert_allclose(found, [float(expected) + shift, float(expected)], rtol=1e-6)


def is_fifth(batch):
    return torch.equal(batch.cpu(), drawn(3, 6, seed=4))


def scaling(network, batch):
    with torch.no_grad():
        if is_fifth(batch):
            next(network.parameters()).data.mul_(1.5)
        return network(batch).sum(1)


def replacing(network, batch):
    if is_fifth(batch):
        parameter = next(network.parameters())
        parameter.data = parameter.data.clone()
    return network(batch).sum(1)


def renewing(network, batch):
    if is_fifth(batch):
        network[0].net[0].weight = nn.Parameter(network[0].net[0].weight.detach().clone())
    return network(batch).sum(1)


def gathering(network, batch):
    if is_fifth(batch):
        network.train()
    return network(batch).sum(1)


def normed():
    return nn.Sequential(Encoder(), nn.BatchNorm1d(3))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("steps", [STEPS, ("threads", "uncopied")])
@pytest.mark.parametrize("loss", [scaling, replacing, renewing, gathering])
def test_weights_that_a_late_batch_changes_are_noticed(loss, steps, threads, device):
    problem = Problem(normed(), batches_seven(), loss)
    made = Made(device, problem, steps=steps, threads=threads)
    if loss in (replacing, renewing) and "views" not in steps:  # the next point is copied in
        for point in POINTS:
            plain = Made(device, Problem(normed(), batches_seven(), as_it_is))
            assert made.plane.evaluate(*point) == plain.plane.evaluate(*point)
        return
    words = "replaces parameters" if loss in (replacing, renewing) else "changes weights or buffers"
    with pytest.raises(InputError, match=words):
        made.plane.evaluate(0.5, 0.0)


def batches_seven():
    return [drawn(3, 6, seed=k) for k in range(7)]


class Renormed(nn.Module):
    """Rows of its table are made shorter in place when they are looked up."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(9, 4, max_norm=0.7)

    def forward(self, rows):
        return self.table(rows)


def test_changes_that_do_no_harm_are_undone(device):
    batches = [torch.tensor([[k, (k + 1) % 9]]) for k in range(9)]

    def loss(network, batch):
        return network(batch).square().flatten(1).sum(1)

    made = Made(device, Problem(Renormed(), batches, loss))
    found = made.plane.evaluate(0.0, 0.0)
    network = Renormed()
    with torch.no_grad():
        expected = torch.cat([loss(network, batch) for batch in batches]).double().mean()
    np.testing.assert_allclose(found, [float(expected)], rtol=1e-6)
    made.plane.evaluate(0.5, 0.2)
    assert made.plane.evaluate(0.0, 0.0) == found


@pytest.mark.parametrize("count", [-3.0, math.nan, math.inf])
def test_a_count_that_is_none_is_refused_at_every_point(count, device):
    known = float(next(Encoder().parameters()).detach().sum())

    def loss(network, batch):
        is_moved = abs(float(next(network.parameters()).sum()) - known) > 1e-3
        return network(batch).sum(), count if is_moved and is_fifth(batch) else 3

    made = Made(device, Problem(Encoder(), batches_seven(), loss))
    assert np.isfinite(made.plane.evaluate(0.0, 0.0)).all()
    with pytest.raises(InputError, match=rf"a count of {count:g} for batch 4 of data\['train'\]"):
        made.plane.evaluate(0.5, 0.0)
