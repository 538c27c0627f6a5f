"""Oracles: the dense Hessian in float64 of the network as it was given, neither folded nor in
batches, by torch.func; and closed forms in numpy, which know nothing of automatic
differentiation.
"""

import gc
import time

import numpy as np
import pytest
import torch
from hessian_eigenthings import HessianOperator
from torch import nn
from torch.func import functional_call, grad, jacrev
from torch.nn.utils.parametrizations import weight_norm

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.gradient_plane import GradientPlane
from landscape_mpi.compute.lanczos import find_ends
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.compute.moving_network import Layout
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.networks import build_network

MEAN, STD = (0.4,), (0.3,)
N = 70
KINDS = {"moved": ("bias", "bn"), "all": ()}
BUDGET = 1 << 30


class Small(nn.Module):
    """Convolutions with and without bias, of groups, batch-norm after two, a shortcut."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.second = nn.Conv2d(width, width, 3, padding=1, stride=2)
        self.bn2 = nn.BatchNorm2d(width)
        self.third = nn.Conv2d(width, width, 3, padding=1, groups=2)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.first(x)))
        x = torch.relu(self.bn2(self.second(x)))
        x = torch.relu(self.third(x)) + x
        return self.head(x.mean(dim=(2, 3)))


def small_network(width=2):
    """Return a network of 114 parameters, or of 2,254 with a width of 12."""
    torch.manual_seed(0)
    network = Small(width)
    for layer in (network.bn1, network.bn2):
        nn.init.uniform_(layer.weight, 0.5, 2.0)
        nn.init.normal_(layer.bias, std=0.3)
        layer.running_var.uniform_(0.1, 0.5)
        layer.running_mean.normal_(0.0, 0.2)
    return network.eval()


def images(n=N):
    generator = np.random.default_rng(0)
    inputs = generator.integers(0, 256, (n, 5, 5, 1), np.uint8)
    return inputs, generator.integers(0, 10, n)


def resident(device="cpu", n=N):
    return ResidentSplit(*images(n), mean=MEAN, std=STD, device=device)


def directions_of(network):
    state = tensors_of(network)
    center = {name: state[name] for name in moved_names(network, ignore=("bias", "bn"))}
    return {
        axis: random_direction(center, seed=3, axis=axis, normalize="filter")
        for axis in ("alpha", "beta")
    }


def losses_of(samples, loss, **options):
    sample = samples.batch(slice(0, 2)).cpu()
    return OutputLosses(samples, loss, sample=sample, channels_last=True, **options)


def make_plane(
    parameters="moved", *, device="cpu", batch=64, threads=1, make=small_network, **options
):
    network = make()
    samples = options.pop("samples", None) or resident(device)
    loss = options.pop("loss", CROSS_ENTROPY)
    return HessianPlane(
        network,
        options.pop("directions", None) or directions_of(network),
        losses_of(samples, loss, batch=batch, quick=True),
        Setting(device_named(device), "fp32", batch, threads),
        parameters=moved_names(network, ignore=KINDS[parameters]),
        **{"budget_bytes": BUDGET, "total_weight": N, **options},
    )


def dense_hessian(parameters, alpha, beta, *, make=small_network, of=None, n=N):
    """Return the Hessian at a point, float64, its entries in the order of a plane's vectors."""
    network = make().double()
    steps = directions_of(make())
    state = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = {name: tensor.detach() for name, tensor in state.items()}
    for axis, step in (("alpha", alpha), ("beta", beta)):
        for name, values in steps[axis].items():
            state[name] = state[name] + step * torch.from_numpy(values).double()
    names = moved_names(network, ignore=KINDS[parameters])
    layout = Layout({name: state[name] for name in names})
    start = layout.flatten({name: state[name] for name in names})
    inputs, targets = resident(n=n).batch(slice(0, n)).double(), resident(n=n).targets

    def logits(vector):
        own = state | dict(zip(names, layout.views(vector), strict=True))
        return functional_call(network, own, (inputs,))

    def loss(vector):
        return nn.functional.cross_entropy(logits(vector), targets)

    if of is not None:
        return of(logits, targets, start)
    return jacrev(grad(loss), chunk_size=32)(start)  # all rows at once take longer


