"""Training on batches of any kind, and curves between two solutions of a problem.

Oracles: gradient descent written out with plain autograd; autograd's gradient of the mean over
places of a curve; closed-form losses of cases/closed_forms.py.
"""

from functools import partial

import numpy as np
import pytest
import torch
from cases import table
from cases.closed_forms import differential_equation
from cases.losses import N_CLASSES, ROWS, N
from cases.problem_case import values_of
from cases.python_problems import autoencoder, changing, language, physics
from dense import of_vector
from pytest_mpi import parallel_assert
from torch.func import grad

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.batch_tree import moved
from landscape_mpi.compute.curve import CurveNetwork, straight_points, weights_at
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cpu import CpuDevice
from landscape_mpi.compute.lent_batches import LentBatches
from landscape_mpi.compute.problem_losses import called
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.engine.rank_processes import RankProcesses
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.batch_task import BatchTask
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.process_group import ALONE
from landscape_mpi.zoo.recipe import CurveRecipe, Recipe
from landscape_mpi.zoo.sample_task import SampleTask
from landscape_mpi.zoo.trainer import Trainer, _mix

CPU = torch.device("cpu")


def recipe(kind=Recipe, **changes):
    settings = {
        "epochs": 2,
        "batch_size": 1,
        "lr": 0.01,
        "weight_decay": 0.0,
        "augment": False,
        "seed": 1,
        "momentum": 0.0,
        "nesterov": False,
    }
    if kind is Recipe:
        settings["lr_drops"] = ()
    return kind(**settings | changes)


@pytest.fixture(params=table.with_closed_form(), ids=str)
def tiny(request):
    return request.param.closed_form()


def sums(found):
    return found if isinstance(found, tuple) else (found.sum(), len(found))


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_steps_are_those_of_gradient_descent_written_out(tiny, at_a_time, device):
    network, other = tiny.build(), tiny.build()
    batches = [moved(batch, device) for batch in tiny.batches]
    place = torch.device(device)
    task = BatchTask(tiny.loss, batches, batches, device=place, at_a_time=at_a_time)
    trainer = Trainer(network, task, recipe(), device=place)
    for number in range(2):
        epoch = trainer.run_epoch()
        order = torch.randperm(
            len(tiny.batches), generator=torch.Generator().manual_seed(_mix(1, number))
        )
        seen = []
        for part in order.split(at_a_time):
            pairs = [sums(tiny.loss(other, tiny.batches[int(index)])) for index in part]
            total, count = (sum(values) for values in zip(*pairs, strict=True))
            other.zero_grad()
            (total / count).backward()
            with torch.no_grad():
                for parameter in other.parameters():
                    parameter -= 0.01 * parameter.grad
            seen.append((total.item(), int(count)))
        total, count = np.sum(seen, axis=0)
        assert epoch.train_loss == pytest.approx(total / count, rel=1e-12)
        assert (epoch.train_error, epoch.test_error) == (None, None)
        expected = tiny.mean(dict(other.named_parameters())).item()
        assert epoch.test_loss == pytest.approx(expected, rel=1e-12)
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-12, atol=1e-12)


