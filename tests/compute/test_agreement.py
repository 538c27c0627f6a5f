"""Oracle: the network as its function builds it, its weights set one by one, called by torch alone.

The plain loop knows nothing of steps, planes or threads. Networks are small copies of what is found
in other people's code; each breaks one of the assumptions behind a step.
"""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from cases.python_problems import VIEWS_STAY, Merging
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils._python_dispatch import _len_torch_dispatch_stack

from landscape_mpi.compute.agreement import Agreement, compared_rows, moved_points, relative
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.losses import CROSS_ENTROPY, Loss
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.steps import ALL, PLAIN, STEPS, steps_of
from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.errors import InputError

N, BATCH = 60, 16
MOVED = (0.7, 0.0)


class Penalised(nn.Module):
    """Reads its weights in forward, so it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)

    def forward(self, x):
        size = sum(p.abs().sum() for p in self.parameters())
        return self.conv(x).mean((2, 3)) * (1 + 0.1 * size)


class Listing(Penalised):
    """Reads its weights as numbers of Python, which tracing does not see: they are frozen."""

    def forward(self, x):
        size = sum(map(abs, self._parameters_of_conv()))
        return self.conv(x).mean((2, 3)) * (1 + 0.1 * size)

    def _parameters_of_conv(self):
        return self.conv._parameters["bias"].tolist()


class FromVector(Penalised):
    def forward(self, x):
        vector = nn.utils.parameters_to_vector(self.parameters())
        return self.conv(x).mean((2, 3)) + vector.square().mean()


class FromState(Penalised):
    def forward(self, x):
        return self.conv(x).mean((2, 3)) * self.state_dict()["conv.weight"].norm()


class Viewing(Penalised):
    def forward(self, x):
        y = self.conv(x)
        return y.view(len(y), -1)[:, :5]


class Strided(Penalised):
    """Takes the numbers in the order they have in memory."""

    def forward(self, x):
        y = self.conv(x)
        return y.as_strided((len(y), 6), (y.stride(0), 5))


class Packed(nn.Module):
    """Its layers are views of one parameter, made once."""

    def __init__(self):
        super().__init__()
        self.all = nn.Parameter(torch.randn(72 * 4 + 4) / 8)
        self.weight, self.bias = self.all[:-4].view(4, 72), self.all[-4:]

    def forward(self, x):
        return functional.linear(x.flatten(1), self.weight, self.bias)


class MergingPixels(Merging):
    def __init__(self):
        super().__init__(72)


class Hooked(nn.Module):
    """Keeps an activation in itself, by a hook, until the end of the pass."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(2, 4, 3), nn.ReLU()
        self.relu.register_forward_hook(lambda module, given, made: setattr(self, "kept", made))

    def forward(self, x):
        y = self.relu(self.conv(x))
        return y.amax((2, 3)) - self.kept.mean((2, 3))


SHELF = {}


class Shelved(Hooked):
    """Keeps an activation in a global variable."""

    def __init__(self):
        super().__init__()
        self.relu.register_forward_hook(lambda module, given, made: SHELF.update(kept=made))

    def forward(self, x):
        y = self.relu(self.conv(x))
        return y.amax((2, 3)) - SHELF["kept"].mean((2, 3))


class Overwriting(nn.Linear):
    """Changes the batch that it is given."""

    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x):
        x[:, 0] *= 2
        return super().forward(x.flatten(1))


class Differentiating(nn.Linear):
    """Gives derivatives by its input."""

    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x):
        x = x.flatten(1).requires_grad_()
        energy = torch.tanh(super().forward(x)).square()
        return torch.autograd.grad(energy.sum(), x, create_graph=True)[0][:, :4]


class KeywordOnly(nn.Linear):
    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x, *, mask=None, scale=1.0):
        return super().forward(x.flatten(1)) * (scale if mask is None else mask)


class OverTokens(nn.Sequential):
    """Batch-norm whose channels are not the linear layer's outputs, though as many."""

    def __init__(self):
        super().__init__(
            nn.Flatten(2), nn.Linear(36, 2), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(4, 3)
        )
        self[2].running_mean.copy_(torch.tensor([0.5, -0.5]))
        self[2].running_var.copy_(torch.tensor([0.3, 2.0]))


def pruned():
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, 6), nn.BatchNorm1d(6), nn.Linear(6, 4))
    prune.l1_unstructured(network[1], "weight", amount=0.5)
    return network


def weight_normed():
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(72, 4)))


def plain():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)
    )


def double():
    return plain().double()