@pytest.mark.parametrize("parameters", list(KINDS))
@pytest.mark.parametrize("batch", [7, 64, N])
def test_products_are_those_of_the_dense_hessian(parameters, batch, device):
    plane = make_plane(parameters, batch=batch, device=device)
    plane.move_to(0.4, -0.3)
    expected = dense_hessian(parameters, 0.4, -0.3)
    for seed in range(3):
        vector = random_vector(plane, seed)
        product = expected @ vector.cpu().double()
        error = (plane.multiply(vector).cpu() - product).norm() / product.norm()
        assert error < 1e-5


def test_a_network_of_more_than_2000_parameters():
    def make():
        return small_network(12)

    few = {"samples": resident(n=20), "total_weight": 20}
    plane = make_plane("all", batch=16, make=make, **few)
    plane.move_to(0.4, -0.3)
    dense = dense_hessian("all", 0.4, -0.3, make=make, n=20)
    assert len(dense) == plane.n_parameters == 2254
    exact = torch.linalg.eigvalsh(dense)[[0, -1]].numpy()
    start = random_vector(plane, 1)
    ends = find_ends(plane.multiply, start, tolerance=3e-4, max_products=300)
    np.testing.assert_allclose([ends.least.value, ends.greatest.value], exact, rtol=1e-4)


def test_batch_norm_is_folded_where_it_stays_put(device):
    assert make_plane("moved", device=device).description == "2 batch-norms folded"
    assert make_plane("all", device=device).description == "0 batch-norms folded"


@pytest.mark.fake_gpus
@pytest.mark.parametrize("parameters", list(KINDS))
def test_a_fake_gpu_has_the_bits_of_the_cpu(parameters, gpu):
    products = []
    for device in ("cpu", gpu):
        plane = make_plane(parameters, batch=16, device=device)
        plane.move_to(0.4, -0.3)
        products.append(plane.multiply(random_vector(plane, 1)).cpu())
    assert torch.equal(*products)


@pytest.mark.parametrize("parameters", list(KINDS))
def test_both_ends_at_every_point_of_a_plane(parameters):
    planes = [make_plane(parameters, batch=batch) for batch in (N, 64, 7)]
    axis = np.linspace(-1, 1, 3)
    for alpha in axis:
        for beta in axis:
            exact = torch.linalg.eigvalsh(dense_hessian(parameters, alpha, beta))[[0, -1]].numpy()
            for plane in planes if alpha == beta else planes[:1]:
                plane.move_to(alpha, beta)
                start = random_vector(plane, 1)
                ends = find_ends(plane.multiply, start, tolerance=3e-4, max_products=300)
                assert ends.converged
                found = [ends.least.value, ends.greatest.value]
                np.testing.assert_allclose(found, exact, rtol=1e-4)


def test_what_is_not_kept_is_computed_again(device):
    kept = make_plane(batch=16, device=device)
    kept.move_to(0.1, 0.2)
    two_batches = 2 * kept.kept.batch_bytes
    some, none = (
        make_plane(batch=16, budget_bytes=budget, device=device) for budget in (two_batches, 0)
    )
    products = []
    for plane in (kept, some, none):
        plane.move_to(0.1, 0.2)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert kept.kept.n_kept == kept.kept.n_batches == 5
    assert some.kept.n_kept == 2
    assert none.kept.n_kept == 0
    assert torch.equal(products[0], products[1])
    assert torch.equal(products[0], products[2])


def n_tensors():
    gc.collect()
    return sum(type(each) is torch.Tensor for each in gc.get_objects())


def test_a_plane_that_is_given_up_leaves_nothing(device):
    make_plane(batch=16, device=device).move_to(0.1, 0.2)
    n_before = n_tensors()
    make_plane(batch=16, device=device).move_to(0.1, 0.2)
    # A thread of the pool lets go of its last task a moment after it has handed in the result.
    end = time.monotonic() + 60
    while n_tensors() > n_before and time.monotonic() < end:
        time.sleep(0.1)
    assert n_tensors() <= n_before