def test_a_run_goes_on_to_the_same_bits(tiny):
    def trainer():
        task = BatchTask(tiny.loss, tiny.batches, device=CPU)
        return Trainer(tiny.build(), task, recipe(momentum=0.9, epochs=3), device=CPU)

    whole, first, second = trainer(), trainer(), trainer()
    for _ in range(3):
        whole.run_epoch()
    first.run_epoch()
    second.load_state(first.state())
    second.run_epoch()
    second.run_epoch()
    for one, other in zip(whole.network.parameters(), second.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("make", [autoencoder, changing, physics, language])
def test_training_on_a_problem(make, device):
    """Its test loss is the value of a plain loop at the trained weights."""
    problem = make()
    dtype = getattr(torch, problem.dtype or "float32")
    network, (function, *_) = problem.network.to(dtype), problem.functions
    split = ProblemSplit(
        source_of(problem, "train"), slice(None), n_functions=1, device=device, dtype=dtype
    )
    lent = LentBatches(split, seed=problem.seed, device=device_named(device))
    loss = partial(called, function, where="a batch")
    place = torch.device(device)
    task = BatchTask(loss, lent, lent, device=place, seeded=lent.seeded)
    trainer = Trainer(network, task, recipe(epochs=3, lr=1e-3), device=place)
    losses = [trainer.run_epoch().test_loss for _ in range(3)]
    if make is not changing:
        assert losses[2] < losses[1] < losses[0]
    network.eval().cpu()
    assert losses[2] == pytest.approx(values_of(problem)["loss"], rel=1e-6)


def test_one_number_is_refused():
    tiny = differential_equation()
    task = BatchTask(lambda net, batch: tiny.loss(net, batch).mean(), tiny.batches, device=CPU)
    with pytest.raises(InputError, match="the loss returned a tensor \\[\\]. Return the losses"):
        Trainer(tiny.build(), task, recipe(), device=CPU).run_epoch()


def test_test_batches_have_random_numbers_of_their_own():
    tiny = differential_equation()

    def noisy(network, batch):
        return tiny.loss(network, batch) * torch.rand((), dtype=torch.float64)

    class Seeded:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            self.state = torch.get_rng_state()
            torch.manual_seed(self.index)

        def __exit__(self, *problem):
            torch.set_rng_state(self.state)

    task = BatchTask(noisy, tiny.batches, tiny.batches, device=CPU, seeded=Seeded)
    trainer = Trainer(tiny.build(), task, recipe(), device=CPU)
    assert trainer.test() == trainer.test()


# Curves.


def solutions():
    """Two solutions of the equation, trained from different weights."""
    tiny, found = differential_equation(), []
    for seed in (0, 1):
        network = tiny.build()
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        task = BatchTask(tiny.loss, tiny.batches, device=CPU, at_a_time=3)
        trainer = Trainer(network, task, recipe(epochs=400, lr=0.02, optimizer="adam"), device=CPU)
        for _ in range(400):
            trainer.run_epoch()
        found.append({name: values.copy() for name, values in tensors_of(network).items()})
    return tiny, found


@pytest.fixture(scope="module")
def ends():
    return solutions()


def losses_along(tiny, points, places):
    rows = np.stack([np.concatenate([v.ravel() for v in p.values()]) for p in points])
    state = {name: torch.from_numpy(values) for name, values in points[0].items()}
    mean = of_vector(tiny.mean, state)
    weights = [weights_at("bezier", len(points), t) for t in places]
    return np.array([float(mean(torch.from_numpy(w @ rows))) for w in weights])


def test_a_curve_between_two_solutions_finds_a_lower_way(ends):
    tiny, (start, end) = ends
    straight = straight_points(start, end, 3)
    places = np.linspace(0, 1, 41)
    before = losses_along(tiny, straight, places)
    curve = CurveNetwork(tiny.build(), straight, kind="bezier")
    task = BatchTask(tiny.loss, tiny.batches, device=CPU, at_a_time=3)
    settings = recipe(CurveRecipe, epochs=600, lr=0.02, optimizer="adam")
    trainer = Trainer(curve, task, settings, device=CPU)
    for _ in range(600):
        trainer.run_epoch()
    points = [{name: t.numpy() for name, t in point.items()} for point in curve.named_points()]
    after = losses_along(tiny, points, places)
    assert after[[0, -1]].tolist() == pytest.approx(before[[0, -1]].tolist(), rel=1e-12)
    assert after.max() < 0.5 * before.max()
    for point, kept in ((points[0], start), (points[-1], end)):
        assert all(np.array_equal(point[name], kept[name]) for name in kept)


def test_the_gradient_of_the_bends_is_that_of_the_mean_over_t(ends):
    tiny, (start, end) = ends
    points = straight_points(start, end, 4)
    curve = CurveNetwork(tiny.build(), points, kind="bezier")
    task = BatchTask(tiny.loss, tiny.batches, device=CPU)
    module, places = task.module(curve), np.linspace(0.05, 0.95, 7)
    assert module is curve
    for t in places:
        total, count = curve.at(float(t), tiny.batches)
        (total / count / len(places)).backward()
    state = {name: torch.from_numpy(values) for name, values in start.items()}
    mean = of_vector(tiny.mean, state)
    rows = torch.stack(
        [torch.cat([torch.from_numpy(v).ravel() for v in p.values()]) for p in points]
    )

    def over_t(bends):
        whole = torch.cat([rows[:1], bends, rows[-1:]])
        weights = [torch.from_numpy(weights_at("bezier", 4, t)) for t in places]
        return torch.stack([mean(w @ whole) for w in weights]).mean()

    torch.testing.assert_close(curve.free.grad, grad(over_t)(rows[1:-1]), rtol=1e-10, atol=1e-12)


# Losses of outputs and targets.


@pytest.mark.parametrize("case", table.of_losses(), ids=str)
def test_steps_of_losses_of_outputs(case):
    splits = {part: Split(ROWS, case.targets) for part in ("train", "test")}
    data = DataSet("rows", splits, (), (), N_CLASSES, "")
    network, other = case.build(), case.build()
    settings = recipe(batch_size=5)
    trainer = Trainer(
        network, SampleTask(data, settings, device=CPU, loss=case.function), settings, device=CPU
    )
    epoch = trainer.run_epoch()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(_mix(1, 0)))
    inputs, wanted = torch.from_numpy(ROWS), torch.from_numpy(case.targets)
    for part in order.split(5):
        other.zero_grad()
        case.mean(other(inputs[part]), wanted[part]).backward()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter -= 0.01 * parameter.grad
    for ours, theirs in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        outputs = other(inputs)
    assert epoch.test_loss == pytest.approx(float(case.mean(outputs, wanted)), rel=1e-5)
    if wanted.is_floating_point():
        assert epoch.test_error is None
    else:
        said = outputs[:, 0] > 0 if case.name == "bce" else outputs.argmax(1)
        wrong = (said != wanted)[wanted >= 0].float().mean()
        assert epoch.test_error == pytest.approx(100 * float(wrong))


@pytest.mark.parallel([2])
@pytest.mark.parametrize("at_a_time", [1, 2, 3])
def test_two_ranks_train_as_one(tiny, at_a_time):
    """With one batch a step, one of the ranks has none."""
    found = []
    with RankProcesses(start_ranks()) as crew:
        for group in (crew.start_process_group(CpuDevice()), ALONE):
            task = BatchTask(tiny.loss, tiny.batches, tiny.batches, device=CPU, at_a_time=at_a_time)
            trainer = Trainer(tiny.build(), task, recipe(momentum=0.9), device=CPU, group=group)
            epochs = [trainer.run_epoch() for _ in range(2)]
            losses = torch.tensor([(epoch.train_loss, epoch.test_loss) for epoch in epochs])
            found.append([losses, *trainer.network.parameters()])
    for ours, theirs in zip(*found, strict=True):
        parallel_assert(torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12))


def test_names_of_a_checkpoint_are_those_of_the_network(tiny):
    task = BatchTask(tiny.loss, tiny.batches, device=CPU)
    trainer = Trainer(tiny.build(), task, recipe(), device=CPU)
    assert list(trainer.state()["network"]) == list(tiny.build().state_dict())
