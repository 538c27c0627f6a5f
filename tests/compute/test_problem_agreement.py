"""Oracle: problems with a fault that the test has put in, and a user's own loop for the others."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from cases import table
from cases.problem_case import center_of, directions_of, plain_values
from cases.python_problems import SEVERAL, Encoder, drawn, language
from torch import nn
from torch.func import functional_call, jvp
from torch.nn import functional
from torch.utils.data import Dataset

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.motion import PlaneMotion
from landscape_mpi.compute.problem_agreement import ProblemAgreement
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.problem_plane import ProblemPlane
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.tensors import extra_state_of
from landscape_mpi.compute.thread_watch import FORWARD, REPLACED
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.problem import Problem

MOVED = [(0.7, -0.3), (1.0, 1.0)]


class Compared:
    """A problem as a run sets it up."""

    def __init__(self, problem, *, device="cpu", threads=2, build=None):
        self.dtype = None if problem.dtype is None else getattr(torch, problem.dtype)
        state = center_of(problem)
        self.problem, self.directions = problem, directions_of(state)
        extra = extra_state_of(problem.network)
        self.network = ProblemNetwork(
            problem.network, state, device=device, dtype=self.dtype, extra=extra, build=build
        )
        self.setting = Setting(device_named(device), "fp32", 1, threads)
        self.source = source_of(problem, "train")
        self.agreement = ProblemAgreement(
            self.plane, self.batches, self.setting, n_batches=len(self.source), moved=MOVED
        )

    def batches(self, rows):
        n = len(self.problem.functions)
        return ProblemSplit(
            self.source, rows, n_functions=n, device=self.setting.device.name, dtype=self.dtype
        )

    def plane(self, splits, setting, *, exact=False, again=False):
        network = self.network.like_this() if again else self.network
        dtype = torch.float64 if exact else None
        if exact:
            network = self.network.like_this(torch.float64)
        return ProblemPlane(
            network,
            PlaneMotion(self.directions),
            splits,
            setting,
            functions=self.problem.functions,
            seed=self.problem.seed,
            dtype=dtype,
        )

    def choose(self):
        self.agreement.check_plain()
        return self.agreement.choose()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", table.in_python(), ids=str)
def test_what_is_chosen_gives_what_torch_gives(case, threads, device):
    compared = Compared(case.on(device), threads=threads, device=device)
    chosen = compared.choose()
    expected = [words for words in case.left_out if threads > 1 or words != SEVERAL]
    assert [words.split(" (")[0] for words in chosen.left_out] == expected
    assert not (chosen.steps.inference)
    assert not (chosen.steps.channels_last)
    assert not (chosen.steps.folded)
    assert chosen.checked_batch == 1
    whole = compared.batches(slice(None))
    plane = compared.plane({"train": whole}, replace(compared.setting, steps=chosen.steps))
    for point in ((0.0, 0.0), (0.7, -0.3)):
        found = plane.evaluate(*point)
        np.testing.assert_allclose(found, plain_values(case.make, *point), rtol=case.close)
    if chosen.left_out == () and not case.draws:
        assert compared.agreement.agreeing is not None


def test_values_of_the_first_batch_tell_problems_apart(device):
    case = Compared(language(), device=device, threads=1)
    case.agreement.check_plain()
    values = case.agreement.center_outputs()
    assert len(values) == 3
    single = case.batches([0])
    case.plane({"train": single}, case.setting).compute_losses(0.0, 0.0)
    assert values == tuple((single.values[0, 0::2] / single.values[0, 1::2]).tolist())


def problem_of(loss, network=None, **options):
    network = network or Encoder()
    return Problem(network, [drawn(3, 6, seed=i) for i in range(6)], loss, **options)


def squares(network, batch):
    return network(batch).square().mul(torch.arange(1.0, 4.0)).sum(1)


class Counting(Encoder):
    n = 0

    def forward(self, x):
        self.n += 1
        return super().forward(x) * self.n


class Carrying(Encoder):
    """Begins with what the batch before has left, except for the first batch."""

    kept = None

    def forward(self, x):
        made = super().forward(x)
        found = made if self.kept is None or torch.equal(x, drawn(3, 6)) else made + self.kept
        self.kept = made.mean()
        return found


class ByFirstWeights(Encoder):
    product = None

    def forward(self, x):
        weight = self.net[0].weight
        if self.product is None:
            self.product = (weight @ weight.T).detach().sum()
        return self.net(x) * self.product


class Drawing(Encoder):
    def __init__(self):
        super().__init__()
        self.drawn = torch.from_numpy(np.random.default_rng().standard_normal((6, 6))).float()

    def forward(self, x):
        return super().forward(x @ self.drawn)


def own_generator():
    generator = torch.Generator().manual_seed(0)
    return lambda network, batch: squares(network, batch) + torch.rand(3, generator=generator)


def kept_outside():
    known = Encoder()
    return lambda network, batch: squares(known, batch)


def kept_outside_where_it_is_not_zero():
    known = Encoder()
    return lambda network, batch: squares(known, batch) * (not torch.equal(batch, drawn(3, 6)))


def kept_outside_where_it_counts():
    known = Encoder()

    def loss(network, batch):
        counts = not torch.equal(batch, drawn(3, 6))
        return squares(known, batch).sum() * counts, 3 * counts

    return loss


def metric_by_state(network, batch):
    network.count = getattr(network, "count", 0) + 1
    return network.count, 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: problem_of(squares, Counting()),
            "same batches give different values the second time",
        ),
        (lambda: problem_of(own_generator()), "different values the second time: those of batch 0"),
        (
            lambda: problem_of(squares, metrics={"n": metric_by_state}),
            "give different values the second time",
        ),
        (
            lambda: problem_of(squares, Carrying()),
            "when the batches are evaluated in another order",
        ),
        (lambda: problem_of(squares, ByFirstWeights()), "keeps what it computes from its weights"),
        (lambda: problem_of(kept_outside()), "the loss does not change when the weights move"),
        (
            lambda: problem_of(kept_outside_where_it_is_not_zero()),
            "the loss does not change when the weights move: .* it is [1-9]",
        ),
        (
            lambda: problem_of(kept_outside_where_it_counts()),
            "the loss does not change when the weights move: .* it is [1-9]",
        ),
        (lambda: problem_of(lambda n, b: (n(b).sum(), -3)), r"returned a count of -3 for batch 0"),
        (lambda: problem_of(lambda n, b: (n(b).sum(), math.nan)), r"returned a count of nan for"),
        (lambda: problem_of(lambda n, b: n(b).mean()), "returned one number for batch 0"),
        (lambda: problem_of(lambda n, b: n(b, 3)), "loss raised on batch 0 .* TypeError"),
    ],
)
def test_losses_that_are_no_functions_of_weights_and_batch(make, words):
    with pytest.raises(InputError, match=words):
        Compared(make()).choose()


def test_a_network_that_is_built_differently_each_time():
    with pytest.raises(InputError, match="its function draws tensors that its state dict does not"):
        Compared(problem_of(squares, Drawing()), build=Drawing).choose()
    Compared(problem_of(squares, Drawing())).choose()  # a copy has the same tensor


def test_data_that_are_drawn_anew():
    class Restless(Dataset):
        generator = np.random.default_rng(0)

        def __len__(self):
            return 6

        def __getitem__(self, i):
            return torch.from_numpy(self.generator.standard_normal(6)).float()

    problem = Problem(Encoder(), Restless(), squares, batch_size=3)
    with pytest.raises(InputError, match=r"batch 0 of data\['train'\] has other values when it is"):
        Compared(problem).choose()


SHELF = {}


class Shelved(Encoder):
    """Keeps an activation in a global variable."""

    def forward(self, x):
        SHELF["kept"] = self.net[0](x)
        return self.net(x) + SHELF["kept"].mean()


class HookedOutside(Encoder):
    """A hook keeps an activation in the object it was made for, also in copies of it."""

    def __init__(self):
        super().__init__()
        self.net[1].register_forward_hook(lambda module, given, made: setattr(self, "kept", made))
        self.elsewhere = [self]

    def forward(self, x):
        made = self.net(x)
        return made + self.net[1](self.elsewhere[0].kept).mean()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_threads_share_takes_one_thread(threads):
    chosen = Compared(problem_of(squares, Shelved()), threads=threads).choose()
    words = [words.split(" (")[0] for words in chosen.left_out]
    assert words == ([] if threads == 1 else ["several batches at a time"])
    assert chosen.steps.threads == (threads == 1)


class Shortened(nn.Module):
    """Shortens the rows of its table in place when they are looked up."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 4, max_norm=0.7)

    def forward(self, rows):
        return self.table(rows)


