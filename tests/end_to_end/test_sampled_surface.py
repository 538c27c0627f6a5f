"""Surfaces whose values are estimated from a part of the samples, by the command itself.

Oracle for values: the losses of single samples, by a plain torch loop over the rows that the order
names. Oracle for runs on several ranks, for killed ones and for those that go on to a smaller
tolerance: the file of one undisturbed rank that was asked for it at once, bit for bit.
"""

import re

import h5py
import numpy as np
import pytest
import torch
from one_process import run_alone
from sine_network import NETWORK, write_network
from stored_points import assert_same_points, points_of

from landscape_mpi.engine.sampling.order import portions
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.sampling import tighten

COMMON = ["--model=small_network:build", "--data=digits", "--splits=train,test"]
COMMON += ["--only=none", "--ignore=none", "--batch=64"]
AXES = ["--x=-6:6:7", "--y=-6:6:5"]
SPLITS, N_ALL = ("train", "test"), {"train": 1438, "test": 359}
LOOSE, TIGHT, ALL = "--rtol=0.1", "--rtol=0.03", ("--rtol=0", "--atol=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("small"))


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


def argv(out, *options, axes=AXES):
    return ["landscape_mpi.surface", *COMMON, *axes, f"--out={out}", *options]


def run(out, *options, axes=AXES):
    ended = run_alone(argv(out, *options, axes=axes))
    assert ended.status == 0, ended.words
    return ended.words


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    """Return a function that gives the file of one rank for some options, made once."""
    known = {}
    place = tmp_path_factory.mktemp("made")

    def make(*options, axes=AXES):
        key = options, tuple(axes)
        if key not in known:
            out = place / f"{len(known)}.h5"
            known[key] = out, run(out, *options, axes=axes)
        return known[key]

    return make


def test_values_are_those_of_the_samples_taken_and_errors_are_allowed_ones(made):
    path, _ = made(TIGHT)
    exact, found = points_of(made()[0]), points_of(path)
    for split in SPLITS:
        n, loss = found[f"{split}_n_samples"], found[f"{split}_loss"]
        errors = found[f"{split}_loss_standard_error"]
        assert set(np.unique(n)) <= {256, 359, 512, 1024, 1438}
        assert (errors <= 0.03 * loss).all()
        assert ((n == N_ALL[split]) == (errors == 0)).all()
        apart = np.abs(loss - exact[f"{split}_loss"])
        assert (apart <= 3.5 * errors + 1e-12).all()
        assert (found[f"{split}_error_standard_error"] < 5).all()  # percent
    assert len(np.unique(found["train_n_samples"])) > 1
    assert found["train_n_samples"].min() < 1438


def test_a_plain_loop_over_the_rows_of_the_order_gives_the_same_loss(made):
    """At the center; the rows are those of the first portions."""
    from landscape_mpi.zoo.datasets import load_dataset

    scope = {}
    exec(NETWORK, scope)
    data, path = load_dataset("digits"), made(TIGHT)[0]
    surface = read_surface(path)
    for split in SPLITS:
        samples = data.splits[split]
        n = int(surface.sampling.n_samples[split][surface.center])
        rows = np.concatenate(portions(len(samples.targets), 64))[:n]
        images = (torch.from_numpy(samples.inputs[rows]).float() / 255 - data.mean[0]) / data.std[0]
        targets = torch.from_numpy(samples.targets[rows])
        with torch.no_grad():
            logits = scope["build"]()(images)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double()
        assert surface.values[f"{split}_loss"][surface.center] == pytest.approx(
            losses.mean().item(), rel=1e-6
        )
        wrong = 100 * (logits.argmax(1) != targets).double().mean().item()
        assert surface.values[f"{split}_error"][surface.center] == pytest.approx(wrong)
        spread = losses.std().item() / n**0.5 * (1 - n / len(samples.targets)) ** 0.5
        error = surface.sampling.errors[f"{split}_loss"][surface.center]
        assert spread <= error <= 1.4 * spread + 1e-12


@pytest.mark.parametrize(
    ("n_ranks", "options"), [(2, []), (3, []), (4, []), (3, ["--ranks-per-point=3"])]
)
def test_any_number_of_ranks_takes_the_same_samples_and_bits(
    n_ranks, options, made, folder, tmp_path, on_ranks
):
    out = tmp_path / "ranks.h5"
    told = on_ranks(n_ranks, argv(out, TIGHT, "--round-seconds=0.1", *options), cwd=folder)
    assert told.returncode == 0, told.stderr
    assert_same_points(out, made(TIGHT)[0])


def copied(path, out, lost=(), *, spoilt=()):
    """Copy a file; leave out the flags of some points, and overwrite values of others."""
    out.write_bytes(path.read_bytes())
    with h5py.File(out, "r+") as file:
        done = file["done"][...].ravel()
        done[list(lost)] = 0
        file["done"][...] = done.reshape(file["done"].shape)
        for name in [n for n in file if n.startswith("train_loss")]:
            values = file[name][...].ravel()
            values[list(spoilt)] = 7
            file[name][...] = values.reshape(file[name].shape)
    return out


def test_a_run_that_was_killed_goes_on_to_the_same_bits(made, tmp_path):
    out = copied(made(TIGHT)[0], tmp_path / "killed.h5", lost=range(5, 30), spoilt=range(10, 20))
    assert "resuming, 10 of them done" in run(out, TIGHT)
    assert_same_points(out, made(TIGHT)[0])


@pytest.mark.parametrize("last", [(TIGHT,), ALL])
def test_a_run_goes_on_to_a_smaller_tolerance_as_if_it_had_been_asked_at_once(last, made, tmp_path):
    out = copied(made(LOOSE)[0], tmp_path / "on.h5")
    run(out, *last)
    assert_same_points(out, made(*last)[0])
    before, after = points_of(made(LOOSE)[0]), points_of(out)
    assert (before["train_n_samples"] < after["train_n_samples"]).sum() > 10
    assert read_surface(out).sampling.rule == ("0.03 x loss" if last == (TIGHT,) else "0")


def test_a_kill_while_a_run_goes_on_spoils_no_point(made, tmp_path, folder):
    """A round is written into points that have values: their flags are cleared first."""
    out = copied(made(LOOSE)[0], tmp_path / "on.h5", lost=(3, 4, 20), spoilt=(3, 20))
    run(out, TIGHT)
    assert_same_points(out, made(TIGHT)[0])


def test_all_samples_give_the_loss_of_the_exact_run(made):
    exact, found = points_of(made()[0]), points_of(made(*ALL)[0])
    assert (found["train_n_samples"] == 1438).all()
    for name in ("train_loss", "train_error", "test_loss", "test_error"):
        assert found[name] == pytest.approx(exact[name], rel=1e-13)
    assert not found["train_loss_standard_error"].any()


@pytest.mark.parametrize("n", [1, 3, 100])
def test_a_few_samples_are_all_taken_with_the_bits_of_the_exact_run(n, made):
    few = [f"--limit={n}", "--splits=train"]
    exact, found = points_of(made(*few)[0]), points_of(made(*few, "--rtol=0.5", "--atol=9")[0])
    assert (found["train_n_samples"] == n).all()
    assert not found["train_loss_standard_error"].any()
    for name in ("train_loss", "train_error"):
        assert found[name].tobytes() == exact[name].tobytes()


def test_a_complete_file_is_left_as_it_is(made, tmp_path):
    out = copied(made(TIGHT)[0], tmp_path / "whole.h5")
    before = out.read_bytes()
    assert "points are done, nothing is left" in run(out, TIGHT)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("begun", "options", "words"),
    [
        (TIGHT, ["--rtol=0.05"], "--rtol 0.03 --atol 0, but this run has --rtol 0.05 --atol 0"),
        (TIGHT, ["--rtol=0.02", "--atol=1"], "but this run has --rtol 0.02 --atol 1"),
        (TIGHT, [], "the samples of a point: random order 0 .*the samples of a point: all"),
        (None, [TIGHT], "the samples of a point: all.*random order 0"),
        (TIGHT, ["--rtol=-1"], "'-1' is not a finite number of at least 0"),
        (TIGHT, ["--atol=nan"], "'nan' is not a finite number of at least 0"),
        (TIGHT, ["--atol=inf"], "'inf' is not a finite number of at least 0"),
        (TIGHT, [TIGHT, "--also=gradient_norm"], "--also gradient_norm, which needs all samples"),
        (
            TIGHT,
            [TIGHT, "--batch-norm=reestimate"],
            "--batch-norm reestimate, which measures its stat",
        ),
        (TIGHT, [TIGHT, "--points-at-once=2"], "--points-at-once 2, because points take"),
        (TIGHT, [TIGHT, "--adaptive=0.01"], "above half of --adaptive 0.01 decades.*--rtol 0.011 "),
        (
            TIGHT,
            [TIGHT, "--adaptive=0.1", "--adaptive-unit=nat"],
            "above half of --adaptive 0.1 nat.*--rtol 0 with --atol 0.05 or less, or "
            r"--adaptive-unit decades\.",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_touched(begun, options, words, made):
    path = made(begun)[0] if begun else made()[0]
    before = path.read_bytes()
    ended = run_alone(argv(path, *options))
    assert ended.status == 2
    assert re.search(words, ended.words, re.DOTALL), ended.words
    assert path.read_bytes() == before


FINE = ["--x=-6:6:33", "--y=-6:6:33"]
BOTH = ("--adaptive=0.06", "--rtol=0.05", "--splits=train", "--limit=700")
TIGHTER = ("--adaptive=0.06", "--rtol=0.01", "--splits=train", "--limit=700")


def test_fewer_points_and_fewer_samples_go_together(made):
    exact = points_of(made("--splits=train", "--limit=700", axes=FINE)[0])
    found = points_of(made(*BOTH, axes=FINE)[0])
    interpolated = found["done"] == 2
    assert 0.1 < interpolated.mean() < 0.95
    assert (found["train_n_samples"][interpolated] == 0).all()
    assert np.isnan(found["train_loss_standard_error"][interpolated]).all()
    decades = np.abs(np.log10(found["train_loss"] + 0.1) - np.log10(exact["train_loss"] + 0.1))
    # The tolerance of the interpolation, and two standard errors.
    assert np.quantile(decades, 0.98) <= 0.06 + 2 * 0.05 / np.log(10)


@pytest.fixture
def n_taken(monkeypatch):
    """The samples that the network sees at points of a run, portion by portion, in a list."""
    from landscape_mpi.compute.evaluation import Evaluator
    from landscape_mpi.engine.sampling.sampled_points import SampledPoints

    seen, at_a_point = [], []
    compute, evaluate = Evaluator.compute_losses, SampledPoints.evaluate

    def compute_and_count(self, samples):
        seen.extend([len(samples)] if at_a_point else [])  # not those of a first trial
        compute(self, samples)

    def evaluate_a_point(self, *arguments):
        at_a_point.append(True)
        found = evaluate(self, *arguments)
        at_a_point.clear()
        return found

    monkeypatch.setattr(Evaluator, "compute_losses", compute_and_count)
    monkeypatch.setattr(SampledPoints, "evaluate", evaluate_a_point)
    return seen


@pytest.mark.parametrize(
    ("begun", "last", "axes"),
    [
        ((LOOSE,), (TIGHT,), AXES),
        ((LOOSE,), ALL, AXES),
        (BOTH, TIGHTER, FINE),
        (BOTH, (BOTH[0], *ALL, *BOTH[2:]), FINE),
    ],
    ids=["smaller", "all samples", "adaptive and smaller", "adaptive and all samples"],
)
def test_going_on_takes_the_samples_that_the_file_lacks_and_no_others(
    begun, last, axes, made, tmp_path, n_taken
):
    out = copied(made(*begun, axes=axes)[0], tmp_path / "on.h5")
    before = points_of(out)
    n_taken.clear()
    run(out, *last, axes=axes)
    after = points_of(out)
    lacking = [
        np.maximum(after[name] - before[name], 0).sum()  # 0 after: interpolated by now
        for name in before
        if name.endswith("_n_samples")
    ]
    assert sum(n_taken) == sum(lacking) > 1000
    computed = after["done"] == 1
    if "--rtol=0" in last:
        assert (after["train_n_samples"][computed] == after["train_n_samples"].max()).all()
        assert not after["train_loss_standard_error"][computed].any()
    before_again = out.read_bytes()
    run(out, *last, axes=axes)
    assert sum(n_taken) == sum(lacking)
    assert out.read_bytes() == before_again


def test_the_noise_of_samples_is_not_refined(made):
    """As few points are computed as if all samples were taken, or 5 % more."""
    exact = points_of(made(BOTH[0], *BOTH[2:], axes=FINE)[0])["done"] == 1
    for options in (BOTH, TIGHTER):
        sampled = points_of(made(*options, axes=FINE)[0])["done"] == 1
        assert sampled.sum() <= 1.05 * exact.sum()


def test_no_interpolated_point_states_less_than_the_error_of_the_computed_ones(made):
    found = points_of(made(*BOTH, axes=FINE)[0])
    interpolated = found["done"] == 2
    noise = (found["train_loss"] + 0.1) * np.expm1(0.05)  # of log10(loss + 0.1), at most
    assert (found["train_loss_error"] >= noise * (1 - 1e-9))[interpolated].all()


@pytest.mark.parametrize("n_ranks", [2, 3, 4])
def test_both_together_take_the_same_points_on_any_number_of_ranks(
    n_ranks, made, folder, tmp_path, on_ranks
):
    out = tmp_path / "both.h5"
    told = on_ranks(n_ranks, argv(out, *BOTH, "--round-seconds=0.3", axes=FINE), cwd=folder)
    assert told.returncode == 0, told.stderr
    assert_same_points(out, made(*BOTH, axes=FINE)[0])


def test_both_together_go_on_after_a_kill_and_to_a_smaller_tolerance(made, tmp_path):
    path = made(*BOTH, axes=FINE)[0]
    flags = points_of(path)["done"].ravel()
    lost = np.flatnonzero((flags == 2) | (np.arange(flags.size) % 3 == 0))
    out = copied(path, tmp_path / "killed.h5", lost=lost)
    run(out, *BOTH, axes=FINE)
    assert_same_points(out, path)
    out = copied(path, tmp_path / "tighter.h5")
    run(out, *TIGHTER, axes=FINE)
    assert_same_points(out, made(*TIGHTER, axes=FINE)[0])


def test_a_smaller_tolerance_takes_out_interpolated_points_and_the_check(made, tmp_path):
    """Both follow from values that are going to change; computed values stay."""
    path = made(*BOTH, axes=FINE)[0]
    out = copied(path, tmp_path / "tighter.h5")
    tighten(out, rtol=0.01, atol=0.0)
    before, after = points_of(path), points_of(out)
    assert np.array_equal(after["done"], np.where(before["done"] == 1, 1, 0))
    assert np.isfinite(before["check_error"]).any()
    assert not np.isfinite(after["check_error"]).any()
    assert not np.isfinite(after["check_estimate"]).any()
    assert np.array_equal(after["train_loss"], before["train_loss"])
    assert read_surface(out).sampling.rule == "0.01 x loss"


def test_a_run_to_a_smaller_error_that_was_killed_says_which_points_lack_it(made, tmp_path):
    """Its file has the smaller tolerance, but not every point has taken enough samples for it."""
    out = copied(made(LOOSE)[0], tmp_path / "on.h5")
    tighten(out, rtol=0.03, atol=0.0)
    found = points_of(out)
    allowed = [
        (found[f"{split}_loss_standard_error"] <= 0.03 * found[f"{split}_loss"])
        | (found[f"{split}_n_samples"] == N_ALL[split])
        for split in SPLITS
    ]
    n = int((~np.logical_and(*allowed)).sum())
    assert n > 1
    sampling = read_surface(out).sampling
    assert sampling.title == f"estimates, standard error up to 0.03 x loss (not yet at {n} points)"
    assert sampling.words.endswith(f"; {n} points have not reached this limit yet")
    run(out, TIGHT)
    assert read_surface(out).sampling.title == "estimates, standard error up to 0.03 x loss"
    assert "not reached" not in read_surface(out).sampling.words


def test_a_sampled_file_has_a_version_that_older_programs_refuse(made):
    with h5py.File(made(TIGHT)[0]) as file:
        assert file.attrs["format_version"] == 4
        assert file.attrs["rtol"] == 0.03
        assert file.attrs["atol"] == 0
        assert file.attrs["n_all_train"] == 1438
    with h5py.File(made()[0]) as file:
        assert file.attrs["format_version"] == 2
        assert "rtol" not in file.attrs


def test_the_reader_tells_estimates_and_their_errors_from_quantities(made):
    surface, found = read_surface(made(TIGHT)[0]), points_of(made(TIGHT)[0])
    assert set(surface.values) == {"train_loss", "train_error", "test_loss", "test_error"}
    assert read_surface(made()[0]).sampling is None
    sampling = surface.sampling
    assert np.array_equal(sampling.n_samples["train"], found["train_n_samples"])
    assert np.array_equal(sampling.errors["test_error"], found["test_error_standard_error"])
    taken = found["train_n_samples"].sum() + found["test_n_samples"].sum()
    share = 100 * taken / (35 * (1438 + 359))
    largest = found["train_loss_standard_error"].max()
    assert f"{share:.2g} % of the images" in sampling.words
    assert f"{largest:.2g} nat (train_loss)" in sampling.words


def test_a_damaged_estimate_is_damage_and_can_be_repaired(made, tmp_path):
    out = copied(made(TIGHT)[0], tmp_path / "damaged.h5", spoilt=(8,))
    ended = run_alone(argv(out, TIGHT))
    assert ended.status == 2
    assert "is damaged" in ended.words
    run(out, TIGHT, "--repair")
    assert_same_points(out, made(TIGHT)[0])
