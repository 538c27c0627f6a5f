"""Compare many random networks with a plain loop: make random-networks.

    PYTHONPATH=tests python -m campaigns.count [--networks 500] [--rescaled 100] [--seed 1]

Every network is computed by the command, on 1 or 2 threads in turn, every tenth also on 2 ranks;
some are rescaled, channel by channel, which must leave their surface as it is. Ends with 1 if a
number is wrong, or if a command failed or refused what torch computes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hypothesis
from cases.case import Run
from cases.random_draws import networks, planes, rescalable, settings
from cases.random_networks import VARIABLE, Description, random_network
from conftest import command_on_ranks, environment_of_ranks
from one_process import Ended, run_alone
from rank_pool import N_RANKS, RankPool

from campaigns.comparison import Compared, compare, compare_rescaled

TESTS = Path(__file__).parent.parent
LINE = ("--x=-1:0.7:2", "--y=0.3:0.9:2", "--batch=16")
N_SHOWN = 1500  # characters of what a command said


class Count:
    """Counts what came of networks, and tells at once what was not right."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Counter[str]] = {}

    def add(self, where: str, given: Description, options: Sequence[str], came: Compared) -> None:
        """Count a network, computed somewhere."""
        self.outcomes.setdefault(where, Counter())[came.outcome] += 1
        if not came.is_good:
            print(f"{came.outcome.upper()} on {where}: {came.words[-N_SHOWN:].strip()}")
            words = shlex.join(random_network(given, options).words(Path("x.h5")))
            print(
                f"  {VARIABLE}='{json.dumps(given)}' PYTHONPATH=tests python -m {words}", flush=True
            )

    @property
    def is_good(self) -> bool:
        """Return whether everything was right."""
        return all(set(counter) == {"right"} for counter in self.outcomes.values())

    def lines(self) -> list[str]:
        """Return the counts as a table in Markdown."""
        kinds = ("right", "wrong", "refused", "failed")
        lines = [f"| computed on | {' | '.join(kinds)} |", "|---" * 5 + "|"]
        for where, counter in self.outcomes.items():
            lines.append(f"| {where} | {' | '.join(str(counter[kind]) for kind in kinds)} |")
        return lines


def main() -> int:
    options = parse()
    warnings.simplefilter("ignore")  # torch's, of the ways of old that some networks take
    count = Count()
    with tempfile.TemporaryDirectory(prefix="networks.") as made, two_ranks() as on_two:
        out = Path(made, "surface.h5")
        if options.networks:
            compare_networks(options.networks, options.seed, out, on_two, count)
        if options.rescaled:
            compare_directions(options.rescaled, options.seed, out, count)
    print("\n".join(count.lines()))
    return 0 if count.is_good else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", type=int, default=500, help="networks (default: 500)")
    parser.add_argument("--rescaled", type=int, default=100, help="rescaled ones (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: 1)")
    return parser.parse_args()


def compare_networks(n: int, seed: int, out: Path, on_two: Run, count: Count) -> None:
    """Compare networks with the plain loop."""
    numbers = itertools.count()

    @hypothesis.seed(seed)
    @settings(n)
    @hypothesis.given(networks(), planes())
    def one(given: Description, options: list[str]) -> None:
        number = next(numbers)
        threads = 1 + number % 2
        came = compare(given, options, out, on_threads(threads))
        count.add(f"{threads} thread{'s' * (threads > 1)}", given, options, came)
        if number % 10 == 0:
            count.add("2 ranks", given, options, compare(given, options, out, on_two))

    one()


def compare_directions(n: int, seed: int, out: Path, count: Count) -> None:
    """Compare surfaces of networks before and after their channels are rescaled."""

    @hypothesis.seed(seed)
    @settings(n)
    @hypothesis.given(rescalable())
    def one(given: Description) -> None:
        count.add("2 threads, rescaled", given, LINE, compare_rescaled(given, LINE, out))

    one()


def on_threads(n: int) -> Run:
    """Return what runs a command in this process on n threads."""
    return lambda words: run_alone(words, threads=n)


@contextmanager
def two_ranks() -> Iterator[Callable[[Sequence[str]], Ended]]:
    """Give a function that runs a command on two ranks, which stay up meanwhile."""
    pool = RankPool(command_on_ranks(N_RANKS, [sys.executable]), environment_of_ranks())

    def run(words: Sequence[str]) -> Ended:
        own = {VARIABLE: os.environ[VARIABLE]}
        told = pool.run(2, list(words), cwd=str(TESTS), environment=own, timeout=120)
        return Ended(told.status, f"{told.stdout}\n{told.stderr}")

    yield run
    pool.close()


if __name__ == "__main__":
    sys.exit(main())
