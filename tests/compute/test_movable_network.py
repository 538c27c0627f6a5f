"""Networks of every kind that torch makes, live and by a function: they move, or are refused.

Oracle: the plain loop of plain_loop.py, with torch alone, over the vectors that the file keeps. For
compiled and scripted networks, also the eigenvalues of the network that they were made of.
"""

from __future__ import annotations

import copy
import io
import shutil

import numpy as np
import pytest
import torch
from one_process import run_alone
from plain_loop import mean_loss, move_to, read_plane
from torch import nn
from torch.nn.utils import prune

import landscape_mpi as lm
from landscape_mpi.compute.movable_network import check_movable
from landscape_mpi.compute.network_loan import NetworkLoan
from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.errors import InputError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*TorchScript|.*torch.jit|.*is deprecated"),
    pytest.mark.filterwarnings("ignore:.*quantiz|Sparse CSR|The .grad attribute"),
]
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile on a CPU needs g++"
)
GRID = {"x": (-1, 1, 3), "y": (-0.5, 0.5, 2)}


def samples():  # in two batches of one size
    draw = torch.Generator().manual_seed(5)
    return torch.randn(40, 4, generator=draw), torch.randint(0, 3, (40,), generator=draw)


def batches():
    inputs, targets = samples()
    return [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def scripted():
    return torch.jit.script(plain())


def traced():
    return torch.jit.trace(plain().eval(), torch.randn(2, 4))


def loaded_script():
    file = io.BytesIO()
    torch.jit.save(scripted(), file)
    file.seek(0)
    return torch.jit.load(file)


def script_inside():
    network = plain()
    network[0] = torch.jit.script(network[0])
    return network


def compiled():
    return torch.compile(plain())


def compiled_in_place():
    network = plain()
    network.compile()
    return network


def without_gradients():
    return plain().requires_grad_(False)


def pruned():
    network = plain()
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    return network


def half_quantized():
    torch.manual_seed(0)
    kept, quantized = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 3))
    made = torch.ao.quantization.quantize_dynamic(quantized, {nn.Linear}, dtype=torch.qint8)
    return nn.Sequential(kept, nn.Tanh(), made)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(torch.tanh(self.second(torch.tanh(self.first(x)))))


def tied_script():
    return torch.jit.script(Tied())


class Expanded(nn.Module):
    """Has buffers whose elements share memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.register_buffer("scale", torch.tensor([2.0]).expand(3))
        self.register_buffer("places", torch.arange(3).expand(2, 3))

    def forward(self, x):
        return self.linear(x) * self.scale + self.places[1]


class Cached(nn.Module):
    """Has a buffer that takes another shape in its first call, and one with each batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)
        self.register_buffer("cache", torch.zeros(0))
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, x):
        if len(self.cache) != 3:
            self.cache = torch.arange(3.0)
        self.seen = torch.ones(len(x) + len(self.seen) % 2)
        return self.linear(x) + self.cache


class OfItsOwn(torch.Tensor):
    """A class of tensors, as libraries have them."""


def of_its_own():
    network = plain()
    network[0].weight = nn.Parameter(network[0].weight.detach().as_subclass(OfItsOwn))
    return network


MOVED = [
    scripted,
    traced,
    loaded_script,
    script_inside,
    tied_script,
    pytest.param(compiled, marks=needs_compiler),
    pytest.param(compiled_in_place, marks=needs_compiler),
    lambda: nn.DataParallel(plain()),
    lambda: torch.optim.swa_utils.AveragedModel(plain()),
    lambda: torch.fx.symbolic_trace(plain()),
    Tied,
    without_gradients,
    pruned,
    half_quantized,
    Expanded,
    Cached,
    of_its_own,
]


@pytest.mark.parametrize("build", MOVED)
def test_values_are_those_of_a_plain_loop_and_the_network_is_given_back(build, tmp_path):
    network, out = build(), tmp_path / "kind.h5"
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()
              if isinstance(tensor, torch.Tensor)}  # fmt: skip
    own = [id(parameter) for parameter in network.parameters()]
    found = lm.compute_surface(
        network, batches(), out=out, save_directions=True, progress=False, **GRID
    )
    values, plane = found.values["train_loss"], read_plane(out)
    for place in np.ndindex(values.shape):
        other = build().train()
        move_to(other, place, plane)
        losses = [mean_loss(other.eval(), one, nn.functional.cross_entropy) for one in batches()]
        expected = sum(losses) / len(losses)  # quantized layers see the range of a batch
        assert values[place] == pytest.approx(expected, rel=1e-6)
    assert len(set(values.ravel())) == values.size  # all of it moves
    assert network.training == build().training
    assert [id(parameter) for parameter in network.parameters()] == own
    after = network.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


