"""Oracles: torch's own state_dict of the network that was saved, hashlib over the file, and
the sentences. Damaged files are made from good ones by cutting bytes off.
"""

import hashlib
import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from refusals import refused
from torch import nn

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.checkpoint import (
    classifier_size,
    fitted,
    load_state,
    map_checkpoint,
    read_checkpoint,
    write_checkpoint,
)
from landscape_mpi.zoo.networks import build_network


class Small(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3)
        self.bn = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, 2)


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.fixture
def network():
    torch.manual_seed(1)
    made = Small()
    made.bn.running_mean.normal_()
    made.bn.num_batches_tracked.fill_(7)
    return made


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pt"


def saved(path, content, **settings):
    torch.save(content, path, **settings)
    return path


def refusal(path, **settings):
    text = refused(read_checkpoint, path, **settings)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


def refused_load(network, path):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError) as caught:
        load_state(network, read_checkpoint(path))
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    return str(caught.value).removeprefix(f"{path}: ")


def assert_loads(network, path, **settings):
    torch.manual_seed(2)
    other = Small()
    load_state(other, read_checkpoint(path, **settings))
    expected = network.state_dict()
    assert all(torch.equal(t, expected[name]) for name, t in other.state_dict().items())


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_state_loads_exactly(network, path, wrapper, prefix):
    state = {prefix + name: tensor for name, tensor in network.state_dict().items()}
    assert_loads(network, saved(path, {"epoch": 3, wrapper: state, "loss": 0.5}))


@pytest.mark.parametrize("zipped", [True, False])
def test_bare_state_loads_in_both_of_torchs_formats(network, path, zipped):
    saved(path, network.state_dict(), _use_new_zipfile_serialization=zipped)
    assert_loads(network, path)


def test_names_of_networks_do_not_hide_the_state(network, path):
    assert_loads(network, saved(path, {"model": "small", "state_dict": network.state_dict()}))


def test_safetensors_load(network, tmp_path):
    file = tmp_path / "net.safetensors"
    safetensors.torch.save_file(network.state_dict(), file)
    assert_loads(network, file)


def test_wrapped_network_takes_a_plain_state(network, path):
    saved(path, network.state_dict())
    wrapped = nn.DataParallel(Small())
    load_state(wrapped, read_checkpoint(path))
    assert torch.equal(wrapped.module.conv.weight, network.conv.weight)


