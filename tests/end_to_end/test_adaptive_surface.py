"""Surfaces of which not every point is computed, by the command itself.

Oracle for values and errors: the exact surface of the same network, computed point by point. Oracle
for runs on several ranks, and for those that were killed: the file of one undisturbed rank, bit for
bit. A killed run is one whose file lacks some of its flags, which are written last.
"""

import os
import re
import signal

import h5py
import numpy as np
import pytest
import torch
from limits import LIMIT_S
from long_runs import processes_running
from sine_network import NETWORK, write_network

from landscape_mpi import open_surface
from landscape_mpi.errors import InputError
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.reader import read_surface

N = 41
COMMON = ["--model=small_network:build", "--data=digits", "--limit=100", "--subset=first"]
COMMON += ["--splits=train,test", "--only=none", "--ignore=none"]
AXES = [f"--x=-6:6:{N}", f"--y=-6:6:{N}"]
VALUES = ("train_loss", "train_error", "test_loss", "test_error")
STORED = (*VALUES, "done", "train_loss_error", "test_loss_error", "check_error", "check_estimate")

# The same, with time to be disturbed in.
SLOW = NETWORK.replace("import torch\n", "import os, time, torch\n").replace(
    "        return self.second",
    "        if images.sum() > -1e30:  # depends on the values, so that it cannot be traced away\n"
    "            time.sleep(float(os.environ.get('LAG', '0')))\n"
    "        return self.second",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("small"))


def argv(out, *options):
    return ["landscape_mpi.surface", *COMMON, *AXES, f"--out={out}", *options]


@pytest.fixture(scope="module")
def exact(folder, on_ranks):
    path = folder / "exact.h5"
    on_ranks(2, argv(path), check=True, cwd=folder)
    return path


@pytest.fixture(scope="module")
def one_rank(folder, on_ranks):
    """The file of one rank, and what it said."""
    path = folder / "adaptive.h5"
    told = on_ranks(1, argv(path, "--adaptive=0.02"), check=True, cwd=folder)
    return path, told.stdout


def stored(path, names=STORED):
    with h5py.File(path) as file:
        return {name: file[name][...] for name in names}


def assert_same(path, reference):
    expected = stored(reference)
    for name, values in stored(path).items():
        assert values.tobytes() == expected[name].tobytes(), name


def test_computed_points_are_exact_and_the_others_within_their_errors(one_rank, exact):
    found, true = stored(one_rank[0]), stored(exact, VALUES)
    computed, interpolated = found["done"] == 1, found["done"] == 2
    assert (computed | interpolated).all()
    assert 0.1 < interpolated.mean() < 0.97
    for name in VALUES:
        assert np.array_equal(found[name][computed], true[name][computed]), name
    for name in ("train_loss", "test_loss"):
        errors = np.abs(found[name] - true[name])
        within = errors <= found[f"{name}_error"]
        assert within[computed].all()
        assert within[interpolated].mean() >= 0.95
        decades = np.abs(np.log10(found[name] + 0.1) - np.log10(true[name] + 0.1))
        assert np.quantile(decades[interpolated], 0.99) <= 0.02
    assert np.abs(found["train_error"] - true["train_error"])[interpolated].mean() < 2  # percent


def test_the_center_and_its_neighbours_are_computed(one_rank):
    middle = slice(N // 2 - 3, N // 2 + 4)
    assert (stored(one_rank[0])["done"][middle, middle] == 1).all()


def test_the_run_says_how_many_points_it_took_and_what_its_check_found(one_rank):
    path, said = one_rank
    found = stored(path)
    n, n_checked = int((found["done"] == 1).sum()), int(np.isfinite(found["check_error"]).sum())
    n_held = int((found["check_error"] <= found["check_estimate"]).sum())
    assert f"{n:,} of {N * N:,} points computed" in said
    assert f"of {n_checked} interpolated points computed to check, {n_held} within" in said
    assert n_checked >= 100
    assert n_held >= 0.95 * n_checked
    largest = re.search(r"largest error ([\d.e-]+) decades", said)[1]
    assert float(largest) == pytest.approx(np.nanmax(found["check_error"]), rel=0.06)


def test_checked_points_are_computed_points(one_rank):
    found = stored(one_rank[0])
    checked = np.isfinite(found["check_error"])
    assert (found["done"][checked] == 1).all()
    assert (found["train_loss_error"][checked] == 0).all()


@pytest.mark.parametrize("n_ranks", [2, 3, 4])
def test_any_number_of_ranks_takes_the_same_points_and_bits(
    n_ranks, one_rank, folder, tmp_path, on_ranks
):
    out = tmp_path / "adaptive.h5"
    options = ["--adaptive=0.02", "--round-seconds=0.3"]
    on_ranks(n_ranks, argv(out, *options), check=True, cwd=folder)
    assert_same(out, one_rank[0])


@pytest.mark.parametrize(("share", "n_ranks"), [(0.05, 2), (0.4, 3), (0.9, 1), (1.0, 2)])
def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    share, n_ranks, one_rank, folder, tmp_path, on_ranks
):
    """With a share of 1 it was killed after its last point, before the others were filled in.

    Bytes of the check that changed in an unfinished file are written again with the check.
    """
    out = tmp_path / "killed.h5"
    out.write_bytes(one_rank[0].read_bytes())
    with h5py.File(out, "r+") as file:
        done = file["done"][...]
        lost = (done == 2) | (np.random.default_rng(0).random(done.shape) >= share)
        file["done"][...] = np.where(lost, 0, done)
        for name in (*VALUES, "train_loss_error", "test_loss_error"):
            file[name][...] = np.where(lost, np.nan, file[name][...])
        for name in ("check_error", "check_estimate"):
            file[name][...] = 0.5
    on_ranks(n_ranks, argv(out, "--adaptive=0.02"), check=True, cwd=folder)
    assert_same(out, one_rank[0])