class Frozen(nn.Module):
    """Makes its parameters in a way that nobody can move them."""

    def __init__(self, make):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        make(self)

    def forward(self, x):
        return self.linear(x)


def parameter(tensor):
    return Frozen(lambda m: m.register_parameter("own", nn.Parameter(tensor, requires_grad=False)))


def buffer(tensor):
    return Frozen(lambda m: m.register_buffer("own", tensor))


def under_inference_mode(make):
    with torch.inference_mode():
        return make()


def exported():
    sizes = ({0: torch.export.Dim("n")},)
    inputs = torch.randn(2, 4)
    return torch.export.export(plain().eval(), (inputs,), dynamic_shapes=sizes).module()


def quantized():
    network = nn.Sequential(nn.Linear(4, 3))
    return torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)


def whole_numbers():
    network = nn.Linear(4, 3, bias=False).requires_grad_(False)
    network.weight.data = torch.ones(3, 4, dtype=torch.int8)
    network.forward = lambda x: x @ network.weight.float().T
    return network


def lazy_and_unused():
    return Frozen(lambda m: m.register_parameter("own", nn.UninitializedParameter()))


OUT_OF_IT = r"own was made under torch.inference_mode\(\).* pass copy.deepcopy\(network\), whose"
REFUSED = [
    (
        lambda: torch.jit.freeze(scripted().eval()),
        "it is frozen TorchScript .*are constants",
    ),
    (lambda: torch.jit.freeze(traced()), ".* Pass the module before it is frozen"),
    (exported, r"its train\(\) raised NotImplementedError: .*pass the nn.Module that was exported"),
    (lambda: under_inference_mode(plain), r"0.weight was made under torch.inference_mode\(\), and"),
    (lambda: buffer(under_inference_mode(lambda: torch.ones(2))), OUT_OF_IT),
    (lambda: plain().to("meta"), "0.weight is on the meta device, but a plane .* Convert it to"),
    (lambda: parameter(torch.eye(3).to_sparse()), "own is sparse or quantized, but a plane needs"),
    (lambda: buffer(torch.eye(3).to_sparse_csr()), "own is sparse or quantized, but a plane needs"),
    (lambda: parameter(torch.ones(2) * 1j), "own is complex, .* Keep real and imaginary parts as"),
    (
        lambda: parameter(torch.ones(2).to(torch.float8_e4m3fn)),
        r"own has the type float8_e4m3fn, .* Convert the network: network.float\(\)",
    ),
    (lambda: parameter(torch.ones(1).expand(5)), r"own has 5 elements that share memory, .*expand"),
    (
        lambda: nn.Sequential(nn.Flatten()),
        "the network has no parameters, but a plane moves floating-point",
    ),
    (quantized, "the network has no parameters, .* Pass the network before quantization"),
    (
        whole_numbers,
        "the network has parameters of int8 only, but a plane moves floating-point parameters",
    ),
]


@pytest.mark.parametrize(("build", "words"), REFUSED)
def test_what_cannot_move_is_refused_and_stays_as_it_is(build, words):
    network = build()
    modes = [getattr(module, "training", None) for module in network.modules()]
    with pytest.raises(InputError, match=f"^(the network: )?{words}"):
        lm.compute_surface(network, batches(), progress=False, **GRID)
    assert [getattr(module, "training", None) for module in network.modules()] == modes


MODULE = """
    import pytest, torch
    import test_movable_network as kinds
    import landscape_mpi as lm

    def loss(network, batch):
        return torch.nn.functional.cross_entropy(network(batch[0]), batch[1], reduction="none")

    def problem_of(build):
        return lm.Problem(build(), kinds.batches(), loss)
"""
BY_NAME = [
    ("kinds.scripted", None),
    ("kinds.traced", None),
    ("kinds.Cached", None),
    ("kinds.of_its_own", None),
    pytest.param("kinds.compiled", None, marks=needs_compiler),
    ("lambda: kinds.under_inference_mode(kinds.plain)", "0.weight was made under torch.inference_"),
    ("kinds.exported", "its train() raised NotImplementedError"),
    ("lambda: torch.jit.freeze(kinds.scripted().eval())", "it is frozen TorchScript"),
    ("kinds.quantized", "the network has no parameters, but a plane moves"),
    ("kinds.lazy_and_unused", "own has no shape even after the network was called once"),
]


