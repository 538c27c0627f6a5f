"""Oracle: the tensors that were written, by safetensors, torch.save and torch.distributed alone."""

import hashlib
import json
import os
import pickle

import pytest
import safetensors.torch
import torch
import torch.distributed.checkpoint as distributed
from refusals import refused
from torch import nn

from landscape_mpi.errors import MissingInputError
from landscape_mpi.zoo.checkpoint import load_state, map_checkpoint, read_checkpoint
from landscape_mpi.zoo.weight_files import is_weight_folder


def network(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def assert_loads(path, expected=None):
    expected = (expected or network()).state_dict()
    filled = network(seed=2)
    load_state(filled, read_checkpoint(path))
    mapped, _, _ = map_checkpoint(path)
    for name, tensor in filled.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)
        torch.testing.assert_close(mapped[name], expected[name], rtol=0, atol=0)


def refusal(path, **settings):
    return refused(read_checkpoint, path, **settings)


def save(state, path):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({n: t.contiguous() for n, t in state.items()}, path)
    else:
        torch.save(state, path)


def write_shards(folder, suffix):
    folder.mkdir(exist_ok=True)
    stem = {".safetensors": "model", ".bin": "pytorch_model"}[suffix]
    state, places = network().state_dict(), {}
    for number in (1, 2):
        name = f"{stem}-{number:05d}-of-00002{suffix}"
        part = {n: t for n, t in state.items() if (n[0] == "0") == (number == 1)}
        save(part, folder / name)
        places |= dict.fromkeys(part, name)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 100_000, "cannot be read as JSON (maximum recursion depth exceeded"),
        (json.dumps({"weight_map": {"w": "x" * 5000}}), "names 'xxx"),
    ],
)
def test_an_index_that_no_program_writes(content, words, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(content)
    said = refusal(index)
    assert said.startswith(f"{index}: {words}")
    assert len(said) < len(str(index)) + 400


def test_a_name_that_no_file_can_have(tmp_path):
    assert "cannot be read (File name too long). Name a che" in refusal(tmp_path / ("x" * 5000))


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_shards_are_put_together(suffix, tmp_path):
    index = write_shards(tmp_path, suffix)
    assert_loads(index)
    assert_loads(tmp_path)
    digest = hashlib.sha256(index.read_bytes())
    for shard in sorted(tmp_path.glob(f"*{suffix}")):
        digest.update(shard.read_bytes())
    assert read_checkpoint(tmp_path).sha256 == digest.hexdigest()
    assert is_weight_folder(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_with_one_file_of_weights(name, tmp_path):
    save(network().state_dict(), tmp_path / name)
    state = json.dumps({"epoch": 1.5, "global_step": 30})
    (tmp_path / "trainer_state.json").write_text(state)
    assert_loads(tmp_path)
    assert read_checkpoint(tmp_path).record == {"epoch": 1.5, "global_step": 30}
    assert map_checkpoint(tmp_path)[1]["global_step"] == 30
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert read_checkpoint(tmp_path).sha256 == digest


def test_of_two_files_of_weights_in_a_folder_it_is_said_which_is_used(tmp_path):
    save(network().state_dict(), tmp_path / "model.safetensors")
    save(network(seed=3).state_dict(), tmp_path / "pytorch_model.bin")
    assert_loads(tmp_path)
    (note,) = read_checkpoint(tmp_path).notes
    assert note == (
        "the weights of model.safetensors are used, not those of pytorch_model.bin in the same "
        "folder. To use others, name their file"
    )


def test_a_shard_alone_is_refused(tmp_path):
    write_shards(tmp_path, ".bin")
    shard = tmp_path / "pytorch_model-00001-of-00002.bin"
    assert refusal(shard) == (
        f"{shard}: is shard 1 of 2, so it holds only a part of the weights. Name the folder, or "
        "the index.json in it."
    )


def test_shards_that_do_not_fit_their_index_are_refused(tmp_path):
    index = write_shards(tmp_path, ".safetensors")
    shards = sorted(tmp_path.glob("*.safetensors"))
    shards[1].write_bytes(shards[0].read_bytes())
    words = refusal(tmp_path)
    assert words.startswith(f"{shards[1]}: lacks 1.weight, 1.bias, 1.running_mean, ")
    assert words.endswith("or one was not copied completely. Copy the folder again.")
    shards[1].unlink()
    with pytest.raises(MissingInputError, match="model-00002-of-00002.safetensors: no such check"):
        read_checkpoint(index)
    index.write_text(json.dumps({"weight_map": {"0.weight": "../model.safetensors"}}))
    assert "names '../model.safetensors', which is not a file beside it." in refusal(index)
    index.write_text("{}")
    assert "has no weight_map, which says in which shard each tensor lies." in refusal(index)
    index.write_text("{")
    assert "cannot be read as JSON (" in refusal(index)


def test_a_folder_of_folders_lists_those_that_are_checkpoints(tmp_path):
    for n in (500, 1000):
        write_shards(tmp_path / f"checkpoint-{n}", ".bin")
    assert "in it: it holds checkpoint-1000, checkpoint-500. A folder is" in refusal(tmp_path)


def test_a_folder_of_deepspeed_is_named(tmp_path):
    (tmp_path / "zero_to_fp32.py").touch()
    assert "is a folder of DeepSpeed, which splits the weights into parts." in refusal(tmp_path)
    assert not is_weight_folder(tmp_path)


@pytest.fixture
def distributed_folder(tmp_path):
    made = network()
    optimizer = torch.optim.Adam(made.parameters())
    made(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    content = {"model": made.state_dict(), "optim": optimizer.state_dict(), "epoch": 3}
    folder = tmp_path / "step_30"
    distributed.save(content, checkpoint_id=folder)
    return made, folder


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_folder_of_torch_distributed_is_loaded_without_ranks(distributed_folder):
    made, folder = distributed_folder
    assert_loads(folder, made)
    assert is_weight_folder(folder)
    digest = hashlib.sha256((folder / ".metadata").read_bytes())
    for part in sorted(folder.glob("*.distcp")):
        digest.update(part.read_bytes())
    assert read_checkpoint(folder).sha256 == digest.hexdigest()


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
@pytest.mark.parametrize(
    "content", [pickle.dumps(Hostile()), b"c" + b"torch.distributed.checkpoint.metadata\nos\n."]
)
def test_the_index_of_such_a_folder_runs_no_code(content, distributed_folder, monkeypatch):
    _, folder = distributed_folder
    monkeypatch.chdir(folder)
    (folder / ".metadata").write_bytes(content)
    words = refusal(folder)
    assert "cannot be read here (UnpicklingError: it holds " in words
    assert "pass --trust-checkpoint. Or convert it" in words
    assert words.endswith(f"format_utils dcp_to_torch {folder} weights.pt")
    assert not (folder / "ran").exists()


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_damaged_folder_of_torch_distributed_is_one_message(distributed_folder):
    _, folder = distributed_folder
    for part in folder.glob("*.distcp"):
        part.unlink()
    assert "is a folder of torch.distributed.checkpoint that cannot be read here" in refusal(folder)
