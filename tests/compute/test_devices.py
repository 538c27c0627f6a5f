"""The devices a process may take: names, choice, messages, and switches of float32.

Oracle: what torch reports for one kind of GPU, put in its place by hand, since no such GPU is
needed to choose one; for the switches torch's own registers, read in both of their forms.
"""

from __future__ import annotations

import copy
import os
import pickle
from types import SimpleNamespace

import pytest
import torch

from landscape_mpi.compute.derivatives import second_derivatives
from landscape_mpi.compute.devices import choice, cuda, recording, repeatability
from landscape_mpi.compute.devices.choice import choose_alone, describe_passed_over, device_named
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.cuda import CudaDevice
from landscape_mpi.compute.devices.xpu import XpuDevice
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.device_names import check_device
from landscape_mpi.errors import InputError

CONVOLUTION = torch.nn.Conv2d(2, 3, 1)


class Gpus:
    """GPUs as torch reports those of a kind."""

    def __init__(self, *uuids, name="NVIDIA H200", gib=140, capability=(9, 0)):
        self.uuids, self.name, self.gib, self.capability = uuids, name, gib, capability

    def put(self, monkeypatch, module):
        """Let torch report them."""
        reports = {
            "is_available": lambda: bool(self.uuids),
            "device_count": lambda: len(self.uuids),
            "get_device_name": lambda index: self.name,
            "get_device_capability": lambda index: self.capability,
            "get_device_properties": lambda index: SimpleNamespace(
                uuid=self.uuids[index], total_memory=self.gib << 30
            ),
        }
        for name, report in reports.items():
            monkeypatch.setattr(module, name, report)


@pytest.fixture(autouse=True)
def no_masks(monkeypatch):
    masks = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
    for name in (*masks, "ZE_AFFINITY_MASK"):
        monkeypatch.delenv(name, raising=False)


def test_auto_takes_the_first_kind_of_gpu_that_is_there(monkeypatch):
    assert choose_alone("auto") == CPU
    Gpus("a").put(monkeypatch, torch.xpu)
    assert choose_alone("auto") == XpuDevice(0)
    Gpus("b", "c").put(monkeypatch, torch.cuda)
    assert choose_alone("auto") == CudaDevice(0)
    assert choose_alone("xpu") == XpuDevice(0)
    assert choose_alone("cpu") == CPU


def test_a_process_alone_may_name_one_gpu(monkeypatch):
    Gpus("a", "b").put(monkeypatch, torch.cuda)
    assert check_device("cuda:1", "--device") == "cuda:1"
    assert choose_alone("cuda:1") == CudaDevice(1)
    with pytest.raises(InputError) as problem:
        choose_alone("cuda:2")
    assert str(problem.value) == (
        "--device cuda:2: torch sees 2 such GPUs here, counted from 0. Pass one of cuda:0 to "
        "cuda:1, or cuda."
    )
    Gpus().put(monkeypatch, torch.cuda)
    with pytest.raises(InputError, match="--device cuda:1: torch sees no such GPU here"):
        choose_alone("cuda:1")


def test_a_name_of_torch_gives_its_device():
    assert device_named("cuda:2") == CudaDevice(2)
    assert device_named("cuda") == CudaDevice(0)
    assert device_named("cpu").name == "cpu"
    assert CudaDevice(2).place == torch.device("cuda:2")


@pytest.mark.parametrize("asked", ["cuda", "xpu"])
def test_a_gpu_that_is_absent_is_refused(asked):
    with pytest.raises(InputError) as problem:
        choose_alone(asked)
    mask = choice.DEVICES[asked].mask
    assert str(problem.value) == (
        f"--device {asked}: torch sees no such GPU here. Ask the queue for GPUs, check {mask} and "
        f"that torch was built for such GPUs, or pass --device cpu."
    )


