"""Oracles: the documentation of CUDA and of torch.cuda, and the same calculation on the CPU.

docs.pytorch.org/docs/stable/notes/cuda.html for devices, streams, memory and graphs; the CUDA
runtime's reference for contexts (cudaSetDevice), CUDA_VISIBLE_DEVICES and captures
(cudaStreamBeginCapture).
"""

import copy
import gc
import io
import json
import os
import subprocess
import sys
import threading
from functools import partial

import pytest
import torch
from folders import TESTS
from torch import nn
from torch.nn import functional

FAKE = TESTS / "fake_cuda"
pytestmark = pytest.mark.fake_gpus


@pytest.fixture
def control():
    from fake_gpus import control

    return control


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)
    )


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


# Devices.


def test_tensors_say_where_they_are():
    there = torch.arange(6.0).view(2, 3).to("cuda:1")
    assert str(there.device) == "cuda:1"
    assert there.is_cuda
    assert (there * 2).cpu().tolist() == [[0, 2, 4], [6, 8, 10]]
    with pytest.raises(TypeError, match="can't convert cuda:1 device type tensor to numpy"):
        there.numpy()


def test_training_steps_have_the_bits_of_the_cpu():
    here, there = small_network(), small_network().to("cuda:1")
    for network in (here, there):
        place = next(network.parameters()).device
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        for _ in range(2):
            optimizer.zero_grad()
            targets = torch.tensor([1, 2], device=place)
            functional.cross_entropy(network(IMAGES.to(place)), targets).backward()
            optimizer.step()
    for name, tensor in here.state_dict().items():
        assert torch.equal(tensor, there.state_dict()[name].cpu()), name


def test_second_derivatives_have_the_bits_of_the_cpu():
    def product(place):
        network = small_network().to(place)
        parameters = tuple(network.parameters())
        loss = functional.cross_entropy(network(IMAGES.to(place)), torch.tensor([1, 2]).to(place))
        slopes = torch.autograd.grad(loss, parameters, create_graph=True)
        along = sum((slope * torch.ones_like(slope)).sum() for slope in slopes)
        return torch.autograd.grad(along, parameters)

    for here, there in zip(product("cpu"), product("cuda:1"), strict=True):
        assert torch.equal(here, there.cpu())


def test_a_recurrent_network_on_a_gpu():
    torch.manual_seed(0)
    for kind in (nn.LSTM, nn.GRU):
        here = kind(3, 4)
        there = copy.deepcopy(here).to("cuda:1")
        words = torch.randn(5, 2, 3)
        outputs = [net(words.to(p))[0] for net, p in ((here, "cpu"), (there, "cuda:1"))]
        torch.testing.assert_close(outputs[0], outputs[1].cpu(), rtol=0, atol=1e-6)
        for each in outputs:
            each.square().sum().backward()
        for name, parameter in here.named_parameters():
            found = there.get_parameter(name).grad.cpu()
            torch.testing.assert_close(parameter.grad, found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("calculate", "words"),
    [
        (lambda here, there, other: there + here, "at least two devices, cuda:1 and cpu!"),
        (lambda here, there, other: there * other, "at least two devices, cuda:1 and cuda:0!"),
        (lambda here, there, other: there @ here, "mat2 is on cpu, different from .* on cuda:1"),
        (lambda here, there, other: here[there.long()], "same device as the indexed tensor \\(cpu"),
    ],
)
def test_tensors_on_several_devices(calculate, words):
    here = torch.ones(2, 2)
    with pytest.raises(RuntimeError, match=words):
        calculate(here, here.to("cuda:1"), here.to("cuda:0"))


def test_numbers_and_indices_of_the_host_go_with_any_device():
    there = torch.arange(4.0, device="cuda:1")
    assert (there * torch.tensor(2.0))[torch.tensor([0, 3])].tolist() == [0, 6]


def test_a_device_that_is_not_there():
    with pytest.raises(torch.AcceleratorError, match="CUDA error: invalid device ordinal"):
        torch.zeros(1, device="cuda:2")
    with pytest.raises(torch.AcceleratorError, match="CUDA error: invalid device ordinal"):
        torch.cuda.set_device(2)


def test_a_thread_begins_at_device_0():
    found = []
    with torch.cuda.device(1):
        assert torch.cuda.current_device() == 1
        assert torch.zeros(1, device="cuda").device.index == 1
        thread = threading.Thread(target=lambda: found.append(torch.zeros(1, device="cuda").device))
        thread.start()
        thread.join()
    assert [device.index for device in found] == [0]
    assert torch.cuda.current_device() == 0


