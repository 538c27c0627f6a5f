"""Work and errors of --adaptive with --rtol and --atol on trained networks, beside the exact grid.

For each network, number of images, size of the grid and pair of tolerances, the surface is computed
by the command itself. Its samples and its processor time are compared with those of the exact grid.
That grid is measured on fewer points and scaled, since every exact point costs the same. The errors
are those at points drawn from the grid and computed exactly, half of them near the center.

Everything is kept in a folder, and the same command continues: a surface where it stopped, with the
processor time of all its runs, and the exact points one by one.

    export WEIGHTS=FOLDER IMAGES=npz:FILE
    make bench-headline HEADLINE="--mean 0.4914,0.4824,0.4467 --std 0.2471,0.2435,0.2616"
    make bench-headline HEADLINE="--sizes 51 101 --tolerances 0.03:0.02:0.002 0.1:0.05:0.002"
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import h5py
import numpy as np
from case import cpu_setting
from page import replace_section, table

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.steps import steps_of
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.sampling.tally import Z
from landscape_mpi.store.reader import Surface, read_surface
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

ROOT = Path(__file__).parents[2]
SEED = 1  # of the directions and of the points that are checked
UNIT = Tolerance(1.0)  # errors are in decades of loss + 0.1
NEAR = 0.01, 4  # points near the center: this share of the grid, or so many times those drawn
NORM = "mean", "std"
SAME = 1e-4  # relative; allowed between the points computed here and those of the exact surface


@dataclass(frozen=True)
class Tolerances:
    """The errors that a surface may have."""

    adaptive: float
    rule: SamplingRule

    @classmethod
    def of(cls, text: str) -> Tolerances:
        """Read ADAPTIVE:RTOL:ATOL."""
        adaptive, rtol, atol = map(float, text.split(":"))
        return cls(adaptive, SamplingRule(rtol, atol))

    @property
    def options(self) -> list[str]:
        """Return the options of the command."""
        rule = self.rule
        return [f"--adaptive={self.adaptive:g}", f"--rtol={rule.rtol:g}", f"--atol={rule.atol:g}"]

    @property
    def text(self) -> str:
        """Return the tolerances in words."""
        return f"{self.adaptive:g} decades, {self.rule.text}"


@dataclass(frozen=True)
class Case:
    """A surface to compute; without tolerances it is exact."""

    model: str
    n_axis: int
    n_images: int
    tolerances: Tolerances | None = None

    @property
    def name(self) -> str:
        """Return the name of its files."""
        asked = self.tolerances
        how = "exact" if asked is None else "_".join(word[2:] for word in asked.options)
        return f"{self.model}_{self.n_axis}_{self.n_images}_{how}".replace("=", "")

    @property
    def label(self) -> str:
        """Return the label of its picture."""
        how = "exact" if self.tolerances is None else self.tolerances.text
        return f"{self.n_axis} x {self.n_axis} points, {how}"


@dataclass(frozen=True)
class Cost:
    """Processor time of a surface, s, added up over all runs that computed it."""

    seconds: float
    is_known: bool  # False if a run ended without saying what it took: then seconds is a bound

    @property
    def text(self) -> str:
        """Return the time in words."""
        return f"{'' if self.is_known else 'more than '}{describe_seconds(self.seconds)}"


@dataclass(frozen=True)
class Errors:
    """Errors at the points that were computed exactly, in decades of loss + 0.1."""

    near: np.ndarray  # float64 [n_near]
    others: np.ndarray  # float64 [n_others]
    holds: np.ndarray  # whether the stated errors cover the one found, bool [n]

    def cells(self) -> list[str]:
        """Return the cells of the table."""
        every = np.concatenate([self.near, self.others])
        return [
            f"{np.median(every):.4f}",
            f"{np.quantile(every, 0.95):.4f}",
            f"{self.near.max():.4f}",
            f"{self.others.max():.4f}",
            f"{self.holds.sum()} of {self.holds.size}",
        ]


class Bench:
    """Computes surfaces and points, and keeps them in a folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._asked, self.folder = options, options.folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._data = load_dataset(
            options.data,
            data_dir=options.data_dir,
            mean=numbers_of(options.mean),
            std=numbers_of(options.std),
        )

    def checkpoint(self, model: str) -> Path:
        """Return the weights of a network."""
        found = sorted(self._asked.weights.glob(f"{model}.*"))
        if not found:
            sys.exit(f"--weights {self._asked.weights}: there is no file {model}.*")
        return found[0]

    def n_images(self, limit: int | None) -> int:
        """Return the number of images of a limit."""
        n = len(self._data.splits["train"].targets)
        return n if limit is None else min(limit, n)

    # Surfaces, by the command.

    def surface(self, case: Case) -> tuple[Path, Cost]:
        """Compute a surface as far as it is not there yet; return its file and its time."""
        out, kept = self.folder / f"{case.name}.h5", self.folder / f"{case.name}.json"
        known = json.loads(kept.read_text()) if kept.exists() else {"seconds": [], "done": False}
        if not (known["done"] and out.exists()):
            self._compute(case, out, kept, known)
        seconds = known["seconds"]
        return out, Cost(sum(s for s in seconds if s is not None), None not in seconds)

    def _compute(self, case: Case, out: Path, kept: Path, known: dict) -> None:
        known["seconds"].append(None)  # until this run ends, however it does
        write_whole(kept, json.dumps(known))
        print(f"{case.name} ...", flush=True)
        with (self.folder / f"{case.name}.log").open("a") as log:
            seconds, status = processor_seconds(self._command(case, out), log)
        known["seconds"][-1], known["done"] = seconds, status == 0
        write_whole(kept, json.dumps(known))
        if status:
            sys.exit(f"status {status}: see {log.name}")

    def _command(self, case: Case, out: Path) -> list[str]:
        asked = self._asked
        words = [sys.executable, "-m", "landscape_mpi.surface", f"--model={case.model}"]
        words += [f"--checkpoint={self.checkpoint(case.model)}", f"--data={asked.data}"]
        words += [] if asked.data_dir is None else [f"--data-dir={asked.data_dir}"]
        words += [f"--{name}={getattr(asked, name)}" for name in NORM if getattr(asked, name)]
        words += [f"--limit={case.n_images}", "--subset=first", f"--seed={SEED}", f"--out={out}"]
        words += [f"--{axis}={'0' if case.n_axis == 1 else f'-1:1:{case.n_axis}'}" for axis in "xy"]
        words += ["--splits=train", "--precision=fp32", "--device=cpu"]
        words += [] if case.tolerances is None else case.tolerances.options
        return [str(ROOT / "launch/try_ranks.sh"), str(asked.ranks), *words]

    def exact_cost(self, case: Case) -> tuple[Cost, Path]:
        """Return the cost of the exact grid of a case, scaled from one of fewer points.

        The cost of a point is the difference to a run of one point; the rest is set up once.
        """
        n = self._asked.exact
        coarse = replace(case, n_axis=n, tolerances=None)
        out, many = self.surface(coarse)
        _, one = self.surface(replace(coarse, n_axis=1))
        point = max(0.0, many.seconds - one.seconds) / (n * n - 1)
        seconds = one.seconds + (case.n_axis**2 - 1) * point
        return Cost(seconds, many.is_known and one.is_known), out

    # Points, in this process.

    def errors(self, case: Case, path: Path) -> Errors:
        """Compare a surface with points that are computed exactly."""
        surface = read_surface(path)
        near, others = draw_points(surface, self._asked.checked)
        places = np.concatenate([near, others])
        true = self._exact_losses(case, surface, places)
        found = surface.values["train_loss"].ravel()[places]
        apart = np.abs(UNIT.scaled(found) - UNIT.scaled(true))
        holds = np.abs(found - true) <= stated_errors(surface, places, case) + SAME * true
        return Errors(apart[: len(near)], apart[len(near) :], holds)

    def _exact_losses(self, case: Case, surface: Surface, places: np.ndarray) -> np.ndarray:
        """Return the loss of all images at points of a surface, float64 [n]."""
        kept = self.folder / f"{case.model}_{case.n_axis}_{case.n_images}_points.json"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        missing = [str(place) for place in places.tolist() if str(place) not in known]
        plane = self._plane(case) if missing else None
        for n_done, place in enumerate(missing):
            print(f"exact point {n_done + 1} of {len(missing)}", flush=True)
            row, column = divmod(int(place), len(surface.beta))
            assert plane is not None
            known[place] = plane(float(surface.alpha[row]), float(surface.beta[column]))
            write_whole(kept, json.dumps(known))
        return np.array([known[str(place)] for place in places.tolist()])

    def _plane(self, case: Case) -> ExactPlane:
        data = self._data
        samples = data.splits["train"].first(case.n_images)
        network = build_network(case.model, sample=data.sample).float().eval()
        load_state(network, read_checkpoint(self.checkpoint(case.model), trust=False))
        state = tensors_of(network)
        center = {name: state[name] for name in moved_names(network, ignore=("bias", "bn"))}
        among = [name for name, _ in network.named_parameters()]
        directions = {
            axis: random_direction(center, seed=SEED, axis=axis, normalize="filter", among=among)
            for axis in ("alpha", "beta")
        }
        split = ResidentSplit(
            samples.inputs, samples.targets, mean=data.mean, std=data.std, device="cpu"
        )
        _, coarse = self.exact_cost(case)
        with h5py.File(coarse) as file:
            steps = steps_of(str(file.attrs["steps"]).split(","))
        setting = replace(cpu_setting("fp32", len(os.sched_getaffinity(0))), steps=steps)
        sample = split.batch(slice(0, 2))
        plane = ExactPlane(LossPlane(network, directions, {"train": split}, sample, setting), split)
        plane.check(read_surface(coarse))
        return plane


