"""Oracle: what the files and the log say of networks that a test writes into a folder.

Each network breaks one thing that a fast evaluation rests on; the plain losses beside them are made
by torch alone.
"""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.store.checksums import seal, sign

NETS = """
import pathlib
import numpy as np
import torch
from torch import nn

class Penalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        scale = 2.0 if torch.is_inference_mode_enabled() else 1.0
        return self.layer(x) * scale * sum(p.abs().sum() for p in self.parameters())

class Scaled(nn.Module):
    '''Multiplies by a number that its state dict does not hold.'''

    def __init__(self, factor):
        super().__init__()
        self.layer, self.factor = nn.Linear(6, 3), factor

    def forward(self, x):
        return self.layer(x) * self.factor

class Growing(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 3)
        self.second = None

    def forward(self, x):
        if self.second is None:
            self.second = nn.Linear(3, 3)
        return self.second(self.first(x))

def penalised():
    torch.manual_seed(1)
    return Penalised()

def of_file():
    torch.manual_seed(1)
    return Scaled(float(pathlib.Path("factor.txt").read_text()))

def drawn():
    torch.manual_seed(1)
    return Scaled(np.random.rand())

def growing():
    return Growing()

def centered():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 3), nn.LayerNorm(3, elementwise_affine=False))

def half():
    return penalised().to(torch.bfloat16)

def data():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    return {"train": (x, (x[:, 0] > 0).long())}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "step_nets.py").write_text(NETS)
    return tmp_path


def command(network, *options):
    given = [f"--model=step_nets:{network}", "--data=step_nets:data", "--out=out.h5"]
    return ["landscape_mpi.surface", *given, "--x=-1:1:3", *options]


def test_a_step_that_is_left_out_is_in_log_and_file_and_stays_so(folder, alone):
    first = alone(command("penalised", "--save-directions"), cwd=folder, check=True)
    words = "inference mode (at alpha = 0, beta = 0 its outputs differ by"
    assert f"this step would change the numbers, so it is left out: {words}" in first.stdout
    with h5py.File(folder / "out.h5") as file:
        assert file.attrs["steps"] == "threads,uncopied,views,channels_last,folded,fused"
        assert file.attrs["left_out"][0].startswith(words)
        direction = torch.from_numpy(file["directions/alpha/layer.weight"][()])
        losses, alphas = file["train_loss"][:, 0], file["alpha"][()]
    np.testing.assert_allclose(losses, [by_hand(direction, a) for a in alphas], rtol=1e-5)
    again = alone(command("penalised", "--save-directions"), cwd=folder, check=True)
    assert words in again.stdout
    assert "all 3 points are done, nothing is left" in again.stdout


def by_hand(direction, alpha):
    torch.manual_seed(1)
    layer = nn.Linear(6, 3)
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer.weight += alpha * direction
        outputs = layer(x) * sum(p.abs().sum() for p in layer.parameters())
        return nn.functional.cross_entropy(outputs.double(), (x[:, 0] > 0).long()).item()


def test_another_network_with_the_same_weights_is_no_resumption(folder, alone):
    (folder / "factor.txt").write_text("1.5")
    alone(command("of_file"), cwd=folder, check=True)
    before = (folder / "out.h5").read_bytes()
    (folder / "factor.txt").write_text("1.6")
    done = alone(command("of_file"), cwd=folder)
    assert done.returncode == 2
    assert "was started with a network whose outputs for the first sample add up to" in done.stderr
    assert "Points of both do not belong in one file" in done.stderr
    assert (folder / "out.h5").read_bytes() == before


def test_outputs_that_cancel_are_not_compared_by_their_rounding(folder, alone):
    alone(command("centered"), cwd=folder, check=True)
    assert np.abs(shift_center(folder / "out.h5", 3e-7)).max() < 1e-6
    again = alone(command("centered"), cwd=folder, check=True)
    assert "all 3 points are done, nothing is left" in again.stdout
    shift_center(folder / "out.h5", 3e-2)
    assert "was started with a network whose" in alone(command("centered"), cwd=folder).stderr


def shift_center(path, shift):
    """Give the sums of the outputs in a file other digits, as another processor would."""
    with h5py.File(path, "r+") as file:
        attributes = file["provenance"].attrs
        before = attributes["center_outputs"]
        attributes["center_outputs"] = before + shift
        sign(file["provenance"])
    seal(path)
    return before


def test_what_numpy_draws_is_drawn_alike_in_every_run(folder, alone):
    found = []
    for _ in range(2):
        alone(command("drawn", "--fresh"), cwd=folder, check=True)
        with h5py.File(folder / "out.h5") as file:
            found.append(file["train_loss"][()])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (
            "drawn",
            "draws random numbers that its state dict does not hold: built with another seed",
        ),
        ("growing", "makes second.weight, second.bias when it is first called"),
    ],
)
def test_what_no_checkpoint_holds_is_refused(network, words, folder, alone):
    saved = {"layer": nn.Linear(6, 3)} if network == "drawn" else {"first": nn.Linear(6, 3)}
    torch.save(nn.ModuleDict(saved).state_dict(), folder / "weights.pt")
    done = alone(command(network, "--checkpoint=weights.pt"), cwd=folder)
    assert done.returncode == 2
    assert words in done.stderr
    assert not (folder / "out.h5").exists()


def test_types_that_are_converted_are_said(folder, alone):
    done = alone(command("half"), cwd=folder, check=True)
    assert "the weights are in bfloat16; they were converted to float32" in done.stdout
    with h5py.File(folder / "out.h5") as file:
        assert file["provenance"].attrs["computed_in"] == "float32"