def test_copies_of_modules_and_files_stay_on_their_device():
    network = copy.deepcopy(small_network().to("cuda:1"))
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    for place, expected in ((None, "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")):
        file.seek(0)
        state = torch.load(file, map_location=place)
        assert {str(tensor.device) for tensor in state.values()} == {expected}


def test_views_are_of_the_same_memory():
    there = torch.zeros(3, 4, device="cuda:1")
    there.view(12)[5] = 1
    there.T[3, 2] = 2
    there.unfold(1, 2, 2)[0, 0].fill_(3)
    expected = [[3, 3, 0, 0], [0, 1, 0, 0], [0, 0, 0, 2]]
    assert there.tolist() == expected
    assert there.detach().untyped_storage().data_ptr() == there.untyped_storage().data_ptr()


# Random numbers.


def test_each_device_has_a_generator_of_its_own():
    torch.manual_seed(3)
    here = torch.randn(5)
    torch.manual_seed(3)
    there = [torch.randn(5, device=f"cuda:{index}").cpu() for index in (0, 1)]
    assert torch.equal(here, torch.randn(5))
    assert all(torch.equal(here, each) for each in there)
    state = torch.cuda.get_rng_state(1)
    first = functional.dropout(torch.ones(64, device="cuda:1"))
    torch.cuda.set_rng_state(state, 1)
    assert torch.equal(first, functional.dropout(torch.ones(64, device="cuda:1")))


def test_a_generator_of_another_device():
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found"):
        torch.randn(3, device="cuda:1", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found"):
        torch.randn(3, generator=torch.Generator("cuda:1"))


# Contexts.


def test_what_opens_a_context(control):
    torch.cuda.init()
    torch.cuda.get_device_properties(1)
    assert torch.cuda.device_count() == 2
    assert control.contexts() == []
    torch.zeros(1, device="cuda:1")
    assert control.contexts() == [1]
    torch.cuda.mem_get_info(0)
    assert control.contexts() == [0, 1]


@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.cuda.set_device(1),
        lambda: torch.cuda.synchronize(1),
        lambda: torch.cuda.Stream(1),
        lambda: torch.cuda.Event().record(torch.cuda.default_stream(1)),
        lambda: torch.cuda.device(1).__enter__(),
    ],
)
def test_calls_that_open_a_context(control, call):
    call()
    assert 1 in control.contexts()
    torch.cuda.device(0).__exit__(None, None, None)


def test_the_end_of_a_guard_opens_none(control):
    with torch.cuda.device(1):
        pass
    assert control.contexts() == [1]


def test_the_threads_of_autograd_open_none(control):
    weight = torch.ones(3, device="cuda:1", requires_grad=True)
    (weight * weight).sum().backward()
    assert control.contexts() == [1]


def test_a_synchronization_in_a_thread_opens_one_on_device_0(control):
    torch.cuda.set_device(1)
    thread = threading.Thread(target=torch.cuda.synchronize)
    thread.start()
    thread.join()
    assert control.contexts() == [0, 1]


def test_a_context_that_is_not_allowed(control):
    words = "a context was opened on cuda:0, and this process may have one on cuda:1 only"
    with control.only_on(1):
        torch.zeros(1, device="cuda:1")
        with pytest.raises(RuntimeError, match=words):
            torch.zeros(1, device="cuda:0")
    torch.zeros(1, device="cuda:0")


# Memory.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_fresh_memory_is_not_a_number(dtype):
    assert torch.empty(100, dtype=dtype, device="cuda").isnan().all()
    assert torch.empty_like(torch.zeros(7, dtype=dtype, device="cuda:1")).isnan().all()


def test_fresh_memory_of_integers_is_absurd():
    for dtype in (torch.int16, torch.int32, torch.int64):
        assert (torch.empty(9, dtype=dtype, device="cuda") > 0.99 * torch.iinfo(dtype).max).all()


