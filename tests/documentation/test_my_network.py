"""The page examples/my_network.md, as a user copies it: its files and commands on two ranks.

Oracle: the page's own network and loss, evaluated by torch at the center. The checkpoints are
written here in the form in which each library writes them, without the library.
"""

import argparse
import importlib
import re

import h5py
import pytest
import safetensors.torch
import torch
from folders import ROOT
from pages import in_folder_with, run_command
from torch import nn

PAGE = (ROOT / "examples" / "my_network.md").read_text()
FILES = {
    match[1]: match[0]
    for match in re.finditer(r"(?<=```python\n)# (\w+\.py)\n.*?(?=```)", PAGE, re.S)
}
COMMANDS = [
    line
    for block in re.findall(r"```\n((?:mpirun|python) .*?)```", PAGE, re.S)
    for line in block.splitlines()
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with the files of the page, which are forgotten after."""
    with in_folder_with(FILES, tmp_path, monkeypatch):
        yield tmp_path


def run_lines(word, folder, on_ranks):
    """Run the page's lines with a word in them; return what the last one printed."""
    lines = [line for line in COMMANDS if word in line]
    return [run_command(line, on_ranks, folder) for line in lines][-1]


def center(path):
    with h5py.File(path) as file:
        middle = tuple(n // 2 for n in file["train_loss"].shape)
        return file["train_loss"][middle]


def test_the_page_has_what_is_tested():
    assert sorted(FILES) == [
        *("from_hugging_face.py", "from_lightning.py", "from_timm.py", "my_project.py")
    ]
    assert len(COMMANDS) == 6


def test_my_network(folder, on_ranks):
    printed = run_lines("my_", folder, on_ranks)
    assert "my_network_train_loss_contour.png" in printed
    assert (folder / "my_network_weight_decay_term_surface.png").exists()
    module = importlib.import_module("my_project")
    network = module.network()
    network.load_state_dict(torch.load("my_network.pt", weights_only=True))
    inputs, targets = module.data()["train"]
    expected = module.loss(network(inputs), targets).mean().item()
    assert center("my_network.h5") == pytest.approx(expected, rel=1e-5)


def write_hugging_face(network):
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    safetensors.torch.save_file(state, "model.safetensors", metadata={"format": "pt"})


def write_timm(network):
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    options = argparse.Namespace(model="patches", lr=0.1)
    content = {"epoch": 3, "arch": "patches", "state_dict": state, "args": options, "version": 2}
    torch.save(content, "model_best.pth.tar")


def write_lightning(network):
    state = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    content = {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": state,
        "loops": {},
        "callbacks": {},
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "widths": [8]},
    }
    torch.save(content, "last.ckpt")


@pytest.mark.parametrize(
    ("name", "write", "loss"),
    [
        ("hugging_face", write_hugging_face, nn.CrossEntropyLoss()),
        ("timm", write_timm, nn.CrossEntropyLoss()),
        ("lightning", write_lightning, lambda o, t: nn.MSELoss()(o[:, 0], t)),
    ],
)
def test_checkpoints_of_other_libraries(name, write, loss, folder, on_ranks):
    module = importlib.import_module(f"from_{name}")
    torch.manual_seed(3)
    network = module.network().eval()
    write(network)
    run_lines(f"from_{name}:", folder, on_ranks)
    inputs, targets = module.data()["train"]
    expected = loss(network(inputs), targets).item()
    assert center(f"{name}.h5") == pytest.approx(expected, rel=1e-5)