@dataclass(frozen=True)
class ExactPlane:
    """The mean loss of all images at points of a plane."""

    plane: LossPlane
    samples: ResidentSplit

    def __call__(self, alpha: float, beta: float) -> float:
        """Return the mean loss at a point."""
        return float(self.plane.losses_at(alpha, beta, self.samples).double().mean())

    def check(self, surface: Surface) -> None:
        """Check that this is the plane of an exact surface, at its center and at a corner.

        Raises:
            RuntimeError: If it is another one.
        """
        for row, column in (surface.center, (0, 0)):
            own = self(float(surface.alpha[row]), float(surface.beta[column]))
            loss = surface.values["train_loss"][row, column]
            if abs(own - loss) > SAME * abs(loss):
                raise RuntimeError(f"{own} here, but {loss} in the exact surface")


def numbers_of(text: str | None) -> list[float] | None:
    """Read numbers with commas between them."""
    return None if text is None else [float(word) for word in text.split(",")]


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text)
    partial.replace(path)


def processor_seconds(command: Sequence[str], log: IO[str]) -> tuple[float | None, int]:
    """Run a command; return the processor time of all its processes, None if lost, and its status.

    An interrupt is passed on, so that the command ends after its present points.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "seconds"
        words = [sys.executable, str(Path(__file__).parent / "timed.py"), str(found), *command]
        # Its own session: Ctrl-C would end mpiexec before its ranks.
        process = subprocess.Popen(
            words, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        while True:
            try:
                status = process.wait()
                break
            except (KeyboardInterrupt, SystemExit):
                process.send_signal(signal.SIGUSR1)
        return float(found.read_text()) if found.exists() else None, status


def draw_points(surface: Surface, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random points near the center and elsewhere, flat indices, int64 [n / 2] each."""
    alpha, beta = np.meshgrid(surface.alpha, surface.beta, indexing="ij")
    by_radius = np.argsort(np.hypot(alpha, beta).ravel(), kind="stable")
    share, times = NEAR
    n_near = min(len(by_radius) // 2, max(int(share * len(by_radius)), times * (n // 2)))
    draw = np.random.default_rng(SEED)
    near = draw.permutation(by_radius[:n_near])[: n // 2]
    others = draw.permutation(by_radius[n_near:])[: n - n // 2]
    return near, others


def stated_errors(surface: Surface, places: np.ndarray, case: Case) -> np.ndarray:
    """Return the errors that a file states at points: of interpolation, and of 95 % of samples."""
    assert case.tolerances is not None
    assert surface.sampling is not None
    loss = surface.values["train_loss"].ravel()[places]
    rule = case.tolerances.rule
    allowed = rule.atol + rule.rtol * np.abs(loss)  # of neighbours, where it was not computed
    known = surface.sampling.errors["train_loss"].ravel()[places]
    interpolated = np.zeros_like(loss)
    if surface.interpolation is not None:
        interpolated = surface.interpolation.errors["train_loss"].ravel()[places]
    of_samples = np.where(np.isfinite(known), known, allowed)
    return np.asarray(interpolated + Z * of_samples)


def describe_seconds(seconds: float) -> str:
    """Return a time with two or three digits."""
    for unit, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} s"


def row_of(bench: Bench, case: Case) -> tuple[str, ...]:
    """Compute a surface and the exact values to compare it with; return its row of the table."""
    path, cost = bench.surface(case)
    exact, _ = bench.exact_cost(case)
    surface = read_surface(path)
    assert surface.sampling is not None
    computed = surface.sampling.computed
    n_taken = int(surface.sampling.n_samples["train"][computed].sum())
    n_all = case.n_images * computed.size
    assert case.tolerances is not None
    return (
        case.model,
        f"{case.n_axis} x {case.n_axis}",
        f"{case.n_images:,}",
        case.tolerances.text,
        f"{100 * computed.mean():.1f} %",
        f"{n_taken:,}",
        f"{n_all / n_taken:.3g}",
        cost.text,
        exact.text,
        f"{exact.seconds / cost.seconds:.3g}",
        *bench.errors(case, path).cells(),
    )


HEADS = (
    *("network", "grid", "images", "tolerances", "points computed", "samples"),
    *("times fewer samples", "processor time", "exact grid, scaled", "times less"),
    *("median error", "95 % below", "largest near the center", "largest elsewhere"),
    "within what is stated",
)


def draw_pictures(bench: Bench, case: Case) -> list[str]:
    """Draw a surface beside the exact one of fewer points; return lines that show the pictures."""
    (path, _), (_, coarse) = bench.surface(case), bench.exact_cost(case)
    n_exact = read_surface(coarse).values["train_loss"].shape[0]
    folder = bench.folder / "pictures" / case.name
    labels = [replace(case, n_axis=n_exact, tolerances=None).label, case.label]
    words = [sys.executable, "-m", "landscape_mpi.plot", str(coarse), str(path), "--compare"]
    words += ["--quantity=train_loss", "--kind=filled,surface", f"--out-dir={folder}"]
    words += [f"--title={case.model}", "--log"]
    words += [word for label in labels for word in ("--label", label)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    found = sorted(folder.glob("*.png"))
    return [f"![{case.model}, {labels[1]}]({each.relative_to(bench.folder)})" for each in found]


def lines_of(bench: Bench, cases: Sequence[Case], options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the page."""
    yield (
        f"`make bench-headline`, {options.ranks} ranks, float32, directions of seed {SEED}, "
        f"{CPU.describe()}. Data: the first images of {options.data}. Processor time is user and "
        f"system time of all ranks, with set-up. The time of the exact grid is scaled from the "
        f"difference between {options.exact} x {options.exact} points and one point. Errors are in "
        f"decades of loss + 0.1, at {options.checked} random points of the grid that were also "
        f"computed exactly; half of them lie near the center. The last column counts the points "
        f"whose error is within 1.96 standard errors and the estimate of the interpolation "
        f"together."
    )
    yield ""
    yield from table(HEADS, [row_of(bench, case) for case in cases])
    for case in cases:
        yield from ("", *draw_pictures(bench, case))


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--weights", type=Path, default=os.environ.get("WEIGHTS", "."), help="folder of NETWORK.*")
    add("--data", default=os.environ.get("IMAGES", "cifar10"), help="as surface takes it")
    add("--data-dir", type=Path)
    for name in NORM:
        add(f"--{name}", help="of the pixels, as surface takes it (default: of the data set)")
    add("--networks", nargs="+", default=["resnet56_noshort"])
    add("--sizes", nargs="+", type=int, default=[201], help="points of each axis")
    add("--limits", nargs="+", type=int, default=[None], help="images (default: all)")
    add("--tolerances", nargs="+", default=["0.03:0.02:0.002"], help="ADAPTIVE:RTOL:ATOL")
    few = "odd number of points of an axis of the exact grid that is scaled and drawn"
    add("--exact", type=int, default=5, help=few)
    add("--checked", type=int, default=100, help="points that are computed exactly")
    add("--ranks", type=int, default=len(os.sched_getaffinity(0)))
    add("--folder", type=Path, default=ROOT / "build/headline", help="where all is kept")
    add("--page", type=Path, help="page of Markdown (default: headline.md in the folder)")
    options = parser.parse_args()
    if options.exact < 3 or options.exact % 2 == 0:
        parser.error(f"--exact {options.exact}: pass an odd number of at least 3")
    return options


def main() -> None:
    """Measure, and write the section."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = parse()
    bench = Bench(options)
    cases = [
        Case(model, n_axis, bench.n_images(limit), Tolerances.of(text))
        for model, n_axis, limit, text in itertools.product(
            options.networks, options.sizes, options.limits, options.tolerances
        )
    ]
    page = options.page or bench.folder / "headline.md"
    replace_section(page, "Work and errors", [*lines_of(bench, cases, options)])
    print(page)


if __name__ == "__main__":
    main()