@pytest.mark.parametrize(("build", "words"), BY_NAME)
def test_a_function_that_makes_them(build, words, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"of_kind_{abs(hash(build))}"
    source = MODULE + f"\n    def problem():\n        return problem_of({build})\n"
    (tmp_path / f"{name}.py").write_text("\n".join(line[4:] for line in source.splitlines()))
    out = tmp_path / "named.h5"
    ended = run_alone(
        ["landscape_mpi.surface", f"--problem={name}:problem", f"--out={out}", "--x=-1:1:3"]
    )
    if words is not None:
        assert (ended.status, ended.words.count("error: ")) == (2, 1), ended.words
        assert any(f"error: {start}{words}" in ended.words for start in ("", "the network: "))
        assert "Traceback" not in ended.words
        return
    assert ended.status == 0, ended.words
    live = lm.compute_surface(eval(build)(), batches(), x=(-1, 1, 3), progress=False)
    np.testing.assert_allclose(
        lm.open_surface(out).values["train_loss"], live.values["train_loss"], rtol=1e-6
    )


kinds = __import__(__name__)  # as the words of BY_NAME have it


def test_a_copy_of_what_inference_mode_made_can_move():
    made = copy.deepcopy(under_inference_mode(plain))
    found = lm.compute_surface(made, batches(), progress=False, **GRID)
    expected = lm.compute_surface(plain(), batches(), progress=False, **GRID)
    np.testing.assert_array_equal(found.values["train_loss"], expected.values["train_loss"])


@pytest.mark.parametrize(
    "build",
    [scripted, script_inside, pytest.param(compiled, marks=needs_compiler)],
)
def test_derivatives_and_curves_are_those_of_the_network_inside(build):
    def everything(make):
        surface = lm.compute_surface(
            make(), batches(), x=(-1, 1, 3), also="gradient_norm", progress=False
        )
        norms = surface.values["train_gradient_norm"]
        ends = lm.compute_hessian(surface, progress=False).values["hessian_max"]
        start = plain().state_dict()
        end = {k: 1.3 * v if k[0] in "03" else v for k, v in start.items()}
        curve = lm.train_curve(make(), batches(), start=start, end=end, epochs=2, progress=False)
        return norms, ends, curve.evaluate(3, progress=False).values["train_loss"]

    for found, expected in zip(everything(build), everything(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_network_that_is_not_copied_is_no_end_of_a_line():
    class Alone(Tied):
        def __deepcopy__(self, memo):
            raise TypeError("there is one of me")

    other = {name: 1.1 * tensor for name, tensor in Tied().state_dict().items()}
    found = lm.compute_surface(Alone(), batches(), x=0.0, progress=False)
    assert found.done.all()
    with pytest.raises(InputError, match="a second network, and copy.deepcopy.*there is one of me"):
        lm.compute_surface(Alone(), batches(), x=(0, 1, 3), to=other, progress=False)


def test_weights_of_a_class_of_its_own_are_an_end_of_a_line():
    far = of_its_own()
    with torch.no_grad():
        far[0].weight.mul_(2)
    plain_far = plain()
    plain_far.load_state_dict({k: v.as_subclass(torch.Tensor) for k, v in far.state_dict().items()})
    found, expected = (
        lm.compute_surface(plain(), batches(), x=(0, 1, 3), to=end, progress=False)
        for end in (far, plain_far)
    )
    np.testing.assert_array_equal(found.values["train_loss"], expected.values["train_loss"])


def test_a_loan_puts_other_tensors_back_and_shapes_too():
    network = Cached()
    linear, cache = network.linear.weight, network.cache
    loan = NetworkLoan(network)
    network.linear.weight = nn.Parameter(torch.zeros(3, 4))
    network(torch.ones(2, 4))
    loan.give_back()
    assert network.linear.weight is linear
    assert network.cache is cache
    assert cache.shape == (0,)


def test_a_parameter_of_another_shape_is_not_filled():
    with pytest.raises(RuntimeError, match="size of tensor"):
        fill_network(nn.Linear(3, 2), {**tensors_of(nn.Linear(4, 2))})


def test_lazy_layers_without_a_shape_may_still_get_one():
    check_movable(nn.Sequential(nn.LazyLinear(3)))


@needs_gpu
def test_a_live_network_on_a_gpu_is_computed_and_stays_there():
    network, expected = plain().cuda(), lm.compute_surface(plain(), batches(), x=0.0)
    found = lm.compute_surface(network, batches(), x=0.0, progress=False)
    assert found.values["train_loss"][0, 0] == pytest.approx(expected.values["train_loss"][0, 0])
    assert all(parameter.is_cuda for parameter in network.parameters())


def of_turns():
    return parameter(torch.ones(2) * 1j)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: under_inference_mode(plain), "0.weight was made under"),
        (of_turns, "own is complex"),
    ],
)
def test_a_network_that_cannot_be_converted_is_refused_before_it_is(build, words):
    """A plane needs real weights, and so does a type; without one, training takes complex ones."""
    with pytest.raises(InputError, match=f"the network: {words}"):
        ProblemSource(lm.Problem(build(), batches(), len, dtype="float64")).get()
    network = of_turns()
    assert ProblemSource(lm.Problem(network, batches(), len)).get().network is network