def test_statistics_are_those_of_the_allocator(control):
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(1)
    kept = torch.cuda.memory_reserved(1)  # failed recordings of other tests are never freed
    free, total = torch.cuda.mem_get_info(1)
    held = torch.zeros(1000, device="cuda:1")
    passing = torch.zeros(5000, device="cuda:1")
    assert torch.cuda.memory_allocated(1) == 4096 + 20480  # multiples of 512 bytes
    del passing
    assert torch.cuda.memory_allocated(1) == 4096
    assert torch.cuda.max_memory_allocated(1) == 4096 + 20480
    assert torch.cuda.memory_reserved(1) - kept == 4096 + 20480
    assert torch.cuda.mem_get_info(1) == (free - 4096 - 20480, total)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved(1) - kept == 4096
    assert torch.cuda.mem_get_info(1)[0] == free - 4096
    torch.cuda.reset_peak_memory_stats(1)
    assert torch.cuda.max_memory_allocated(1) == 4096
    assert torch.cuda.memory_allocated(0) == 0
    assert held.device.index == 1


def test_results_of_operations_are_counted():
    images = torch.zeros(8, 3, 8, 8, device="cuda:1")
    before = torch.cuda.memory_allocated(1)
    made = functional.conv2d(images, torch.zeros(4, 3, 3, 3, device="cuda:1"))
    assert torch.cuda.memory_allocated(1) - before == -(-made.nbytes // 512) * 512


def test_more_than_fits(control):
    with control.room_for(1 << 20, 1):
        torch.zeros(1 << 18, device="cuda:1")
        with pytest.raises(torch.OutOfMemoryError, match=r"CUDA out of memory. Tried to allocate"):
            torch.zeros((1 << 18) + 1, device="cuda:1")
        images = torch.zeros(4, 3, 64, 64, device="cuda:1")
        kernels = torch.zeros(32, 3, 3, 3, device="cuda:1")
        with pytest.raises(torch.OutOfMemoryError):
            functional.conv2d(images, kernels)  # the output of a kernel does not fit either
        torch.zeros(1 << 19, device="cuda:0")
    torch.zeros(1 << 19, device="cuda:1")


def test_more_than_a_small_gpu_has(control):
    with control.like(0, total_memory=1 << 20):
        assert torch.cuda.mem_get_info(0)[1] == 1 << 20
        with pytest.raises(torch.OutOfMemoryError, match="total capacity of 1 MiB"):
            torch.zeros(1 << 19, device="cuda:0")


# Streams.


def test_streams_are_current_per_thread_and_device():
    with torch.cuda.device(1):
        stream = torch.cuda.Stream()
    assert stream.device.index == 1
    with torch.cuda.stream(stream):
        assert torch.cuda.current_stream(1) == stream
        assert torch.cuda.current_stream(0) == torch.cuda.default_stream(0)
        found = []
        thread = threading.Thread(target=lambda: found.append(torch.cuda.current_stream(1)))
        thread.start()
        thread.join()
    assert found == [torch.cuda.default_stream(1)]
    assert torch.cuda.current_stream(1) == torch.cuda.default_stream(1)


def test_events_measure_time():
    first, second = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    second.record()
    second.synchronize()
    assert first.query()
    assert first.elapsed_time(second) >= 0


# Graphs.


def captured(work, **options):
    """Return the graph of some work, and its result.

    Torch's own stream for captures is on the device that was current when it was first needed.
    """
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.cuda.graph(graph, **{"stream": stream} | options):
        result = work()
    return graph, result


def test_a_capture_has_no_effect_and_a_replay_has():
    held = torch.ones(3, device="cuda:1")
    with torch.cuda.device(1):
        graph, result = captured(lambda: held.add_(1) * 2)
    assert held.tolist() == [1, 1, 1]
    assert result.isnan().all()
    graph.replay()
    assert held.tolist() == [2, 2, 2]
    assert result.tolist() == [4, 4, 4]
    held.fill_(10)
    graph.replay()
    assert result.tolist() == [22, 22, 22]


def test_a_replay_has_the_bits_of_the_launches(control):
    network, images = small_network().to("cuda:1").eval(), IMAGES.to("cuda:1")
    with torch.cuda.device(1), torch.inference_mode():
        graph, result = captured(lambda: network(images))
        images.mul_(0.5)
        expected = network(images)
        before = control.counts()
        graph.replay()
        after = control.counts()
        assert torch.equal(result, expected)
    assert after["replays"] - before["replays"] == 1
    assert after["synchronizations"] == before["synchronizations"]


def test_a_capture_of_derivatives():
    weight = torch.full((3,), 2.0, device="cuda:1", requires_grad=True)

    def slope():
        return torch.autograd.grad((weight**3).sum(), weight)[0]

    with torch.cuda.device(1):
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            slope()
        graph, result = captured(slope, stream=side)
    graph.replay()
    assert result.tolist() == [12, 12, 12]


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda there: there.sum().item(),
        lambda there: there.nonzero(),
        lambda there: there[there > 0],
        lambda there: there.cpu(),
        lambda there: there.copy_(torch.zeros(4)),
        lambda there: torch.tensor([1.0], device="cuda:1"),
        lambda there: there[torch.tensor([1, 2])],
        lambda there: bool((there > 0).all()),
        lambda there: torch.cuda.synchronize(),
        lambda there: torch.cuda.current_stream().synchronize(),
    ],
)
def test_what_waits_for_the_device_breaks_a_capture(control, forbidden):
    torch.cuda.set_device(1)
    there = torch.ones(4, device="cuda:1")
    outside = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()

    def capture():
        with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
            there.add_(1)
            forbidden(there)

    words = "operation failed due to a previous error during capture"
    with pytest.raises(torch.AcceleratorError, match=words) as caught:
        capture()
    assert "operation not permitted when stream is capturing" in str(caught.value.__context__)
    assert not control.is_capturing()
    assert there.tolist() == [1] * 4
    # Torch leaves the stream of a failed capture behind.
    assert torch.cuda.current_stream() != outside
    torch.cuda.set_stream(outside)
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()


