"""The benchmarks' own parts: the plain evaluation, the pages, and the script for GPUs on a CPU.

Oracle for the plain evaluation: the loss plane of the package, which shares no code with it.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from chromium import find_chromium
from folders import TESTS
from PIL import Image

BENCHMARKS = TESTS / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from case import Case, cpu_setting  # noqa: E402
from load import seconds_to_load  # noqa: E402
from page import replace_section, table  # noqa: E402


def test_the_plain_evaluation_and_ours_are_the_same_surface():
    case = Case("resnet8", 150)
    plain, ours = case.plain(), case.ours(cpu_setting("fp32", 2))
    for point in ((0.0, 0.0), (0.5, -0.25), (-1.0, 1.0)):
        assert ours.evaluate(*point)[0] == pytest.approx(plain.evaluate(*point), rel=1e-5)


def test_a_section_is_replaced_and_the_others_stay(tmp_path):
    page = tmp_path / "page.md"
    replace_section(page, "One", ["first"])
    replace_section(page, "Two", table(("a", "b"), [("1", "2")]))
    replace_section(page, "One", ["second"])
    assert page.read_text() == (
        "# Benchmarks\n\n## One\n\nsecond\n\n## Two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    )


def test_a_page_is_loaded_with_its_pictures(browser, tmp_path):
    page, program = tmp_path / "page.html", find_chromium()
    Image.new("RGB", (4, 4)).save(tmp_path / "there.png")
    page.write_text('<!doctype html><img src="there.png">')
    assert seconds_to_load(page, program) > 0
    page.write_text('<!doctype html><img src="there.png"><img src="missing.png">')
    with pytest.raises(ValueError, match="a picture of the page is missing"):
        seconds_to_load(page, program)


def test_the_script_for_tolerances_keeps_to_its_goal_on_smooth_surfaces(tmp_path):
    page = tmp_path / "page.md"
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "adaptive.py"), f"--page={page}"],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parents[1]), "LANDSCAPE_SURFACES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in page.read_text().splitlines()]
    usual = [row for row in rows if len(row) == 7 and row[1] == "0.03"]
    assert len(usual) == 3
    for _, _, computed, most, _, holds, _ in usual:
        assert float(computed.split()[0]) <= 7
        assert float(most) <= 0.03
        assert float(holds.split()[0]) >= 95


def test_the_script_for_eigenvalues(tmp_path):
    page = tmp_path / "page.md"
    options = ["--model=cnn1", "--images=10", "--threads=1", f"--page={page}"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "hessian.py"), *options],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.count("| (") == 9
    assert "Products per point: " in text
    assert re.search(r"the share is \d+\.\d", text)


def test_the_script_for_batches_of_problems():
    """A plain sum over all batches, at the center and at the network that is left there."""
    from batches import POINTS, Problem, ignoring_loss, rows_of
    from samples import RULES

    torch.manual_seed(0)
    sizes = torch.randint(1, 4, (400,)).tolist()
    inputs, targets = torch.randn(sum(sizes), 64), torch.randint(-1, 10, (sum(sizes),))
    targets[targets < 0] = -100
    batches = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    network = torch.nn.Linear(64, 10)
    expected = torch.nn.functional.cross_entropy(network(inputs), targets).item()
    rows = rows_of(Problem("few", network, batches, ignoring_loss), n_orders=20)
    assert len(rows) == len(POINTS) * len(RULES)
    assert float(rows[0][2]) == pytest.approx(expected, rel=6e-3)  # three digits of it
    assert rows[0][2] != rows[-1][2]
    after = torch.nn.functional.cross_entropy(network(inputs), targets).item()
    assert after == pytest.approx(expected, rel=1e-6)
    assert all(256 <= float(row[4]) <= 400 for row in rows)
    assert sum(float(row[5].removesuffix(" %")) for row in rows) / len(rows) > 85


@pytest.fixture
def headline(monkeypatch):
    """The script for whole surfaces; its commands run on one rank in this process, 1 s each."""
    import headline
    from one_process import run_alone

    commands = []

    def run_here(command, log):
        place = command.index("landscape_mpi.surface")
        commands.append(command[place:])
        return 1.0, run_alone(command[place:]).status

    monkeypatch.setattr(headline, "processor_seconds", run_here)
    monkeypatch.setattr(headline, "commands", commands, raising=False)
    return headline


def test_the_script_for_whole_surfaces(headline, tmp_path, monkeypatch):
    """Errors: against the exact surface of the same grid by the command; a second call computes
    nothing, and a run that ended without a word makes the cost a bound."""
    from landscape_mpi.store.reader import read_surface
    from landscape_mpi.zoo.datasets import load_dataset
    from landscape_mpi.zoo.networks import build_network

    torch.manual_seed(0)
    network = build_network("feedforward2", sample=load_dataset("digits").sample)
    torch.save(network.state_dict(), tmp_path / "feedforward2.pt")
    words = ["headline", f"--weights={tmp_path}", "--data=digits", f"--folder={tmp_path / 'kept'}"]
    monkeypatch.setattr(sys, "argv", [*words, "--exact=3", "--checked=20", "--ranks=1"])
    bench = headline.Bench(headline.parse())
    case = headline.Case("feedforward2", 21, 700, headline.Tolerances.of("0.05:0.04:0.002"))
    row = headline.row_of(bench, case)
    assert row[:4] == ("feedforward2", "21 x 21", "700", "0.05 decades, 0.002 + 0.04 x loss")
    found = read_surface(bench.surface(case)[0])
    n = found.sampling.n_samples["train"][found.sampling.computed].sum()
    assert float(row[6]) == pytest.approx(21 * 21 * 700 / n, rel=6e-3)  # three digits of it
    assert n < 0.8 * 21 * 21 * 700
    assert row[7:10] == ("1 s", "1 s", "1")  # a point costs nothing where every run takes 1 s
    exact = read_surface(bench.surface(headline.replace(case, tolerances=None))[0])
    near, others = headline.draw_points(found, 20)
    assert len({*near.tolist(), *others.tolist()}) == 20
    radius = np.hypot(*np.meshgrid(found.alpha, found.beta, indexing="ij")).ravel()
    assert radius[near].max() < radius[others].min()
    scaled = [np.log10(each.values["train_loss"].ravel() + 0.1) for each in (found, exact)]
    apart = np.abs(scaled[0] - scaled[1])
    errors = bench.errors(case, bench.surface(case)[0])
    assert errors.near == pytest.approx(apart[near], abs=1e-6)
    assert errors.others == pytest.approx(apart[others], abs=1e-6)
    assert errors.holds.mean() > 0.8
    n_commands = len(headline.commands)
    assert headline.row_of(bench, case) == row
    assert len(headline.commands) == n_commands
    kept = tmp_path / "kept" / f"{case.name}.json"
    kept.write_text('{"seconds": [null, 2.0], "done": false}')
    _, cost = bench.surface(case)
    assert cost.text == "more than 3 s"


def test_the_time_of_all_processes_of_a_command_counts(tmp_path):
    """Also of one that outlives the command, as ranks may outlive their mpiexec."""
    from headline import processor_seconds

    busy = "import time\nwhile time.process_time() < 0.5: pass"
    with (tmp_path / "log").open("w") as log:
        words = ["sh", "-c", f'"{sys.executable}" -c "{busy}" & exit 3']
        seconds, status = processor_seconds(words, log)
    assert status == 3
    assert 0.5 <= seconds < 3


def test_the_script_for_samples_on_kept_losses(tmp_path):
    """Losses from a formula at every point, so that no network is evaluated."""
    from samples import POINTS, name_of

    draw = np.random.default_rng(0)
    kept = {
        name_of(model, place): draw.lognormal(0, 0.7, 4000).astype(np.float32)
        for model, places in POINTS.items()
        for place in places
    }
    np.savez(tmp_path / "losses.npz", **kept)
    page = tmp_path / "page.md"
    options = [f"--losses={tmp_path / 'losses.npz'}", f"--page={page}", "--orders=20"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "samples.py"), *options],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS.parents[1]), "WEIGHTS": ".", "IMAGES": "."},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in page.read_text().splitlines()]
    found = [row for row in rows if row[0] in POINTS]
    assert len(found) == 2 * sum(len(places) for places in POINTS.values())
    held = [float(row[7].removesuffix(" %")) for row in found]
    assert sum(held) / len(held) > 90
    assert all(256 <= float(row[6].replace(",", "")) < 10_000 for row in found)