def test_threads_do_not_change_a_bit(device):
    products = []
    for threads in (1, 2, 3):
        plane = make_plane(batch=16, threads=threads, device=device)
        plane.move_to(0.1, 0.2)
        products.append(plane.multiply(random_vector(plane, 1)))
    assert torch.equal(products[0], products[1])
    assert torch.equal(products[0], products[2])


def test_parts_of_the_data_add_up(device):
    whole = make_plane(batch=16, device=device)
    whole.move_to(0.1, 0.2)
    vector = random_vector(whole, 1)
    total = torch.zeros_like(vector, dtype=torch.float64)
    for rows in (slice(0, 48), slice(48, N), slice(N, N)):
        inputs, targets = images()
        part = ResidentSplit(inputs[rows], targets[rows], mean=MEAN, std=STD, device=device)
        plane = make_plane(batch=16, samples=part, device=device) if len(part) else None
        if plane is not None:
            plane.move_to(0.1, 0.2)
            total += plane.multiply(vector)
    assert torch.allclose(total, whole.multiply(vector), rtol=1e-12, atol=1e-15)


def gauss_newton(logits, targets, start):
    jacobian = torch.func.jacrev(logits)(start)
    p = torch.softmax(logits(start), dim=1)
    inner = torch.diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1)
    return torch.einsum("nip,nij,njq->pq", jacobian, inner, jacobian) / N


def test_gauss_newton_is_the_outer_products_of_the_jacobian(device):
    plane = make_plane("all", batch=16, gauss_newton=True, device=device)
    plane.move_to(0.4, -0.3)
    expected = dense_hessian("all", 0.4, -0.3, of=gauss_newton)
    vector = random_vector(plane, 1)
    product = expected @ vector.cpu().double()
    assert (plane.multiply(vector).cpu() - product).norm() / product.norm() < 1e-5


def slope(logits, targets, start):
    return grad(lambda vector: nn.functional.cross_entropy(logits(vector), targets))(start)


@pytest.mark.parametrize("parameters", list(KINDS))
def test_the_gradient_of_a_folded_network_is_that_of_the_network_itself(parameters, device):
    found = []
    for threads in (1, 2):
        network = small_network()
        plane = GradientPlane(
            network,
            directions_of(network),
            losses_of(resident(device), CROSS_ENTROPY, batch=16),
            Setting(device_named(device), "fp32", 16, threads),
            parameters=moved_names(network, ignore=KINDS[parameters]),
        )
        assert plane.description == f"{2 if parameters == 'moved' else 0} batch-norms folded"
        found.append(plane.sums_at(0.4, -0.3))
    expected = dense_hessian(parameters, 0.4, -0.3, of=slope)
    error = (found[0].gradient.cpu() / found[0].weight - expected).norm() / expected.norm()
    assert error < 1e-5
    assert found[0].norm == pytest.approx(float(expected.norm()), rel=1e-5)
    assert torch.equal(found[0].gradient, found[1].gradient)


def test_linear_softmax_regression(device):
    """Hessian = mean of (diag p - p p^T) x x^T, Source: Bishop 2006, eq. 4.110."""
    generator = np.random.default_rng(1)
    inputs = generator.standard_normal((N, 5)).astype(np.float32)
    targets = generator.integers(0, 3, N)
    samples = ResidentSplit(inputs, targets, mean=(), std=(), device=device)

    def make():
        torch.manual_seed(0)
        return nn.Linear(5, 3)

    plane = make_plane("moved", batch=16, make=make, samples=samples, device=device)
    plane.move_to(0.5, 0.5)
    weight, bias = (tensor.detach().numpy().astype(float) for tensor in make().parameters())
    for axis in ("alpha", "beta"):
        weight = weight + 0.5 * directions_of(make())[axis]["weight"]
    logits = inputs.astype(float) @ weight.T + bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    inner = np.einsum("ni,ij->nij", p, np.eye(3)) - np.einsum("ni,nj->nij", p, p)
    dense = np.einsum("nij,na,nb->iajb", inner, inputs, inputs).reshape(15, 15) / N
    for seed in range(3):
        vector = random_vector(plane, seed)
        product = dense @ vector.cpu().numpy()
        np.testing.assert_allclose(plane.multiply(vector).cpu(), product, atol=1e-6)


