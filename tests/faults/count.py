"""Try faults and count what came of them: make faults.

    python tests/faults/count.py [--times 50] [--seed 1]

Each fault is drawn, happens to a small run on 1 to 3 ranks at a moment that is drawn as well,
and is followed by a run of the same command. What comes of it is compared, bit for bit, with
the file of a run that nothing happened to. Ends with 1 if a round was lost, a message was not
clear or a bit differs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import sys
import tempfile
from pathlib import Path

from command_runs import SURFACES, Disturbed, Ended, Surface, command, run_and_wait, write_network
from kinds import KINDS, Case, ImpossibleError, Result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=50, help="faults (default: 50)")
    parser.add_argument("--seed", type=int, default=1, help="of all that is drawn (default: 1)")
    options = parser.parse_args()
    print(f"{options.times} faults, seed {options.seed}", flush=True)
    draw = random.Random(options.seed)
    # Each kind about as often as any other, and each surface too, in an order that is drawn.
    both = zip(itertools.cycle(SURFACES), itertools.cycle(KINDS), strict=False)
    drawn = list(itertools.islice(both, options.times))
    draw.shuffle(drawn)
    results: dict[str, list[Result]] = {name: [] for name in KINDS}
    with tempfile.TemporaryDirectory(prefix="faults.") as made:
        prepared = functools.cache(functools.partial(prepare, Path(made)))
        for number, (surface, name) in enumerate(drawn, 1):
            folder = Path(made) / f"{number}"
            folder.mkdir()
            write_network(folder)
            case = Case(folder, SURFACES[surface], draw, *prepared(surface), run_and_wait)
            try:
                result = KINDS[name](case)
            except ImpossibleError as reason:
                print(f"{number}. {name}, {surface}: skipped, {reason}", flush=True)
                continue
            results[name].append(result)
            print(f"{number}. {name}, {surface}: {describe(result)}", flush=True)
            if not is_good(result):
                print(result.words, flush=True)
    print("\n".join(table(results)))
    return 0 if all(is_good(result) for each in results.values() for result in each) else 1


def prepare(folder: Path, name: str) -> tuple[Path, Path]:
    """Return the file of an undisturbed run, and that of one which was stopped."""
    write_network(folder)
    reference, begun = folder / f"reference {name}.h5", folder / f"begun {name}.h5"
    ended = run_and_wait(1, reference, *SURFACES[name].options, cwd=folder)
    if ended.status != 0:
        raise RuntimeError(ended.words)
    stop_after_rounds(begun, folder, SURFACES[name])
    return reference, begun


def stop_after_rounds(out: Path, folder: Path, surface: Surface) -> Ended:
    words = command(2, out, *surface.options)
    with Disturbed(words, out, cwd=folder, lag=surface.lag) as job:
        job.wait_for_rounds(2)
    return Ended(0, job.words)


def is_good(result: Result) -> bool:
    return result.said and result.same and not result.n_rounds_lost


def describe(result: Result) -> str:
    said = "clear message" if result.said else "NO CLEAR MESSAGE"
    came = "refused, computed again with --fresh" if result.refused else "resumed"
    same = "the same bits" if result.same else "OTHER BITS"
    return f"{result.what}; {said}; {result.n_rounds_lost} rounds lost; {came}, {same}"


def table(results: dict[str, list[Result]]) -> list[str]:
    """Return the counts as a table in Markdown."""
    lines = [
        "| fault | tried | finished rounds lost | clear message | resumed, the same bits | "
        "refused, the same bits with `--fresh` |",
        "|---|---|---|---|---|---|",
    ]
    for name, each in results.items():
        refused = [result for result in each if result.refused]
        resumed = [result for result in each if not result.refused]
        cells = [
            name,
            len(each),
            sum(result.n_rounds_lost for result in each),
            sum(result.said for result in each),
            f"{sum(result.same for result in resumed)} of {len(resumed)}" if resumed else "-",
            f"{sum(result.same for result in refused)} of {len(refused)}" if refused else "-",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