def driver_lists(folder, monkeypatch, lines, name="nvidia-smi"):
    """Put a tool of the driver on the path that lists GPUs."""
    words = "\n".join(f"echo '{line}'" for line in lines)
    (folder / name).write_text(f"#!/bin/sh\n{words}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_gpus_that_only_the_driver_sees_are_said(tmp_path, monkeypatch):
    assert describe_passed_over("auto") is None
    driver_lists(tmp_path, monkeypatch, ["GPU 0: NVIDIA H200 (UUID: GPU-1)", "GPU 1: NVIDIA H200"])
    words = f"nvidia-smi finds 2 GPUs here, but torch {torch.__version__} cannot use them: "
    told = describe_passed_over("auto")
    assert told is not None
    assert told.startswith(words)
    assert told.endswith("This run computes on the CPU.")
    assert describe_passed_over("cpu") is None
    with pytest.raises(InputError, match="--device cuda: torch sees no such GPU here. nvidia-smi"):
        choose_alone("cuda")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert describe_passed_over("auto") is None


def test_the_words_of_a_driver_that_is_too_old_are_passed_on(tmp_path, monkeypatch):
    def start():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nX")

    driver_lists(tmp_path, monkeypatch, ["GPU 0: NVIDIA A100"])
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", start)
    told = describe_passed_over("auto")
    assert told is not None
    assert "finds a GPU here, but" in told
    assert "driver on your system is too old (found version 11040). This run computes" in told


def test_a_driver_that_fails_counts_for_none(tmp_path, monkeypatch):
    driver_lists(tmp_path, monkeypatch, ["No devices were found"])
    assert describe_passed_over("auto") is None
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: x'\nexit 9\n")
    assert describe_passed_over("auto") is None


def test_slices_of_one_gpu_are_told_apart(monkeypatch):
    Gpus("GPU-1").put(monkeypatch, torch.cuda)
    assert CudaDevice.visible() == ["GPU-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aaaa")
    assert CudaDevice.visible() == ["MIG-aaaa"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")  # the UUID says more than a number
    assert CudaDevice.visible() == ["GPU-1"]


def test_gpus_without_a_uuid_go_by_their_mask(monkeypatch):
    Gpus("", "").put(monkeypatch, torch.xpu)
    assert XpuDevice.visible() == ["0", "1"]
    monkeypatch.setenv("ZE_AFFINITY_MASK", "4,5")
    assert XpuDevice.visible() == ["4", "5"]


def test_masks_of_amd_count_one_within_the_other(monkeypatch):
    Gpus("", "").put(monkeypatch, torch.cuda)
    monkeypatch.setattr(cuda, "MASKS", cuda.AMD_MASKS)
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "4,5")
    assert CudaDevice.visible() == ["4", "5"]
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1,0")
    assert CudaDevice.visible() == ["4,5/1", "4,5/0"]


def test_gpus_of_amd_that_only_the_driver_sees_are_said(tmp_path, monkeypatch):
    driver_lists(tmp_path, monkeypatch, ["GPU[0] : Name: MI300X", "GPU[0] : ID: 0x7"], "rocm-smi")
    monkeypatch.setattr(cuda, "LISTING", ("rocm-smi", "--showid"))
    told = describe_passed_over("auto")
    assert told is not None
    assert told.startswith("rocm-smi finds a GPU here")


def test_sizes_tell_models_apart(monkeypatch):
    Gpus("a", name="NVIDIA A100", gib=40).put(monkeypatch, torch.cuda)
    assert CudaDevice(0).describe() == "NVIDIA A100"
    assert CudaDevice(0).model() == "NVIDIA A100 of 40 GiB"


def test_tf32_is_of_nvidia_alone(monkeypatch):
    Gpus("a", name="AMD Instinct MI210", capability=(9, 0)).put(monkeypatch, torch.cuda)
    assert CudaDevice(0).precisions() == ("tf32", "bf16")
    monkeypatch.setattr(cuda, "IS_ROCM", True)
    assert CudaDevice(0).precisions() == ("bf16",)
    monkeypatch.setattr(cuda, "IS_ROCM", False)
    Gpus("a", capability=(7, 0)).put(monkeypatch, torch.cuda)
    assert CudaDevice(0).precisions() == ("bf16",)


def test_a_device_is_not_sent_to_another_rank():
    setting = Setting(CudaDevice(1), "fp32", 8)
    assert copy.deepcopy(setting) == setting
    with pytest.raises(TypeError, match="cuda:1 belongs to this rank"):
        pickle.dumps(setting)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mps", r"Apple's GPUs\) has no float64, which is needed to add up losses. Pass cpu"),
        ("cuda:-1", "'cuda:-1' is not known"),
        ("cpu:0", "'cpu:0' is not known. Did you mean cpu"),
        ("rocm", "Pass auto, which takes GPUs .*, cuda for those of NVIDIA and AMD"),
        ("tpu", "'tpu' is not known.* Known: auto, cuda, xpu, cpu"),
        ("cudd", "Did you mean cuda"),
    ],
)
def test_other_names_are_refused_with_a_way_out(name, words):
    with pytest.raises(InputError, match=f"^--device: '?{name}") as problem:
        check_device(name, "--device")
    assert problem.match(words)