def test_a_capture_on_the_default_stream():
    with pytest.raises(RuntimeError, match="captured on a non-default stream"):
        torch.cuda.CUDAGraph().capture_begin()


def test_other_streams_go_on_during_a_capture():
    held = torch.zeros(2, device="cuda:0")
    other = torch.cuda.Stream()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
        assert torch.cuda.is_current_stream_capturing()
        with torch.cuda.stream(other):
            assert not torch.cuda.is_current_stream_capturing()
            held.fill_(5)
        joined = torch.cuda.Stream()
        joined.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(joined):
            held.add_(1)
        torch.cuda.current_stream().wait_stream(joined)
    assert held.tolist() == [5, 5]
    graph.replay()
    assert held.tolist() == [6, 6]


def sum_of_exp(tensor):
    return ((tensor + 1) * 2).exp().sum()


def test_a_graph_keeps_its_memory_and_not_that_of_its_inputs(control):
    held = torch.ones(256, device="cuda:0")
    before, pooled = torch.cuda.memory_allocated(0), control.usage(0)["pooled"]
    graph, result = captured(partial(sum_of_exp, held))
    graph.replay()
    assert result.item() == pytest.approx(256 * torch.tensor(4.0).exp().item())
    # Three results of 1,024 bytes share the memory of two, since the first is freed in time.
    assert torch.cuda.memory_allocated(0) == before + 512
    assert control.usage(0)["pooled"] - pooled == 2 * 1024
    del held
    with pytest.raises(RuntimeError, match="memory which was freed since its capture"):
        graph.replay()
    del graph, result
    assert control.usage(0)["pooled"] == pooled


def test_graphs_may_share_a_pool(control):
    held = torch.ones(256, device="cuda:0")
    pool, pooled = torch.cuda.graph_pool_handle(), control.usage(0)["pooled"]
    graphs = [captured(lambda: (held + 1).sum(), pool=pool) for _ in range(3)]
    assert control.usage(0)["pooled"] - pooled == 1024
    for graph, result in graphs:
        graph.replay()
        assert result.item() == 512
    assert graphs[0][0].pool() == pool


def test_dropout_draws_other_numbers_at_each_replay():
    ones = torch.ones(64, device="cuda:0")
    state = torch.cuda.get_rng_state(0)
    graph, result = captured(lambda: functional.dropout(ones))
    assert torch.equal(state, torch.cuda.get_rng_state(0))
    graph.replay()
    first = result.clone()
    graph.replay()
    assert set(result.tolist()) == {0.0, 2.0}
    assert not torch.equal(first, result)


def fill_in_a_capture(control, n_bytes):
    """Add in a capture until no more fits, which leaves torch's stream of the capture behind."""
    held = torch.ones(1 << 16, device="cuda:0")
    with control.room_for(n_bytes, 0):
        try:
            captured(lambda: [held + 1 for _ in range(5)])
        finally:
            torch.cuda.set_stream(torch.cuda.default_stream())


def test_no_memory_in_a_capture(control):
    with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate 0.25 MiB"):
        fill_in_a_capture(control, 1 << 19)
    fill_in_a_capture(control, 5 << 18)