def test_weights_that_a_call_changes_take_one_thread():
    batches = [torch.tensor([[k, (k + 1) % 9]]) for k in range(9)]

    def loss(network, batch):
        return network(batch).square().flatten(1).sum(1)

    chosen = Compared(Problem(Shortened(), batches, loss)).choose()
    why = "several batches at a time (a call changes weights, which threads share)"
    assert chosen.left_out == (why,)


TEACHER = Encoder()


def in_forward_mode(network, batch):
    return jvp(network, (batch,), (batch,))[1].square().sum(1)


def by_a_teacher(network, batch):
    halved = {name: values / 2 for name, values in TEACHER.named_parameters()}
    return (network(batch) - functional_call(TEACHER, halved, (batch,))).square().sum(1)


def by_itself(network, batch):
    halved = {name: values / 2 for name, values in network.named_parameters()}
    return functional_call(network, halved, (batch,)).square().sum(1)


@pytest.mark.parametrize(
    ("loss", "words"),
    [(in_forward_mode, FORWARD), (by_a_teacher, REPLACED), (by_itself, None)],
)
def test_a_state_of_torch_that_threads_share_takes_one_thread(loss, words):
    chosen = Compared(problem_of(loss)).choose()
    assert chosen.left_out == ((f"several batches at a time ({words})",) if words else ())