SWITCHES = [name for name, _ in repeatability._places()]


def read_switches():
    """Return both forms of torch's registers; an older one may have no word for a newer one."""
    newer = {name: module.fp32_precision for name, module in repeatability._places()}
    older = {}
    for name, read in {
        "matmul": lambda: torch.backends.cuda.matmul.allow_tf32,
        "cudnn": lambda: torch.backends.cudnn.allow_tf32,
        "float32": torch.get_float32_matmul_precision,
    }.items():
        try:
            older[name] = read()
        except RuntimeError:
            older[name] = "mixed"
    return newer, older


@pytest.fixture
def switches():
    with repeatability.switches_restored():
        yield read_switches()


@pytest.mark.parametrize("place", [name for name in SWITCHES if name.startswith("cud") or not name])
def test_a_switch_that_a_module_sets_is_undone(place, switches):
    dict(repeatability._places())[place].fp32_precision = "tf32"
    repeatability.compute_repeatably()
    newer, older = read_switches()
    assert set(newer.values()) == {"ieee"}
    assert older == {"matmul": False, "cudnn": False, "float32": "highest"}


def test_a_processor_does_not_multiply_float32_in_bf16(switches):
    torch.set_float32_matmul_precision("medium")
    repeatability.compute_repeatably()
    newer, older = read_switches()
    assert set(newer.values()) == {"ieee"}
    assert older["float32"] == "highest"


def test_tf32_is_for_gpus_alone(switches):
    repeatability.compute_repeatably(tf32=True)
    newer, older = read_switches()
    assert {name for name, value in newer.items() if value == "tf32"} == {
        name for name in SWITCHES if name.startswith("cud")
    }
    assert older == {"matmul": True, "cudnn": True, "float32": "high"}


@pytest.mark.parametrize("user", ["highest", "high", "medium"])
def test_switches_are_given_back(user, switches):
    torch.set_float32_matmul_precision(user)
    torch.backends.cudnn.benchmark = True
    before = read_switches()
    with repeatability.switches_restored():
        repeatability.compute_repeatably(tf32=True)
        torch.use_deterministic_algorithms(True)
    assert read_switches() == before
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()


def test_cublas_adds_in_one_order(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    CudaDevice.visible()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")  # the user's own choice stays
    CudaDevice.visible()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize(("layer", "used"), [(torch.nn.LSTM(2, 3), False), (CONVOLUTION, True)])
def test_recurrent_layers_have_second_derivatives_without_cudnn(layer, used):
    assert torch.backends.cudnn.enabled
    with second_derivatives(torch.nn.Sequential(layer)):
        assert torch.backends.cudnn.enabled == used
    assert torch.backends.cudnn.enabled


@pytest.mark.parametrize(
    ("problem", "is_memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (torch.AcceleratorError("CUDA error: operation not permitted"), False),
    ],
)
def test_a_lack_of_memory_is_known_by_any_name(problem, is_memory):
    assert recording.is_for_memory(problem) == is_memory
    later = torch.AcceleratorError("CUDA error: operation failed due to a previous error")
    later.__context__ = problem
    assert recording.is_for_memory(later) == is_memory