def test_a_signal_stops_it_and_the_same_command_goes_on(one_rank, tmp_path, start_mpiexec, alone):
    write_network(tmp_path, SLOW)
    out = tmp_path / "stopped.h5"
    command = argv(out, "--adaptive=0.02", "--round-seconds=0.1")
    process = start_mpiexec(2, command, env={"LAG": "0.005"}, cwd=tmp_path)
    assert any("points computed, " in line for line in process.stdout)
    os.kill(processes_running(out)[-1], signal.SIGUSR1)
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75
    assert "run the same command again" in log
    alone(command, cwd=tmp_path, check=True)
    assert_same(out, one_rank[0])


def test_a_complete_file_is_left_as_it_is(one_rank, folder, on_ranks):
    path, _ = one_rank
    before = path.read_bytes()
    told = on_ranks(2, argv(path, "--adaptive=0.02"), check=True, cwd=folder)
    assert path.read_bytes() == before
    assert "points are done, nothing is left" in told.stdout
    assert "within the estimate" in told.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--adaptive=0.1"], "--adaptive 0.02.*--adaptive 0.1.*pass --adaptive 0.02"),
        ([], "--adaptive 0.02.*--adaptive none.*pass --adaptive 0.02"),
        (["--adaptive=0.02", "--adaptive-unit=nat"], "tolerance in decades.*tolerance in nat"),
        (["--adaptive-unit=nat"], "--adaptive-unit nat: .*Pass --adaptive too"),
        (["--adaptive=0"], "--adaptive.*'0'"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(
    options, words, one_rank, folder, on_ranks
):
    path, _ = one_rank
    before = path.read_bytes()
    told = on_ranks(1, argv(path, *options), cwd=folder)
    assert told.returncode == 2
    assert re.search(words, told.stderr, re.DOTALL), told.stderr
    assert path.read_bytes() == before


def test_lines_of_several_directions_are_no_neighbours(folder, tmp_path, on_ranks):
    out = tmp_path / "lines.h5"
    words = ["landscape_mpi.surface", *COMMON, "--x=-1:1:41", "--repeats=3", "--adaptive=0.1"]
    told = on_ranks(1, [*words, f"--out={out}"], cwd=folder)
    assert told.returncode == 2
    assert "the 3 lines of --repeats are not neighbours" in told.stderr
    assert not out.exists()


def test_the_reader_tells_computed_from_interpolated(one_rank):
    surface, found = read_surface(one_rank[0]), stored(one_rank[0])
    assert surface.done.all()
    assert set(surface.values) == set(VALUES)
    interpolation = surface.interpolation
    assert np.array_equal(interpolation.points, found["done"] == 2)
    assert np.array_equal(interpolation.errors["test_loss"], found["test_loss_error"])
    n = int((found["done"] == 2).sum())
    assert interpolation.words.startswith(f"{n:,} of {N * N:,} points (")
    assert interpolation.words.endswith("to 0.02 decades")


def test_an_exact_file_keeps_its_version_and_has_no_interpolation(exact):
    assert read_surface(exact).interpolation is None
    with h5py.File(exact) as file:
        assert file.attrs["format_version"] == 2
        assert "check_error" not in file


def test_an_interpolated_value_that_changed_is_damage(one_rank, tmp_path, folder, on_ranks):
    out = tmp_path / "damaged.h5"
    out.write_bytes(one_rank[0].read_bytes())
    with h5py.File(out, "r+") as file:
        place = tuple(np.argwhere(file["done"][...] == 2)[0])
        file["train_loss_error"][place] = 0.5 * file["train_loss_error"][place]
    told = on_ranks(1, argv(out, "--adaptive=0.02"), cwd=folder)
    assert told.returncode == 2
    assert "is damaged" in told.stderr


def changed_check(path, reference, name):
    """Copy a file and change one bit of the results of its check."""
    path.write_bytes(reference.read_bytes())
    with h5py.File(path) as file:
        begin, values = file[name].id.get_offset(), file[name][...].ravel()
    place = begin + 8 * int(np.flatnonzero(np.isfinite(values))[0])
    with open(path, "r+b") as raw:
        raw.seek(place)
        (byte,) = raw.read(1)
        raw.seek(place)
        raw.write(bytes([byte ^ 1]))
    return path


@pytest.mark.parametrize("name", ["check_error", "check_estimate"])
def test_every_command_refuses_a_changed_check(name, one_rank, folder, tmp_path, on_ranks):
    out = changed_check(tmp_path / "changed.h5", one_rank[0], name)
    words = "self-check (check_error, check_estimate) are not as they were written"
    for command in (
        ["surface", f"--status={out}"],
        ["surface", f"--summary={out}"],
        ["plot", str(out)],
        ["report", str(out), f"--out={tmp_path / 'page.html'}"],
        ["vtp", str(out)],
        ["topology", str(out), f"--out={tmp_path / 'topology'}"],
        ["surface", *argv(out, "--adaptive=0.02")[1:]],
    ):
        told = on_ranks(1, [f"landscape_mpi.{command[0]}", *command[1:]], cwd=folder)
        assert told.returncode == 2, command
        assert told.stderr.count(words) == 1, told.stderr
        assert "the command of the surface with --repair (makes these results again)" in told.stderr
    with pytest.raises(InputError, match="self-check"):
        open_surface(out)


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_a_changed_check_is_made_again(n_ranks, one_rank, folder, tmp_path, on_ranks):
    out = changed_check(tmp_path / "changed.h5", one_rank[0], "check_error")
    told = on_ranks(n_ranks, argv(out, "--adaptive=0.02", "--repair"), check=True, cwd=folder)
    assert "so this run makes them and the interpolated values again" in told.stdout
    assert_same(out, one_rank[0])
    with h5py.File(out) as file:
        assert file["provenance/runs"]["points"][:3].tolist()[1:] == [0, 0]  # none evaluated
    again = on_ranks(1, argv(out, "--adaptive=0.02", "--repair"), check=True, cwd=folder)
    assert f"{out}: --repair finds no damage\n" in again.stdout


def test_a_file_of_an_older_version_has_no_checksum_of_its_check(
    one_rank, folder, tmp_path, on_ranks
):
    """It is read, and a run continues it."""
    out = tmp_path / "older.h5"
    out.write_bytes(one_rank[0].read_bytes())
    with h5py.File(out, "r+") as file:
        del file["check_checksum"]
        done = file["done"][...]
        file["done"][...] = np.where(done == 2, 0, done)
    seal(out)
    on_ranks(2, argv(out, "--adaptive=0.02"), check=True, cwd=folder)
    assert_same(out, one_rank[0])
    with h5py.File(out, "r+") as file:
        file["check_error"][...] = 0.5
    found = read_surface(out).interpolation
    assert found.n_points == int((stored(out)["done"] == 2).sum())


def test_a_complete_run_that_interpolated_nothing_is_done(folder, tmp_path, on_ranks):
    out = tmp_path / "small.h5"
    words = ["landscape_mpi.surface", *COMMON, "--x=-1:1:2", "--y=-1:1:2", f"--out={out}"]
    on_ranks(1, [*words, "--adaptive=0.02"], check=True, cwd=folder)
    told = on_ranks(1, ["landscape_mpi.surface", f"--status={out}"], check=True, cwd=folder)
    assert "4 of 4 points done (100 %)" in told.stdout
    assert "more follow" not in told.stdout


def test_the_network_is_the_one_written_here(folder, exact):
    """The exact surface, at its center, by a plain evaluation."""
    scope = {}
    exec(NETWORK, scope)
    from landscape_mpi.zoo.datasets import load_dataset

    data = load_dataset("digits")
    samples = data.splits["train"].first(100)
    images = (torch.from_numpy(samples.inputs).float() / 255 - data.mean[0]) / data.std[0]
    logits = scope["build"]()(images)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(samples.targets))
    found = read_surface(exact)
    assert found.values["train_loss"][found.center] == pytest.approx(loss.item(), rel=1e-5)
