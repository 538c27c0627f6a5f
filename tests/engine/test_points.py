"""Oracle: ranks that differ on purpose. Runs on real ranks."""

import math
from types import SimpleNamespace

import pytest
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.cuda import CudaDevice
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.engine import setting_choice as tuning
from landscape_mpi.engine.point_evaluator import compare_losses, group_ranks
from landscape_mpi.engine.rank_device import (
    _check_one_kind,
    _say_mixed_models,
    describe,
    take_device,
)
from landscape_mpi.engine.request import Evaluation
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.shared_inputs import compare_digests

on_ranks = pytest.mark.parallel([2, 3])


@on_ranks
def test_ranks_with_other_directions_stop_on_all_ranks():
    ranks = start_ranks()
    compare_digests(ranks, "ab" * 32)
    last = ranks.size - 1
    sha256 = ("cd" if ranks.rank == last else "ab") * 32
    with pytest.raises(SharedInputError) as problem:
        compare_digests(ranks, sha256)
    assert f"has SHA-256 abababababababab, rank {last} on" in str(problem.value)


@on_ranks
def test_directions_that_are_not_those_of_the_file_stop_all_ranks():
    ranks = start_ranks()
    compare_digests(ranks, "ab" * 32, of_file="ab" * 32)
    with pytest.raises(SharedInputError) as problem:
        compare_digests(ranks, "ab" * 32, of_file="cd" * 32)
    assert "of SHA-256 abababababababab, but those in the file have cdcd" in str(problem.value)


@on_ranks
def test_one_gpu_is_not_for_several_ranks():
    ranks = start_ranks()
    words = (
        f"--device cuda:1: names a single GPU, but each of the {ranks.size} ranks .* Pass cuda, "
        f"and choose GPUs by CUDA_VISIBLE_DEVICES, or start one rank"
    )
    with pytest.raises(SharedInputError, match=words):
        take_device(ranks, "cuda:1")


@on_ranks
def test_a_rank_without_a_gpu_among_others_stops_all_ranks():
    ranks = start_ranks()
    own = CPU if ranks.rank == 1 else CudaDevice(0)
    with pytest.raises(SharedInputError, match=r"--device auto: node \S+ computes on cuda, node"):
        _check_one_kind(ranks, own)


class GpuOf(CudaDevice):
    """A GPU of some model and memory."""

    def __init__(self, name, gib):
        super().__init__(0)
        vars(self)["words"] = name, gib

    def describe(self):
        """Return its name."""
        return self.words[0]

    def model(self):
        """Return its name and its memory."""
        return "{} of {} GiB".format(*self.words)


@on_ranks
@pytest.mark.parametrize(("name", "gib", "differ"), [("A", 40, 0), ("A", 80, 1), ("B", 40, 1)])
def test_gpus_of_several_models_are_said_and_stored(name, gib, differ, capsys):
    ranks = start_ranks()
    own = GpuOf(name, gib) if ranks.rank == 1 else GpuOf("A", 40)
    _say_mixed_models(ranks, own)
    said = capsys.readouterr().out
    expected = f"GPUs of several models: A of 40 GiB on {ranks.host}, {name} of {gib} GiB on"
    parallel_assert(said.startswith(expected) if differ and ranks.is_root else not said)
    stored = ranks.comm.allgather(describe(ranks, own))
    parallel_assert(stored[1] == (f"{name} of {gib} GiB" if differ else "A"))
    parallel_assert(stored[0] == ("A of 40 GiB" if differ else "A"))


@on_ranks
@pytest.mark.parametrize("sampling", [None, SamplingRule(0.02, 0.0)])
def test_ranks_with_different_numbers_of_threads_form_the_same_groups(sampling):
    ranks = start_ranks()
    subject = SimpleNamespace(n_samples={"train": 1000})
    own = {"evaluation": Evaluation(), "n_together": 3, "sampling": sampling}
    plan = SimpleNamespace(subject=subject, **own)
    setting = Setting(CPU, "fp32", 16, threads=5 - ranks.rank)
    groups = ranks.comm.allgather(group_ranks(ranks, plan, setting).of_rank)
    parallel_assert(len(set(groups)) == 1)


@on_ranks
def test_what_rank_0_tunes_leaves_each_rank_its_device(monkeypatch):
    ranks = start_ranks()
    found = (512, True, "compiled it is 2.00 times as fast")
    monkeypatch.setattr(tuning, "choose_batch_and_code", lambda *_, **__: found)
    plan = SimpleNamespace(
        begun=None,
        evaluation=Evaluation(compile="auto"),
        subject=SimpleNamespace(n_samples={"train": 100}),
        n_pending=9,
    )
    own = Setting(CudaDevice(ranks.rank), "tf32", 1024, threads=1 + ranks.rank)
    tuned = tuning.tune(ranks, plan, SimpleNamespace(), own)
    expected = Setting(CudaDevice(ranks.rank), "tf32", 512, threads=1 + ranks.rank, compiled=True)
    parallel_assert(tuned == expected)


@on_ranks
@pytest.mark.parametrize("other", [2.5, math.nan, math.inf])
def test_a_rank_with_another_network_stops_all_ranks(other):
    ranks = start_ranks()
    compare_losses(ranks, 2.0)
    compare_losses(ranks, math.nan)  # all of them: a result
    last = ranks.size - 1
    with pytest.raises(SharedInputError, match="their networks differ") as problem:
        compare_losses(ranks, other if ranks.rank == last else 2.0)
    assert f"rank 0 has the loss 2, rank {last} on" in str(problem.value)
