"""Oracle: torch.optim.swa_utils.update_bn, which runs the network in training mode.

For layers that it does not know, a loop that computes mean and variance of every batch at length.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import update_bn

from landscape_mpi.compute.batch_norm import BatchNormStatistics
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.networks import build_network

N, BATCH = 48, 16


def buffers(network):
    return {
        name: values
        for name, values in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    }


@pytest.fixture
def images(device):
    drawn = torch.randn(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return (drawn * 3 + 1).to(device)


@pytest.fixture
def network(device):
    torch.manual_seed(0)
    return build_network("resnet8", n_channels=1, n_classes=10).eval().to(device)


def measure(network, images, threads, *, batch=BATCH):
    network = copy.deepcopy(network).to(images.device)
    statistics = BatchNormStatistics([network], batch=batch, threads=threads)
    with torch.inference_mode():
        statistics.update(len(images), lambda rows: network(images[rows]))
    return network, statistics


def test_the_statistics_are_those_of_torch(network, images):
    found, statistics = measure(network, images, threads=2)
    expected = copy.deepcopy(network)
    update_bn(images.split(BATCH), expected)
    assert statistics.n_layers == 9
    assert len(buffers(expected)) == 18
    for name, values in buffers(expected).items():
        torch.testing.assert_close(buffers(found)[name], values, rtol=1e-5, atol=1e-6)
    assert not found.training
    with torch.inference_mode():
        torch.testing.assert_close(found(images), expected.eval()(images), rtol=1e-4, atol=1e-4)


def test_any_number_of_threads_gives_the_same_bits(network, images):
    one, _ = measure(network, images, threads=1)
    three, _ = measure(network, images, threads=3)
    for name, values in buffers(one).items():
        assert torch.equal(values, buffers(three)[name])


def test_measured_twice_they_are_the_same(network, images):
    network, statistics = measure(network, images, threads=2)
    before = {name: values.clone() for name, values in buffers(network).items()}
    with torch.inference_mode():
        statistics.update(N, lambda rows: network(images[rows]))
    for name, values in buffers(network).items():
        assert torch.equal(values, before[name])


def test_batches_count_by_their_samples(images):
    """A layer on the data themselves: the mean over batches of 20, 20 and 8 is that of all."""
    found, _ = measure(nn.Sequential(nn.BatchNorm2d(1)).eval(), images, threads=1, batch=20)
    assert float(found[0].running_mean) == pytest.approx(float(images.mean()), rel=1e-5)


def test_a_last_batch_of_one_sample_is_left_out():
    vectors = torch.arange(7.0)[:, None]
    found, _ = measure(nn.Sequential(nn.BatchNorm1d(1)).eval(), vectors, threads=1, batch=3)
    assert float(found[0].running_mean) == pytest.approx(2.5)  # of 0 to 5
    assert float(found[0].running_var) == pytest.approx(1.0)


def test_a_layer_without_statistics_is_left_alone(images):
    network = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)).eval()
    found, statistics = measure(network, images, threads=1)
    assert statistics.n_layers == 0
    assert found[0].running_mean is None


def test_an_error_leaves_the_network_in_evaluation_mode(network, images):
    statistics = BatchNormStatistics([network], batch=BATCH, threads=1)
    with pytest.raises(RuntimeError, match="Expected"):
        statistics.update(N, lambda rows: network(images[rows].reshape(-1)))
    assert not any(module.training for module in network.modules())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))


class Twice(nn.Module):
    """One layer that is called twice in a pass, on images of two sizes."""

    def __init__(self, kind=nn.BatchNorm2d):
        super().__init__()
        self.norm = kind(1)
        self.convolution = nn.Conv2d(1, 1, 3)

    def forward(self, x):
        return self.norm(self.convolution(self.norm(x)))


def by_update_bn(network, images):
    """Return the network as torch leaves it, with every batch-norm one that update_bn knows."""
    network = copy.deepcopy(network).to(images.device)
    update_bn(images.split(BATCH), network)
    return network.eval()


def test_all_calls_of_a_layer_count(images):
    network = Twice().eval()
    found, statistics = measure(network, images, threads=2)
    assert statistics.n_layers == 1
    for name, values in buffers(by_update_bn(network, images)).items():
        torch.testing.assert_close(buffers(found)[name], values, rtol=1e-5, atol=1e-6)


class OwnSync(nn.SyncBatchNorm):
    """A class of the user's own."""