def test_digest_is_that_of_the_file(network, path):
    saved(path, network.state_dict())
    assert read_checkpoint(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_checkpoint(str(path)).path == path


def test_counters_of_batches_may_be_missing(network, path):
    state = network.state_dict()
    del state["bn.num_batches_tracked"]
    other = Small()
    load_state(other, read_checkpoint(saved(path, state)))
    assert torch.equal(other.bn.running_mean, network.bn.running_mean)
    assert other.bn.num_batches_tracked == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_converted_and_named(network, path, dtype):
    state = {
        n: t.to(dtype) if t.is_floating_point() else t for n, t in network.state_dict().items()
    }
    checkpoint = read_checkpoint(saved(path, state))
    assert checkpoint.dtypes == (str(dtype).removeprefix("torch."),)
    other = Small()
    load_state(other, checkpoint)
    assert other.conv.weight.dtype == torch.float32
    assert torch.equal(other.conv.weight, network.conv.weight.to(dtype).float())


def test_weights_too_large_for_the_network_are_refused(network, path):
    state = {n: t.double() if t.is_floating_point() else t for n, t in network.state_dict().items()}
    state["linear.bias"][1] = 1e300
    assert "NaN or infinite weights in linear.bias (1 of 2)" in refused_load(
        Small(), saved(path, state)
    )


def test_missing_file_and_directory(network, tmp_path):
    saved(tmp_path / "net_100.pt", network.state_dict())
    with pytest.raises(
        MissingInputError, match=r"no such checkpoint. Did you mean .*/net_100.pt\?"
    ):
        read_checkpoint(tmp_path / "net_10.pt")
    with pytest.raises(MissingInputError, match=r"nowhere/net.pt: no such checkpoint.$"):
        read_checkpoint(tmp_path / "nowhere" / "net.pt")
    assert refusal(tmp_path) == (
        "is a directory. Name the checkpoint file in it: it holds net_100.pt. A folder is a "
        "checkpoint itself only if it holds model.safetensors, pytorch_model.bin or the index of "
        "its shards, or .metadata."
    )


def test_empty_file(path):
    path.touch()
    assert refusal(path) == (
        "is empty; the program that wrote it was probably interrupted. Take another checkpoint."
    )


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_truncated_file(network, path, zipped, share):
    saved(path, network.state_dict(), _use_new_zipfile_serialization=zipped)
    size = int(share * path.stat().st_size)
    os.truncate(path, size)
    assert refusal(path).startswith(f"is truncated or damaged, {size:,} bytes (")


@pytest.mark.parametrize("size", [3, 40, -1])
def test_truncated_safetensors(network, tmp_path, size):
    file = tmp_path / "net.safetensors"
    file.write_bytes(safetensors.torch.save(network.state_dict())[:size])
    assert refusal(file).startswith("is not a safetensors file, or is truncated: Error while")


def test_a_tensor_that_claims_more_than_the_file_holds(path):
    saved(path, {"w": torch.ones(1).expand(10**6, 10**7)})
    assert path.stat().st_size < 10_000
    words = "claims to hold 36.4 TiB, but this node has only "
    assert refusal(path).startswith(words)
    assert refused(map_checkpoint, path).startswith(f"{path}: {words}")
    saved(path, {"w": torch.ones(1).expand(10, 100)})
    assert read_checkpoint(path).state["w"].sum() == 1000


def test_other_files_are_no_checkpoints(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    expected = "is not a checkpoint of torch.save or safetensors, or is damaged; it begins with "
    again = "b'version https://'. Name a checkpoint, or copy it again."
    assert refusal(path) == expected + again
    assert refusal(path, trust=True) == expected + again
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))
    assert refusal(path).startswith(expected + "b'PK")
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert refusal(path).startswith(expected + "b'\\x80")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_file(network, path):
    saved(path, network.state_dict()).chmod(0)
    assert refusal(path).startswith("cannot be read: ")