LEFT_OUT = {
    plain: [],
    double: [],
    Penalised: [],
    Listing: ["folding"],
    FromVector: ["channels last"],
    FromState: [],
    Viewing: ["channels last"],
    Strided: ["channels last"],
    Packed: ["weights in one vector"],
    MergingPixels: ["weights in one vector", "folding"],
    Hooked: [],
    Overwriting: ["channels last"],  # without which images are copies
    Differentiating: ["inference mode"],
    KeywordOnly: [],
    OverTokens: [],
    pruned: [],
    weight_normed: [],
}


def build_with(make):
    """Return what builds the network with its weights, and its tensors, in training mode."""
    torch.manual_seed(0)
    first = make().train()
    state = {name: values.copy() for name, values in tensors_of(first).items()}

    def build():
        torch.manual_seed(0)
        network = make()
        fill_network(network, state)
        return network.train()

    return build, state


def images():
    generator = np.random.default_rng(1)
    return generator.standard_normal((N, 6, 6, 2)).astype(np.float32)


def targets():
    return np.random.default_rng(2).integers(0, 3, N)


def samples_of(rows, device="cpu"):
    return ResidentSplit(images()[rows], targets()[rows], mean=(), std=(), device=device)


def directions_of(state):
    generator = np.random.default_rng(3)
    moved = {
        name: (0.2 * generator.standard_normal(values.shape)).astype(np.float32)
        for name, values in state.items()
        if values.dtype.kind == "f" and "running" not in name and "mask" not in name
    }
    return {"alpha": moved, "beta": {}}


def agreement_of(build, state, *, device="cpu", threads=2, loss=CROSS_ENTROPY, batch=BATCH):
    sample = samples_of(slice(0, 2)).batch(slice(0, 2)).contiguous()

    def make_plane(splits, setting, *, exact=False):
        def made():
            return build().double() if exact else build()

        vectors = directions_of(state)
        return LossPlane(made(), vectors, splits, sample, setting, loss=loss, build=made)

    setting = Setting(device_named(device), "fp32", batch, threads)
    samples = partial(samples_of, device=device)
    found = Agreement(make_plane, samples, setting, n_samples=N, moved=[MOVED])
    return found, make_plane, setting


def plain_losses(build, state, alpha):
    """Return the losses of a user's own loop."""
    network = build()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            step = directions_of(state)["alpha"].get(name)
            if step is not None:
                parameter.add_(torch.from_numpy(step).to(parameter.dtype), alpha=alpha)
    given = torch.from_numpy(images()).permute(0, 3, 1, 2).contiguous().to(parameter.dtype)
    outputs = network.eval()(given).detach().double()
    losses = functional.cross_entropy(outputs, torch.from_numpy(targets()), reduction="none")
    return losses.numpy()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", LEFT_OUT)
def test_what_is_chosen_gives_what_torch_gives(make, threads, device):
    if make is Packed and device != "cpu":
        pytest.skip(VIEWS_STAY)
    build, state = build_with(make)
    place = {"threads": threads, "device": device}
    agreement, make_plane, setting = agreement_of(build, state, **place)
    agreement.check_plain()
    chosen = agreement.choose()
    assert [words.split(" (")[0] for words in chosen.left_out] == LEFT_OUT[make]
    assert (chosen.steps == ALL) == (LEFT_OUT[make] == [])
    samples = samples_of(slice(0, N), device)
    plane = make_plane({"train": samples}, replace(setting, steps=chosen.steps))
    for alpha in (-1.0, 0.0, 0.4, 0.0):
        plane.compute_losses(alpha, 0.0)
        expected = plain_losses(build, state, alpha)
        assert (
            relative(
                samples.losses.cpu().double(),
                torch.from_numpy(expected),
                scale_of=torch.from_numpy(expected),
            )
            < 1e-5
        )


def test_a_global_variable_takes_one_thread():
    build, state = build_with(Shelved)
    assert agreement_of(build, state, threads=1)[0].choose().left_out == ()
    agreement, *_ = agreement_of(build, state, threads=2)
    agreement.check_plain()
    chosen = agreement.choose()
    assert chosen.left_out[0].startswith("several batches at a time (")
    assert not chosen.steps.threads


def test_every_step_alone_gives_what_torch_gives(device):
    build, state = build_with(plain)
    agreement, *_ = agreement_of(build, state, device=device, threads=2 if device == "cpu" else 1)
    for n in range(len(STEPS) + 1):
        for names in itertools.combinations(STEPS, n):
            assert agreement.fault_of(steps_of(names)) is None


def test_a_trial_that_fails_prints_nothing(capfd):
    agreement, *_ = agreement_of(*build_with(Viewing))
    assert agreement.choose().left_out[0].startswith("channels last (RuntimeError: view size")
    assert capfd.readouterr() == ("", "")