class Activated(nn.BatchNorm2d):
    """Batch-norm with its activation, and a forward of its own."""

    def forward(self, x):
        use = self.training or self.running_mean is None
        mean, var = self.running_mean, self.running_var
        if self.training and not self.track_running_stats:
            mean = var = None
        made = functional.batch_norm(
            x, mean, var, self.weight, self.bias, use, self.momentum, self.eps
        )
        return made.clamp(min=-0.5)


class Written(nn.Module):
    """Written from its definition, channels in the last axis, variances without correction."""

    def __init__(self, n):
        super().__init__()
        self.decay = 0.25
        self.register_buffer("running_mean", torch.zeros(1, 1, 1, n))
        self.register_buffer("running_var", torch.ones(1, 1, 1, n))

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean = x.mean((0, 1, 2), keepdim=True)
            var = x.var((0, 1, 2), keepdim=True, correction=0)
            self.running_mean.lerp_(mean, self.decay)
            self.running_var.lerp_(var, self.decay)
        return ((x - mean) / (var + 1e-3).sqrt()).permute(0, 3, 1, 2)


class OfParameters(Written):
    """The same, from before there were buffers."""

    def __init__(self, n):
        super().__init__(n)
        for name in ("running_mean", "running_var"):
            values = self._buffers.pop(name)
            setattr(self, name, nn.Parameter(values, requires_grad=False))


class Frozen(nn.Module):
    """Statistics, scale and shift are constants, in training too."""

    def __init__(self, n):
        super().__init__()
        for name, start in (
            ("weight", 1.5),
            ("bias", 0.2),
            ("running_mean", 0),
            ("running_var", 1),
        ):
            self.register_buffer(name, torch.full((n,), float(start)))

    def forward(self, x):
        scale = self.weight * (self.running_var + 1e-3).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


