"""The page examples/my_problem.md, as a user copies it: its modules, its commands, its messages.

Oracle: for each module of a problem a loop of torch alone, over the module's network and data. It
takes another way to each number: sample by sample, graph by graph, derivatives by forward mode.
"""

from __future__ import annotations

import hashlib
import importlib
import math
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from folders import ROOT
from matplotlib import pyplot
from pages import in_folder_with, run_command
from plain_loop import move_to, read_plane
from torch import nn
from torch.nn import functional

import landscape_mpi as lm
from landscape_mpi.errors import InputError

README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "examples/my_problem.md").read_text()
FILES = {
    match[1]: match[0]
    for match in re.finditer(r"(?<=```python\n)# (\w+\.py)\n.*?(?=```)", PAGE, re.S)
}
COMMANDS = re.search(r"```\n(python my_problem.py\n.*?)```", PAGE, re.S)[1].splitlines()
MESSAGES = re.findall(r"```text\n(.*?)\n```", PAGE, re.S)
TEMPLATE = re.search(r"```bash\ncommand=\((.*?)\n\)\n```", PAGE, re.S)[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with the modules of the page, which are forgotten after."""
    with in_folder_with(FILES, tmp_path, monkeypatch):
        yield tmp_path


@pytest.fixture(scope="module")
def weights(tmp_path_factory, on_ranks):
    """The weights that the page's module trains when it is run as its command says."""
    made = tmp_path_factory.mktemp("trained")
    (made / "my_problem.py").write_text(FILES["my_problem.py"])
    run_command(COMMANDS[0], on_ranks, made)
    return made / "my_problem.pt"


@pytest.fixture
def trained(folder, weights):
    """The current directory, with these weights."""
    shutil.copy(weights, folder)
    return folder


def test_the_page_has_what_is_tested():
    in_python = {"rings.py", "smooth_rings.py", "look.py", "trained_physics.py"}
    recipes = {f"{name}.py" for name in LOOPS}
    assert set(FILES) == in_python | {"my_problem.py"} | recipes
    assert len(COMMANDS) == 3
    assert len(MESSAGES) == len(REFUSED)
    assert PAGE.count("```") == 2 * (len(FILES) + len(MESSAGES) + 3)


# In Python.


def run_script(name, folder):
    """Run a module as Python runs a script."""
    try:
        return runpy.run_path(str(folder / name), run_name="__main__")
    finally:
        pyplot.close("all")


def test_from_a_live_network_to_pictures(folder, capsys):
    made = run_script("rings.py", folder)
    network, points, classes = (made[name] for name in ("network", "points", "classes"))
    expected = functional.cross_entropy(network(points).double(), classes).item()
    assert made["surface"].values["train_loss"][5, 5] == pytest.approx(expected, rel=1e-6)
    assert network.training
    before = (folder / "rings.h5").stat().st_mtime_ns
    look = run_script("look.py", folder)
    assert (folder / "rings.png").stat().st_size > 10_000
    assert "smallest" in capsys.readouterr().out
    selected = look["surface"].to_xarray().train_loss.sel(alpha=0, beta=0, method="nearest")
    assert float(selected) == pytest.approx(expected, rel=1e-6)
    assert (folder / "rings_copy.h5").exists()
    run_script("rings.py", folder)  # the same call goes on, with nothing left to do
    assert (folder / "rings.h5").stat().st_mtime_ns == before


def test_a_loss_of_ones_own(folder):
    made = run_script("smooth_rings.py", folder)
    rings = importlib.import_module("rings")
    logits = made["network"](rings.points).double()
    expected = functional.cross_entropy(logits, rings.classes, label_smoothing=0.1).item()
    assert made["surface"].values["train_loss"][5, 0] == pytest.approx(expected, rel=1e-6)


def test_the_script_on_two_ranks_has_the_bits_of_one(folder, on_ranks):
    one = run_script("rings.py", folder)["surface"].values["train_loss"].tolist()
    (folder / "rings.h5").rename(folder / "one.h5")
    on_ranks(2, ["rings.py"], check=True, cwd=folder)
    assert lm.open_surface("rings.h5").values["train_loss"].tolist() == one


# From a command line, and on a cluster.


def test_the_commands(trained, on_ranks):
    printed = [run_command(line, on_ranks, trained) for line in COMMANDS[1:]][-1]
    assert "my_problem_train_loss_contour.png" in printed
    module = importlib.import_module("my_problem")
    problem = module.problem()
    with h5py.File("my_problem.h5") as file:
        for split, (points, classes) in problem.data.items():
            logits = problem.network(points).double()
            right = (logits.argmax(1) == classes).double().mean().item()
            expected = functional.cross_entropy(logits, classes).item()
            assert file[f"{split}_loss"][5, 5] == pytest.approx(expected, rel=1e-6)
            assert file[f"{split}_accuracy"][5, 5] == pytest.approx(right, rel=1e-12)
        check_attributes(file)


def check_attributes(file):
    """The file has what the page's table of attributes names."""
    table = PAGE.split("| attribute | |")[1].split("\n\n")[0]
    names = re.findall(r"`([\w/]+)`", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert len(names) == 13
    for name in names:
        group, _, attribute = name.rpartition("/")
        assert attribute in file[group or "/"].attrs or attribute == "left_out", name
    assert file.attrs["problem"] == "my_problem:problem"
    assert file.attrs["model"] == "Sequential"
    assert file.attrs["loss"] == "loss"
    assert file.attrs["metrics"] == "accuracy"


def test_other_weights_and_a_way_to_them(trained, on_ranks):
    module = importlib.import_module("my_problem")
    torch.manual_seed(5)
    other = module.build()
    torch.save(other.state_dict(), "other.pt")
    words = "python -m landscape_mpi.surface --problem my_problem:problem --out line.h5"
    run_command(f"{words} --x=0:1:3 --to other.pt", on_ranks, trained)
    run_command(f"{words} --x=0 --checkpoint other.pt --fresh --limit 300", on_ranks, trained)
    points, classes = module.rings(400, seed=0)
    expected = functional.cross_entropy(other(points[:300]), classes[:300]).item()
    assert center("line.h5") == pytest.approx(expected, rel=1e-6)


def center(path):
    with h5py.File(path) as file:
        return file["train_loss"][tuple(n // 2 for n in file["train_loss"].shape)]


def test_the_command_of_the_template(trained, on_ranks):
    lines = [line.partition("  #")[0].strip() for line in TEMPLATE.strip().splitlines()]
    template = (ROOT / "slurm/surface.sbatch").read_text()
    for line in lines[2:-1]:
        assert line in template, line  # the others are where a user edits
    smaller = "--x=-1:1:3 --y=-1:1:2 --device cpu"  # later options override earlier ones
    run_command(f"{' '.join(lines)} {smaller}", on_ranks, trained)
    assert lm.open_surface("my_problem.h5").done.shape == (3, 2)
    with_data = shlex.split(f"{' '.join(lines)} --data cifar10")[2:]
    refused = on_ranks(1, with_data, cwd=trained)
    assert refused.returncode == 2
    assert "--data: applies to networks of --model" in refused.stderr


def help_of(name, capsys):
    module = importlib.import_module(f"landscape_mpi.{name}")
    with pytest.raises(SystemExit):
        module.parse(["train", "--help"] if name == "curve" else ["--help"])
    return capsys.readouterr().out


def test_the_commands_that_know_problems(capsys):
    line = re.search(r"commands know problems: (.*?)\. ", PAGE)[1]
    commands = ("surface", "hessian", "sharpness", "trajectory", "curve", "train", "ensemble")
    knowing = {name for name in commands if "--problem " in help_of(name, capsys)}
    assert set(re.findall(r"`(\w+)`", line)) == knowing


def test_eigenvalues_and_sharpness_by_the_file(trained, on_ranks):
    words = "--problem my_problem:problem --x=-1:1:3 --also gradient_norm --out my_problem.h5"
    run_command(f"python -m landscape_mpi.surface {words}", on_ranks, trained)
    run_command("python -m landscape_mpi.hessian my_problem.h5", on_ranks, trained)
    values = lm.open_surface("my_problem.h5").values
    assert values["hessian_max"][1, 0] > 0 < values["train_gradient_norm"][1, 0]
    words = ["landscape_mpi.sharpness", "my_problem.h5", "--iterations=1"]
    done = on_ranks(1, words, cwd=trained, check=True)
    assert "my_problem.h5: Sequential of my_problem:problem on " in done.stdout


def test_the_lines_of_the_readme(trained, capsys):
    module = importlib.import_module("my_problem")
    problem = module.problem()
    block = re.search(r"```python\n(import landscape_mpi as lm\n.*?)```", README, re.S)[1]
    names = {"network": problem.network, "loader": problem.splits["train"], "loss": module.loss}
    exec(block.replace("1, 25)", "1, 3)"), names)
    expected = module.loss(problem.network, problem.splits["train"]).double().mean().item()
    assert names["surface"].values["train_loss"][1, 1] == pytest.approx(expected, rel=1e-6)
    assert lm.open_surface("mine.h5").values["hessian_max"][1, 1] > 0


# Recipes: each module's surface beside a loop of torch alone.


def mean(losses):
    return torch.cat([each.detach().double().reshape(-1) for each in losses]).mean().item()


def seeded(number, seed):
    """As the page says: from the seed and the number of the batch."""
    digest = hashlib.sha256(f"{seed}/{number}/".encode()).digest()
    torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def language_model(network, batches):
    losses = []
    for batch in batches:
        for symbols, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            logs = network(symbols[None])[0].log_softmax(1)
            losses += [-logs[k - 1, label] for k, label in enumerate(labels) if k and label >= 0]
    return {"loss": mean(losses), "perplexity": math.exp(mean(losses))}


def several_inputs(network, loader):
    losses = []
    for text, numbers, target in loader.dataset:
        score = (network.words(text).mean(0) * network.numbers(numbers)).sum()
        losses.append(functional.softplus(score) - target * score)
    return {"loss": mean(losses)}


def segmentation(network, tensors):
    losses, right = [], []
    for image, mask in zip(*tensors, strict=True):
        logits = network(image[None])[0].permute(1, 2, 0)[mask != 255]
        classes = mask[mask != 255]
        losses.append(-logits.log_softmax(1)[torch.arange(len(classes)), classes])
        right.append(logits.argmax(1) == classes)
    return {"loss": mean(losses), "pixel_accuracy": mean(right)}


def physics(network, batches):
    def u(x):
        return network(x[None, None])[0, 0]

    total, count = 0.0, 0
    curved = torch.func.jacfwd(torch.func.jacfwd(u))
    for batch in batches:
        missing = [curved(x) + u(x) for x in batch["inside"].double()[:, 0]]
        zero, one = u(torch.tensor(0.0).double()), u(batch["ends"][1, 0].double())
        ends = (zero.square() + (one - 1).square()).item() / 2
        total += len(missing) * (torch.stack(missing).square().mean().item() + ends)
        count += len(missing)
    return {"loss": total / count}


@torch.no_grad()
def autoencoder(network, tensors):
    losses = []
    for number, rows in enumerate(tensors[0].split(16)):
        seeded(number, 7)
        means, logs = network.encoder(rows).split(3, dim=1)
        spreads = logs.exp().sqrt()
        decoded = network.decoder(means + spreads * torch.randn(len(rows), 3)).sigmoid()
        pixels = -(rows * decoded.log() + (1 - rows) * (1 - decoded).log()).sum(1)
        normal = torch.distributions.Normal(means, spreads)
        prior = torch.distributions.Normal(0, 1)
        losses.append(pixels + torch.distributions.kl_divergence(normal, prior).sum(1))
    return {"loss": mean(losses)}


@torch.no_grad()
def diffusion(network, tensors):
    losses, kept = [], torch.cumprod(1 - torch.linspace(1e-4, 0.02, 100), 0)
    for number, points in enumerate(tensors[0].split(20)):
        seeded(number, 0)
        noise, steps = torch.randn(points.shape), torch.randint(100, (len(points),))
        for point, step, n in zip(points, steps, noise, strict=True):
            noisy = kept[step].sqrt() * point + (1 - kept[step]).sqrt() * n
            given = torch.cat([noisy, step[None] / 100])
            losses.append((network.layers(given) - n).square().mean())
    return {"loss": mean(losses)}


def graphs(network, batches):
    losses = []
    for batch in batches:
        for k, kind in enumerate(batch["classes"]):
            nodes = batch["nodes"][batch["graph"] == k]  # a ring: from each node to the next
            hidden = network.own(nodes) + network.near(nodes.roll(1, 0))
            losses.append(-network.head(hidden.relu().sum(0)).log_softmax(0)[kind])
    return {"loss": mean(losses)}


def contrastive(network, batches):
    losses = []
    for pair in batches:
        first, second = (network(view) / network(view).norm(dim=1, keepdim=True) for view in pair)
        likeness = 2 * (first[:, None] * second).sum(2)
        losses.append(likeness.logsumexp(1).mean() - likeness.diagonal().mean())
    return {"loss": mean(losses)}


LOOPS = {
    loop.__name__: loop
    for loop in (
        *(language_model, several_inputs, segmentation, physics),
        *(autoencoder, diffusion, graphs, contrastive),
    )
}


@pytest.mark.parametrize("name", LOOPS)
def test_a_recipe_gives_the_values_of_a_plain_loop(name, folder):
    module = importlib.import_module(name)
    surface = lm.compute_surface(
        module.problem(),
        x=(-1, 1, 3),
        y=(-1, 1, 3),
        out=f"{name}.h5",
        save_directions=True,
        progress=False,
    )
    plane = read_plane(Path(f"{name}.h5"))
    for place in ((1, 1), (0, 2)):
        problem = module.problem()
        data = problem.splits["train"]
        exact = problem.dtype == "float64"
        network = (problem.network.double() if exact else problem.network).eval()
        move_to(network, place, plane)
        for quantity, value in LOOPS[name](network, data).items():
            found = surface.values[f"train_{quantity}"][place]
            assert found == pytest.approx(value, rel=1e-12 if exact else 1e-5), (place, quantity)


def test_a_trained_physics_informed_network_in_a_notebook(folder, capsys):
    made = run_script("trained_physics.py", folder)
    network, batch = made["network"], made["batch"]
    expected = physics(network, [batch])["loss"]
    assert expected < 1e-3  # it has learned
    surface = made["surface"]
    assert surface.values["train_loss"][surface.center] == pytest.approx(expected, rel=1e-9)
    told = re.findall(r"^(?:center|training): (\S+)$", capsys.readouterr().out, re.M)
    assert float(told[0]) == pytest.approx(float(told[1]), rel=1e-12)
    assert (folder / "physics.png").stat().st_size > 10_000


# Refusals.


def rows():
    return torch.linspace(-1, 1, 24).view(6, 4)


def sum_of_squares(network, batch):
    return network(batch).square().sum(1)


DRAWN = torch.Generator()


def with_noise(network, batch):
    return sum_of_squares(network, batch + torch.randn(batch.shape, generator=DRAWN))


REFUSED = [
    lambda: ([rows()], lambda network, batch: network(batch).square().mean()),
    lambda: ([rows(), rows()], lambda network, batch: (0 * network(batch).sum(), 0)),
    lambda: ((batch for batch in [rows()]), sum_of_squares),
    lambda: ([rows()], with_noise),
    lambda: ([rows()], lambda network, batch: torch.full((6,), 2.5)),
    lambda: ([rows()], nn.MSELoss()),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_a_message_stands_as_it_is(number):
    data, loss = REFUSED[number]()
    network = nn.Linear(4, 2)
    with pytest.raises(InputError) as told:
        lm.compute_surface(network, data, loss=loss, x=(-1, 1, 3), progress=False)
    assert str(told.value) == MESSAGES[number]


def test_an_exception_of_ones_own_comes_with_its_batch_and_its_traceback(folder):
    (folder / "wrong.py").write_text(
        "import torch\nimport landscape_mpi as lm\n\n\n"
        "def loss(network, batch):\n    return network(batch['x']).square().sum(1)\n\n\n"
        "network = torch.nn.Linear(4, 2)\n"
        "lm.compute_surface(network, [{'y': torch.ones(3, 4)}], loss=loss, progress=False)\n"
    )
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "wrong.py"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert "loss raised on batch 0 of data['train'] at the center: KeyError: 'x'" in done.stderr
    assert "in loss\n    return network(batch['x']).square().sum(1)" in done.stderr