def test_a_fault_says_where_and_both_losses():
    build, state = build_with(Listing)
    agreement, *_ = agreement_of(build, state)
    agreement.check_plain()
    (words,) = agreement.choose().left_out
    assert "at alpha = 0.7, beta = 0 its outputs differ by" in words
    assert f"but {plain_losses(build, state, 0.7)[compared_rows(32, BATCH)].mean():.6g} as" in words


class Shortening(nn.Linear):
    """Shortens the rows of its weight in forward, in place, as an embedding with max_norm does."""

    def __init__(self, longest=0.1):
        super().__init__(72, 4)
        self.longest = longest

    def forward(self, x):
        with torch.no_grad():
            self.weight.renorm_(2, 0, self.longest)
        return super().forward(x.flatten(1))


class ShorteningNone(Shortening):
    """Has no row that is too long, at the points that are compared."""

    def __init__(self):
        super().__init__(1e3)


class ShorteningData(Shortening):
    """Writes past torch's count of changes."""

    def forward(self, x):
        self.weight.data.renorm_(2, 0, self.longest)
        return nn.Linear.forward(self, x.flatten(1))


class ShorteningLetters(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(10, 4, max_norm=0.5)

    def forward(self, x):
        return self.letters(x.flatten(1).abs().mul(3).long().clamp(max=9)).mean(1)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("make", [Shortening, ShorteningNone, ShorteningData, ShorteningLetters])
def test_weights_that_a_call_changes_take_one_thread(make, threads):
    """Two threads that shorten a row at the same time shorten it twice, now and then."""
    build, state = build_with(make)
    agreement, *_ = agreement_of(build, state, threads=threads)
    agreement.check_plain()
    chosen = agreement.choose()
    assert not chosen.steps.threads  # a run that continues later may have several
    why = "several batches at a time (a call changes weights, which threads share)"
    assert (why in chosen.left_out) == (threads == 2)


class Tallying(nn.Module):
    """Writes into a buffer of its own, which does not move."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(72, 4)
        self.register_buffer("running_calls", torch.zeros(1))

    def forward(self, x):
        self.running_calls += 1
        return self.out(x.flatten(1))


class Unwatched(nn.Linear):
    """Does not compute where operations are watched."""

    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x):
        if _len_torch_dispatch_stack():
            raise RuntimeError("no modes here")
        return super().forward(x.flatten(1))


def test_a_buffer_that_a_call_changes_keeps_threads():
    agreement, *_ = agreement_of(*build_with(Tallying))
    agreement.check_plain()
    assert agreement.choose().steps.threads


def test_what_cannot_be_watched_takes_one_thread():
    agreement, *_ = agreement_of(*build_with(Unwatched))
    agreement.check_plain()
    chosen = agreement.choose()
    assert not chosen.steps.threads
    assert "cannot be watched: RuntimeError: no modes here" in chosen.left_out[0]


class Sloping(nn.Linear):
    """Adds its derivative along the input, in forward mode."""

    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x):
        inputs = (x.flatten(1),)
        values, slopes = torch.func.jvp(
            lambda rows: super(Sloping, self).forward(rows).sin(), inputs, inputs
        )
        return values + slopes


def test_derivatives_in_forward_mode_take_one_thread():
    """In torch all threads share the levels of forward mode, so two of them give wrong values."""
    agreement, *_ = agreement_of(*build_with(Sloping))
    agreement.check_plain()
    chosen = agreement.choose()
    assert not chosen.steps.threads
    assert "derivatives in forward mode" in chosen.left_out[0]


class Dropped(nn.Linear):
    def __init__(self):
        super().__init__(72, 4)

    def forward(self, x):
        return functional.dropout(super().forward(x.flatten(1)))


class Counting(Dropped):
    passes = 0

    def forward(self, x):
        self.passes += 1
        return functional.linear(x.flatten(1), self.weight) * self.passes


class Together(Dropped):
    def forward(self, x):
        outputs = functional.linear(x.flatten(1), self.weight)
        return outputs - outputs.mean(dim=0)


class Sure(Together):
    """Is so sure that its losses are zero, whatever else is in the batch."""

    def forward(self, x):
        outputs = super().forward(x)
        return outputs + 1e4 * functional.one_hot(outputs.argmax(1), 4)


class Causal(Dropped):
    """Lets a sample depend on those before it, as a recurrent layer does without batch_first."""

    def forward(self, x):
        return functional.linear(x.flatten(1), self.weight).cumsum(dim=0)


class ByLargest(Dropped):
    """Rounds by the largest number of the batch, as dynamic quantization does."""

    def forward(self, x):
        step = x.abs().max() / 7
        return functional.linear((x / step).round().flatten(1), self.weight)


class ByFirstBatch(Dropped):
    """Takes a mean from the batch that it sees first, as ActNorm does."""

    mean = None

    def forward(self, x):
        outputs = functional.linear(x.flatten(1), self.weight)
        if self.mean is None:
            self.mean = outputs.mean(dim=0).detach()
        return outputs - self.mean


class ByFirstWeights(Dropped):
    """Keeps a product of its weights from the first call on."""

    product = None

    def forward(self, x):
        if self.product is None:
            self.product = (self.weight @ self.weight.T).detach()
        return functional.linear(x.flatten(1), self.weight) @ self.product


class BySize(Dropped):
    """Takes another branch for whole batches."""

    def forward(self, x):
        outputs = functional.linear(x.flatten(1), self.weight)
        return outputs.flip(0) if len(x) == BATCH else outputs


class Drawing(Dropped):
    """Draws a tensor of its own from a generator without a seed."""

    def __init__(self):
        super().__init__()
        self.drawn = torch.from_numpy(np.random.default_rng().standard_normal((72, 72))).float()

    def forward(self, x):
        return functional.linear(x.flatten(1) @ self.drawn, self.weight)


class Raising(Dropped):
    def forward(self, x):
        raise ValueError("no such thing")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Dropped, "the same samples give different outputs the second time"),
        (Counting, "the same samples give different outputs the second time"),
        (Together, "depend on the other samples of its batch"),
        (Sure, "depend on the other samples of its batch"),
        (Causal, "depend on the other samples of its batch"),
        (ByLargest, "depend on the other samples of its batch"),
        (ByFirstBatch, "depend on the batch with which the network is called first, .* ActNorm"),
        (ByFirstWeights, "depend on the weights that the network has when it is called first"),
        (Drawing, r"built a second time, with the same weights, gives .* Register it as"),
        (Raising, "called on 10 of its samples, raises: ValueError: no such thing"),
    ],
)
def test_networks_that_are_not_functions_of_weights_and_samples(make, words):
    agreement, *_ = agreement_of(*build_with(make))
    with pytest.raises(InputError, match=words):
        agreement.check_plain()


def test_batches_of_the_run_are_compared_even_where_no_step_agrees():
    agreement, *_ = agreement_of(*build_with(BySize))
    agreement.check_plain()
    with pytest.raises(InputError, match="in batches of 16 the outputs of the network differ"):
        agreement.choose()


def test_a_loss_that_mixes_samples():
    def mixing(outputs, targets):
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        return losses / losses.sum()

    agreement, *_ = agreement_of(*build_with(plain), loss=Loss(mixing))
    with pytest.raises(InputError, match="or a --loss that mixes samples"):
        agreement.check_plain()


def test_a_deep_network_may_round_as_much_as_torch_does():
    """A chain of layers that amplifies rounding by thousands, without being wrong."""

    class Chaotic(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(72, 4)

        def forward(self, x):
            y = torch.sigmoid(self.first(x.flatten(1)))
            for _ in range(18):
                y = 3.99 * y * (1 - y)
            return y

    build, state = build_with(Chaotic)
    agreement, *_ = agreement_of(build, state)
    agreement.check_plain()
    assert agreement.choose().left_out == ()


def test_outputs_of_the_center_tell_networks_apart():
    first, *_ = agreement_of(*build_with(plain))
    other, *_ = agreement_of(*build_with(Viewing))
    assert first.center_outputs() == pytest.approx(first.center_outputs())
    assert len(first.center_outputs()) == 8
    assert first.center_outputs() != pytest.approx(other.center_outputs())


def test_rows_that_are_compared():
    assert compared_rows(40, 16).tolist() == [*range(8), 16, 17, 32, 33]
    assert compared_rows(3, 1).tolist() == [0, 1, 2]
    assert compared_rows(5, 64).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("alpha", "beta", "first"),
    [
        (np.linspace(-1, 1, 5), np.linspace(-1, 1, 5), (0.5, 0.5)),
        (np.linspace(-1, 1, 3), np.zeros(1), (1.0, 0.0)),
        (np.array([0.0, 1.0]), np.zeros(1), (1.0, 0.0)),
        (np.zeros(1), np.zeros(1), None),
    ],
)
def test_points_that_are_tried(alpha, beta, first):
    points = moved_points(alpha, beta)
    assert (points[0] if points else None) == first
    assert all(a in alpha and b in beta for a, b in points)


def test_steps_by_name():
    assert steps_of(str(ALL).split(",")) == ALL
    assert (str(PLAIN), steps_of(["none"])) == ("none", PLAIN)