def layers_of(kind):
    """Return a network with layers of a kind; the second one sees what the first one made."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 4, 3), kind(4), nn.ReLU(), nn.Conv2d(4, 3, 3), kind(3)).eval()


def plain_loop(network, images, *, axes, correction, eps, after):
    """Return mean and variance of both layers, and the outputs by them, written down at length."""
    sums = [[0, 0], [0, 0]]
    for batch in images.split(BATCH):
        for layer in (0, 1):
            batch = network[3 * layer](batch)
            mean = batch.mean(axes, keepdim=True)
            var = batch.var(axes, keepdim=True, correction=correction)
            sums[layer][0] += mean.mean((0, 2, 3)) * BATCH / N
            sums[layer][1] += var.mean((0, 2, 3)) * BATCH / N
            plain = batch.var(axes, keepdim=True, correction=0)
            batch = after((batch - mean) / (plain + eps).sqrt())
            batch = batch.relu() if layer == 0 else batch
    for layer, (mean, var) in enumerate(sums):
        images = network[3 * layer](images)
        images = (images - mean[:, None, None]) / (var[:, None, None] + eps).sqrt()
        images = after(images)
        images = images.relu() if layer == 0 else images
    return sums, images


def as_it_is(x):
    return x


ALL = {"axes": (0, 2, 3), "correction": 1, "eps": 1e-5, "after": as_it_is}
KINDS = {
    "sync": (nn.SyncBatchNorm, ALL),
    "of a class of one's own": (OwnSync, ALL),
    "with its activation": (Activated, {**ALL, "after": lambda x: x.clamp(min=-0.5)}),
    "written out": (Written, {**ALL, "correction": 0, "eps": 1e-3}),
    "of parameters": (OfParameters, {**ALL, "correction": 0, "eps": 1e-3}),
    "frozen": (Frozen, {**ALL, "eps": 1e-3, "after": lambda x: 1.5 * x + 0.2}),
    "instance-norm": (
        lambda n: nn.InstanceNorm2d(n, track_running_stats=True),
        {**ALL, "axes": (2, 3)},
    ),
}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_of_every_class_are_measured(kind, threads, images):
    make, how = KINDS[kind]
    network = layers_of(make)
    found, statistics = measure(network, images, threads=threads)
    network = network.to(images.device)
    with torch.inference_mode():
        sums, outputs = plain_loop(network, images, **how)
        for layer, (mean, var) in zip((found[1], found[4]), sums, strict=True):
            torch.testing.assert_close(layer.running_mean.flatten(), mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(layer.running_var.flatten(), var, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found(images), outputs, rtol=1e-4, atol=1e-4)
    assert statistics.n_layers == 2
    assert not any(module.training for module in found.modules())


def tried(network, images):
    network = network.to(images.device)
    statistics = BatchNormStatistics([network], batch=BATCH, threads=1)
    with torch.inference_mode():
        statistics.try_layers(len(images), lambda rows: network(images[rows]))
    return statistics.description


def test_what_was_measured_in_words(images):
    assert tried(nn.Conv2d(1, 1, 1), images) == "no running statistics to measure"
    assert tried(layers_of(nn.SyncBatchNorm), images) == "the statistics of 2 measured again"
    assert tried(layers_of(Frozen), images) == (
        "the statistics of 2 measured again, 2 of them frozen in training (Frozen)"
    )


class Aside(nn.Module):
    """One layer serves training alone; the buffers of another are read past the layer."""

    def __init__(self, *, reads):
        super().__init__()
        self.reads = reads
        self.head, self.norm, self.aside = (nn.BatchNorm2d(1) for _ in range(3))

    def forward(self, x):
        if self.training:
            return self.aside(x)
        x = self.norm(x)
        return x - self.head.running_mean if self.reads else x


def test_a_layer_that_is_not_called_keeps_its_statistics_and_it_is_said(images):
    network = Aside(reads=False).eval()
    words = "the statistics of 1 measured again, 2 without effect (head, aside)"
    assert tried(network, images) == words
    before = {name: values.clone() for name, values in network.aside.named_buffers()}
    found, _ = measure(network, images, threads=1)
    for name, values in found.aside.named_buffers():
        assert torch.equal(values, before[name])


def test_statistics_that_cannot_be_measured_are_refused(images):
    network = Aside(reads=True).eval()
    words = (
        r"--batch-norm reestimate: the running statistics of head \(BatchNorm2d\) change the "
        r"outputs, but the network does not call head as a layer"
    )
    with pytest.raises(InputError, match=words):
        tried(network, images)
    assert not network.head.running_mean.any()


@pytest.mark.filterwarnings("ignore:.*jit.script. is deprecated:DeprecationWarning")
def test_layers_that_were_compiled_are_refused(images):
    network = torch.jit.script(nn.Sequential(nn.BatchNorm2d(1)).eval())
    with pytest.raises(InputError, match=r"of 0 \(BatchNorm2d\) change the outputs, but the netw"):
        tried(network, images)


class Strange(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(7))
        self.register_buffer("running_var", torch.ones(7))

    def forward(self, x):
        return x / self.running_var.sum()


def test_a_layer_whose_input_does_not_fit_its_statistics_is_refused(images):
    words = r"0 \(Strange\) has running statistics of 7 channels, but no axis of its input of "
    with pytest.raises(InputError, match=words):
        tried(nn.Sequential(Strange()).eval(), images)


class Sometimes(nn.Module):
    """A layer that half of the batches pass."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, x):
        return self.norm(x) if x.mean() > 0.9 else x


def test_batches_that_do_not_reach_a_layer_do_not_count(images):
    images[:BATCH] -= 5
    found, _ = measure(Sometimes().eval(), images, threads=2)
    assert float(found.norm.running_mean) == pytest.approx(float(images[BATCH:].mean()), rel=1e-5)


def test_a_copy_of_the_network_is_measured_as_itself(images):
    network = layers_of(nn.BatchNorm2d)
    BatchNormStatistics([network], batch=BATCH, threads=1)
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[1].weight.mul_(2)
        x = torch.randn(2, 4, 3, 3)
        torch.testing.assert_close(other[1](x), 2 * network[1](x))
    found, _ = measure(other, images, threads=1)
    expected = by_update_bn(other, images)
    torch.testing.assert_close(buffers(found), buffers(expected), rtol=1e-5, atol=1e-6)