def test_another_library_multiplies_alike():
    """hessian-eigenthings: double backward, on the unfolded network."""
    plane, network = make_plane(), small_network()
    plane.move_to(0.0, 0.0)
    names = moved_names(network, ignore=KINDS["moved"])
    theirs = HessianOperator(
        network,
        [(resident().batch(slice(0, N)), resident().targets)],
        lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
        param_filter=lambda name, _: name in names,
    )
    vector = random_vector(plane, 1)
    given = [torch.from_numpy(part).reshape(-1) for part in plane.by_parameter(vector).values()]
    ours = plane.by_parameter(plane.multiply(vector).float()).values()
    found = np.concatenate([part.ravel() for part in ours])
    expected = theirs.matvec(torch.cat(given)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_a_good_network_passes_the_check(device):
    make_plane(device=device).check_products()


def test_resnet20_at_its_minimiser(data_dir):
    """The ends that a plain double backward over the unfolded float64 network and ARPACK gave."""
    checkpoint = next(data_dir.glob("checkpoints/resnet20-*.th"))
    network = build_network("resnet20_pad", n_channels=3, n_classes=10).float().eval()
    load_state(network, read_checkpoint(checkpoint, trust=False))
    with np.load(data_dir / "cifar10_first4000.npz") as file:
        inputs, targets = file["images"][:64], file["labels"][:64].astype(np.int64)
    pixels = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    samples = ResidentSplit(np.ascontiguousarray(inputs), targets, **pixels, device="cpu")
    names = moved_names(network, ignore=("bias", "bn"))
    plane = HessianPlane(
        network,
        {"alpha": {}, "beta": {}},
        OutputLosses(samples, CROSS_ENTROPY, batch=32, channels_last=True, quick=True),
        Setting(CPU, "fp32", 32, 2),
        parameters=names,
        total_weight=64,
        budget_bytes=BUDGET,
    )
    assert plane.description == "19 batch-norms folded"
    plane.move_to(0.0, 0.0)
    start = random_vector(plane, 1)
    ends = find_ends(plane.multiply, start, tolerance=1e-2, max_products=60)
    assert ends.converged
    assert ends.greatest.value == pytest.approx(52.3416, rel=1e-4)
    assert ends.least.value == pytest.approx(-0.59321, rel=1e-3)
    assert ends.least.residual <= 1e-2 * 0.5932


class Noisy(nn.Linear):
    def forward(self, x):
        return (
            super().forward(x) + 0.1 * torch.randn(len(x), 10, device=x.device) * self.weight.sum()
        )


class Lopsided(torch.autograd.Function):
    """Its derivative is that of something else."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.flip(1)


class Odd(nn.Linear):
    def forward(self, x):
        assert x.isfinite().all()  # tracing ends here; a trace would differentiate x**3 itself
        return Lopsided.apply(super().forward(x))


class Once(nn.Linear):
    def forward(self, x):
        return nn.functional.ctc_loss(
            super().forward(x).log_softmax(1).unsqueeze(1),
            torch.ones(1, 2, dtype=torch.long, device=x.device),
            torch.tensor([len(x)]),
            torch.tensor([2]),
        ).expand(len(x), 10)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Noisy, "product of the Hessian with the same vector differs the second time"),
        (Odd, "in which their derivative is"),
        (lambda *sizes: weight_norm(nn.Linear(*sizes)), "its Hessian is not symmetric"),
        (Once, "this network cannot be differentiated twice"),
    ],
)
def test_networks_without_a_hessian_are_refused(layer, words, device):
    def make():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), layer(25, 10))

    with pytest.raises(InputError, match=words):
        make_plane(make=make, device=device).check_products()
