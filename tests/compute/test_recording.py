"""CUDA graphs on fake GPUs, where a recording computes nothing and a replay is what was recorded.

Oracle: the same work done plainly; what the fake GPUs count of memory and launches.
"""

from __future__ import annotations

import pytest
import torch

from landscape_mpi.compute.cost import measure_machine
from landscape_mpi.compute.devices import recording
from landscape_mpi.compute.devices.cuda import CudaDevice
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.lanczos import find_ends

pytestmark = pytest.mark.fake_gpus
MIB = 1 << 20


@pytest.fixture
def second():
    """The second GPU, on which this process computes."""
    found = CudaDevice(1)
    found.bind()
    yield found
    recording._recorders.clear()
    recording._failed.clear()
    torch.cuda.empty_cache()


def squares(kept, given):
    """Return work that fills kept with the squares of given, by a tensor of its own."""

    def work():
        with torch.inference_mode():
            kept.copy_((given * given).clone())

    return work


def made(second, n=4):
    given = torch.arange(float(n), device=second.place)
    return torch.zeros(n, device=second.place), given


def test_a_replay_follows_its_inputs(second):
    kept, given = made(second)
    replay = second.record(squares(kept, given))
    kept.zero_()
    given.add_(1)
    assert kept.cpu().tolist() == [0, 0, 0, 0]
    replay()
    assert kept.cpu().tolist() == [1, 4, 9, 16]


def test_recordings_share_their_memory(second):
    from fake_gpus import control

    n = MIB  # 4 MiB a tensor
    pairs = [made(second, n) for _ in range(5)]
    replays, pooled = [], []
    for kept, given in pairs:
        replays.append(second.record(squares(kept, given)))
        pooled.append(control.usage(1)["pooled"])
    assert pooled[-1] == pooled[0] > 0
    for replay in reversed(replays):
        replay()
    for kept, given in pairs:
        assert torch.equal(kept, given * given)


def test_after_one_that_fails_the_next_is_recorded(second):
    kept, given = made(second)

    def reads():
        kept.fill_(given.sum().item())

    with pytest.raises(RuntimeError, match="previous error during capture") as problem:
        second.record(reads)
    assert "not permitted when stream is capturing" in str(problem.value.__context__)
    assert not isinstance(problem.value, torch.OutOfMemoryError)
    assert not recording.is_underway()
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    second.record(squares(kept, given))()
    assert kept.cpu().tolist() == [0, 1, 4, 9]


@pytest.mark.parametrize("says_why", [True, False])
def test_a_lack_of_memory_is_known_whatever_cuda_says(second, says_why):
    from contextlib import nullcontext

    from fake_gpus import control

    kept, given = made(second, MIB)
    held = []

    def work():
        held.append(torch.empty_like(given))  # as libraries hold a workspace
        squares(kept, given)()

    words = nullcontext() if says_why else control.captures_break_without_memory()
    with control.room_for(13 * MIB, 1), words, pytest.raises(torch.OutOfMemoryError):
        second.record(work)  # 12 MiB plainly, of which 4 stay, and 12 in the recording
    held.clear()
    second.record(squares(kept, given))()
    assert torch.equal(kept, given * given)


def test_the_machine_is_measured_on_the_ranks_own_gpu(second):
    from fake_gpus import control

    setting = Setting(second, "fp32", 8, threads=1)
    rates = measure_machine(setting, matrix_size=64, copy_bytes=1 << 16)
    assert rates.operations_per_s > 0
    assert control.contexts() == [1]


def test_lanczos_launches_little_for_many_weights(second):
    """At 64 Ki entries a time, as on a CPU, 2 Mi weights would take 32 times as many launches."""
    from fake_gpus import control

    n, products = 2 * MIB, 4
    diagonal = torch.linspace(-1, 2, n, device=second.place, dtype=torch.float64)
    start = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(second.place)
    before = control.counts()["launches"]
    ends = find_ends(lambda vector: diagonal * vector, start, tolerance=1e-9, max_products=products)
    assert ends.n_products == products
    assert control.counts()["launches"] - before < 100 * products