def test_code_is_not_run_without_trust(network, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(path, {"state_dict": network.state_dict(), "hook": Hostile()})
    assert refusal(path) == (
        "holds posix.mkdir, not only tensors, and loading such an object can run code. Save only "
        "network.state_dict(), or pass --trust-checkpoint if you trust the author of the file."
    )
    assert not (tmp_path / "ran").exists()


def test_harmless_extras_need_trust_too(network, path):
    saved(path, {"state_dict": network.state_dict(), "best": np.float64(93.2)})
    assert refusal(path).startswith("holds numpy._core.multiarray.scalar, not only tensors")
    assert_loads(network, path, trust=True)


def test_whole_networks_need_trust(network, path):
    saved(path, network)
    assert "test_checkpoint.Small, not only tensors" in refusal(path)
    for content in (network, {"model": network, "epoch": 1}):
        state = read_checkpoint(saved(path, content), trust=True).state
        assert state.keys() == network.state_dict().keys()


@pytest.mark.filterwarnings("ignore:.*TorchScript|.*torch.jit.script")
def test_torchscript_is_named(path):
    torch.jit.script(nn.Linear(2, 2)).save(path)
    assert refusal(path).startswith("holds a TorchScript program, not only tensors")


def test_class_that_is_gone(network, path, monkeypatch):
    saved(path, network)
    monkeypatch.delitem(globals(), "Small")
    assert refusal(path, trust=True).startswith(
        "holds an object whose class cannot be imported here: Can't get attribute 'Small' on "
    )


def test_content_without_tensors(path):
    assert refusal(saved(path, {"epoch": 3, "things": {}})) == (
        "holds no tensors, neither at the top level nor under a name such as state_dict or model; "
        "it holds: epoch, things. Save network.state_dict(), or pass --checkpoint-key with the "
        "name of the weights in the file."
    )
    assert "it holds: nothing." in refusal(saved(path, {"state_dict": {}}))
    assert refusal(saved(path, [torch.zeros(2)])) == (
        "holds a list, not a state dict. Save network.state_dict()."
    )


def test_tensors_among_other_things(path):
    assert refusal(saved(path, {"a": torch.zeros(2), "epoch": 3})).startswith(
        "these entries are not tensors: epoch. Save network.state_dict() alone, or as"
    )


def test_missing_and_extra_names_with_the_nearest(network, path):
    state = network.state_dict()
    state["conv.wieght"] = state.pop("conv.weight")
    assert refused_load(Small(), saved(path, state)) == (
        "does not fit the network; missing from it: conv.weight (nearest: conv.wieght); not in "
        "the network: conv.wieght (nearest: conv.weight). Name the network that was trained."
    )


def test_long_lists_of_names_end_in_a_count(path):
    deep = build_network("resnet14_pad", n_channels=1, n_classes=2)
    shallow = build_network("resnet8_pad", n_channels=1, n_classes=2)
    text = refused_load(deep, saved(path, shallow.state_dict()))
    assert (
        "missing from it: layer1.1.conv1.weight, layer1.1.bn1.weight, layer1.1.bn1.bias, " in text
    )
    assert "layer1.1.bn1.running_var and 25 more. Name the network" in text


@pytest.mark.parametrize(
    ("there", "asked"), [("resnet8", "resnet8_pad"), ("resnet8_pad", "resnet8")]
)
def test_shortcuts_of_the_other_kind_are_explained(path, there, asked):
    networks = [build_network(name, n_channels=1, n_classes=2) for name in (there, asked)]
    assert refused_load(networks[1], saved(path, networks[0].state_dict())).endswith(
        "Name the network that was trained: shortcuts of names that end in _pad or _noshort have "
        "no weights."
    )


def test_shapes_that_differ_are_listed_with_both(path):
    text = refused_load(Small(), saved(path, Small(width=4).state_dict()))
    assert text.startswith(
        "tensors differ: conv.weight [4, 1, 3, 3] there, [3, 1, 3, 3] in the network, "
        "conv.bias [4] there, [3] in the network, "
    )
    assert " and 2 more. Build the network with the widths, " in text


def test_integers_are_no_weights(network, path):
    state = network.state_dict()
    state["linear.bias"] = state["linear.bias"].to(torch.int8)
    assert "linear.bias int8 [2] there, [2] in the network" in refused_load(
        Small(), saved(path, state)
    )


def test_nan_and_infinite_weights_are_counted(network, path):
    state = network.state_dict()
    state["conv.weight"][0, 0, 0, :2] = float("nan")
    state["linear.bias"][1] = float("inf")
    assert refusal(saved(path, state)) == (
        "NaN or infinite weights in conv.weight (2 of 27), linear.bias (1 of 2): the training "
        "diverged, and these weights have no loss. Take an earlier checkpoint."
    )


def test_classifier_size_is_the_rows_of_the_last_matrix():
    assert classifier_size(build_network("resnet8", n_channels=1, n_classes=7).state_dict()) == 7
    assert classifier_size(nn.Conv2d(1, 2, 3).state_dict()) is None


def test_written_checkpoint_is_read_back_without_trust(network, path):
    write_checkpoint(path, network, {"model": "small", "history": [{"loss": 0.5}]})
    assert_loads(network, path)
    assert torch.load(path, weights_only=True)["history"] == [{"loss": 0.5}]
    assert read_checkpoint(path).record == {"model": "small", "history": [{"loss": 0.5}]}
    assert os.listdir(path.parent) == ["net.pt"]


def test_a_bare_state_dict_has_no_record(network, path):
    torch.save(network.state_dict(), path)
    assert read_checkpoint(path).record == {}


def test_failed_write_leaves_the_old_file(network, path):
    write_checkpoint(path, network, {})
    before = path.read_bytes()
    with pytest.raises(AttributeError, match="local object"):
        write_checkpoint(path, network, {"cannot be pickled": lambda: None})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["net.pt"]


def test_write_into_a_folder_that_is_gone(network, tmp_path):
    with pytest.raises(InputError, match=r"gone/net.pt: cannot be written .*No such file"):
        write_checkpoint(tmp_path / "gone" / "net.pt", network, {})


class Inside(nn.Module):
    """A network in a module of another, as trainers and libraries have them."""

    def __init__(self, network):
        super().__init__()
        self.model = network


@pytest.mark.parametrize("prefix", ["model.", "net.backbone.", "module.model."])
def test_names_that_begin_with_a_module_the_network_is_not_in(network, path, prefix):
    state = {f"{prefix}{name}": tensor for name, tensor in network.state_dict().items()}
    saved(path, {"state_dict": state})
    other = Small()
    load_state(other, read_checkpoint(path))
    for name, tensor in other.state_dict().items():
        torch.testing.assert_close(tensor, network.state_dict()[name])


def test_a_network_whose_names_begin_with_a_module_that_the_file_is_not_in(network, path):
    saved(path, network.state_dict())
    other = Inside(Small())
    load_state(other, read_checkpoint(path))
    torch.testing.assert_close(other.model.conv.weight, network.conv.weight)


def test_others_beside_the_network_are_left_out_and_named(network, path):
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    saved(path, {"state_dict": state | {"criterion.weight": torch.ones(2)}})
    assert_loads(network, path)
    assert fitted(read_checkpoint(path), Small()).notes == (
        "the network has no such tensors, so these are left out: criterion.weight",
    )
    saved(path, {"state_dict": state | {"model.gate.weight": torch.ones(2)}})
    with pytest.raises(InputError, match=r"not in the network: model.gate.weight.* Name the"):
        load_state(Small(), read_checkpoint(path))


@pytest.mark.parametrize("beside", ["criterion.weight", "train_metrics.total", "ema.conv.weight"])
def test_what_no_network_computes_with_is_left_out_beside_bare_names(network, path, beside):
    saved(path, network.state_dict() | {beside: torch.ones(2)})
    assert_loads(network, path)
    (note,) = fitted(read_checkpoint(path), Small()).notes
    assert note.endswith(f": {beside}")


def test_a_layer_that_the_network_lacks_is_refused(network, path):
    saved(path, network.state_dict() | {"head.weight": torch.ones(2)})
    assert "not in the network: head.weight." in refused_load(Small(), path)


class Cached(nn.Module):
    """With a buffer that its state dict leaves out."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("table", torch.arange(3.0), persistent=False)


def test_a_buffer_that_the_network_makes_itself_may_stand_in_the_file(path):
    first, second = Cached(), Cached()
    saved(path, first.state_dict() | {"table": first.table.clone()})
    load_state(second, read_checkpoint(path))
    torch.testing.assert_close(second.linear.weight, first.linear.weight)
    saved(path, first.state_dict() | {"table": first.table + 1})
    assert "not in the network: table." in refused_load(Cached(), path)


def test_adapters_without_their_base_are_named(network, path):
    adapter = {f"base_model.model.{n}.lora_A.weight": torch.ones(2, 3) for n in ("conv", "linear")}
    text = refused_load(network, saved(path, adapter))
    assert "missing from it: conv.weight" in text
    assert "It holds only the adapters that PEFT trains on top of a base model" in text
    assert text.endswith("and leave out --checkpoint.")


def test_the_second_name_of_a_tied_weight_may_be_left_out(path):
    def tied():
        network = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5)})
        network["head"].weight = network["embed"].weight
        return network

    first, second = tied(), tied()
    state = {name: t for name, t in first.state_dict().items() if name != "head.weight"}
    load_state(second, read_checkpoint(saved(path, state)))
    torch.testing.assert_close(second["head"].weight, first["embed"].weight)
    del state["head.bias"]
    with pytest.raises(InputError, match=r"missing from it: head.bias\."):
        load_state(second, read_checkpoint(saved(path, state)))