def test_no_memory_in_a_capture_that_breaks_it(control):
    words = "operation failed due to a previous error during capture"
    with control.captures_break_without_memory():
        with pytest.raises(torch.AcceleratorError, match=words):
            fill_in_a_capture(control, 1 << 19)
        fill_in_a_capture(control, 5 << 18)
        with pytest.raises(torch.OutOfMemoryError), control.room_for(1 << 19, 0):
            torch.ones(1 << 18, device="cuda:0")  # outside a capture it is one of memory


# Several models, and processes of their own.


def test_gpus_of_two_models(control):
    with control.like(1, name="Tesla V100-SXM2-32GB", major=7, minor=0, uuid="MIG-7"):
        assert [torch.cuda.get_device_name(i) for i in (0, 1)] == [
            "NVIDIA H200",
            "Tesla V100-SXM2-32GB",
        ]
        assert torch.cuda.get_device_capability(1) == (7, 0)
        assert torch.cuda.get_device_properties("cuda:1").uuid == "MIG-7"
    assert torch.cuda.get_device_capability(1) == (9, 0)


def in_a_process(code, **variables):
    environment = os.environ | {"PYTHONPATH": str(FAKE), "FAKE_GPUS": "2"} | variables
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


UUIDS = [f"fa4e0000-0000-4000-8000-{place:012d}" for place in range(4)]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, [0, 1, 2, 3]),
        ("2", [2]),
        ("3,1", [3, 1]),
        ("", []),
        ("-1", []),
        ("1,9,2", [1]),  # a wrong number hides all that follow
        ("1,1", []),
        (f"GPU-{UUIDS[2]},GPU-{UUIDS[0]}", [2, 0]),
        ("1,word", [1]),
    ],
)
def test_visible_devices(visible, expected):
    from fake_gpus.machine import gpus_of, visible_places

    assert visible_places(visible, gpus_of("4")) == expected


def test_a_process_sees_the_visible_devices():
    code = (
        "import torch; n = torch.cuda.device_count();"
        "print(n, *(torch.cuda.get_device_properties(i).uuid for i in range(n)))"
    )
    seen = in_a_process(code, FAKE_GPUS="3", CUDA_VISIBLE_DEVICES="2,0")
    assert seen == ["2", UUIDS[2], UUIDS[0]]
    assert in_a_process("import torch; print(torch.cuda.is_available())", FAKE_GPUS="0") == [
        "False"
    ]


def test_models_by_name():
    from fake_gpus.machine import gpus_of

    assert [gpu.name for gpu in gpus_of("H200,V100")] == ["NVIDIA H200", "Tesla V100-SXM2-32GB"]
    with pytest.raises(ValueError, match="there is no model B1. It takes a number, or models"):
        gpus_of("H200,B1")


def test_a_process_reports_its_contexts(tmp_path):
    code = "import torch; torch.zeros(1, device='cuda:0')"
    variables = {"CUDA_VISIBLE_DEVICES": "1", "FAKE_GPUS_REPORT": str(tmp_path)}
    in_a_process(code, **variables, OMPI_COMM_WORLD_RANK="3")
    (report,) = (json.loads(path.read_text()) for path in tmp_path.iterdir())
    assert (report["rank"], report["contexts"]) == (3, [1])  # as the machine counts them


def test_the_only_device_of_a_process():
    code = (
        "import torch; torch.zeros(1, device='cuda:1')\n"
        "try: torch.zeros(1, device='cuda:0')\n"
        "except RuntimeError: print('refused')"
    )
    assert in_a_process(code, FAKE_GPUS_ONLY="1") == ["refused"]
    assert in_a_process(code, FAKE_GPUS_ONLY="OWN", OWN="1") == ["refused"]


def test_a_forked_process_cannot_start_cuda():
    code = (
        "import os, torch; torch.cuda.device_count()\n"
        "if os.fork() == 0:\n"
        "  try: torch.zeros(1, device='cuda')\n"
        "  except RuntimeError as error: print(error, flush=True)\n"
        "  os._exit(0)\n"
        "os.wait()"
    )
    words = " ".join(in_a_process(code))
    assert words.startswith("Cannot re-initialize CUDA in forked subprocess.")


def test_help_does_not_wait_for_torch():
    code = "import sys; print('torch' in sys.modules)"
    assert in_a_process(code) == ["False"]


def test_memory_is_given_back():
    held = torch.zeros(100, device="cuda:1")
    weak = small_network().to("cuda:1")
    del held, weak
    gc.collect()
    assert torch.cuda.memory_allocated(1) == 0