def test_a_network_that_cannot_be_copied_is_evaluated_by_itself():
    class Single(Encoder):
        def __deepcopy__(self, memo):
            raise TypeError("there is only one")

    chosen = Compared(problem_of(squares, Single())).choose()
    assert chosen.left_out == ("several batches at a time (TypeError: there is only one)",)
    chosen = Compared(problem_of(squares, Single()), build=Encoder).choose()
    assert chosen.left_out == ()


def test_random_numbers_that_are_hidden_take_one_thread():
    def loss(network, batch):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return squares(network, batch) + torch.rand(3)

    chosen = Compared(problem_of(loss)).choose()
    assert [words.split(" (")[0] for words in chosen.left_out] == ["several batches at a time"]
    assert "random numbers are drawn" in chosen.left_out[0]
    own = problem_of(lambda n, b: squares(n, b) + torch.rand(3, generator=seeded()))
    assert Compared(own).choose().left_out == ()


def seeded():
    return torch.Generator().manual_seed(0)


def test_a_buffer_that_a_call_counts_is_no_fault():
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.norm = Encoder(), nn.BatchNorm1d(3)

        def forward(self, x):
            return self.norm(self.net(x))

    def loss(network, batch):
        network.norm.train()  # statistics of the batch, which also count up its buffers
        return squares(network, batch)

    chosen = Compared(problem_of(loss, Norm())).choose()
    assert chosen.left_out == ()


def test_errors_keep_the_users_lines():
    def loss(network, batch):
        return functional.cross_entropy(network(batch), batch)

    with pytest.raises(UserCodeError, match="return functional.cross_entropy") as caught:
        Compared(problem_of(loss)).choose()
    assert "at alpha = 0, beta = 0" in str(caught.value)


def test_the_last_batch_is_compared_too():
    counted = []

    def loss(network, batch):
        if torch.equal(batch, drawn(3, 6, seed=5)):
            counted.append(batch)
            return squares(network, batch) * len(counted)
        return squares(network, batch)

    with pytest.raises(InputError, match="the second time: those of batch 5 of data"):
        Compared(problem_of(loss)).choose()


@pytest.mark.parametrize("spread", [True, False])
def test_compared_batches_are_spread_where_each_is_read_alone(spread):
    compared, rows = Compared(problem_of(squares)), []

    def batches(asked):
        rows.append(asked.tolist())
        return compared.batches(asked)

    agreement = ProblemAgreement(
        compared.plane, batches, compared.setting, n_batches=6, moved=MOVED, spread=spread
    )
    agreement.check_plain()
    assert rows[0] == ([0, 2, 5] if spread else [0, 1, 2])
    first = Compared(problem_of(squares)).agreement
    first.check_plain()
    assert agreement.center_outputs() == first.center_outputs()
