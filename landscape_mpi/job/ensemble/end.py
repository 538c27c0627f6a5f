"""The end of an ensemble's run: what it is worth is found out, written and told."""

from __future__ import annotations

import torch

from landscape_mpi.job.crew import Crew
from landscape_mpi.job.ensemble import comparison
from landscape_mpi.job.ensemble.folder import COMPARISON, SWA
from landscape_mpi.job.ensemble.inputs import Solutions, read_solution
from landscape_mpi.job.ensemble.messages import say_comparison
from landscape_mpi.job.ensemble.run import Cycling, State
from landscape_mpi.zoo.checkpoint import write_state
from landscape_mpi.zoo.dataset import DataSet


def compare_all(
    cycling: Cycling,
    solutions: Solutions | None,
    data: DataSet,
    device: torch.device,
    crew: Crew,
) -> None:
    """Evaluate all networks on all ranks, write and print what they give. Collective."""
    tasks = crew.on_root(lambda: make_tasks(cycling, solutions))
    outcomes = comparison.evaluate_tasks(tasks, cycling.network, data, device, crew)

    def finish() -> None:
        assert outcomes is not None
        assert solutions is not None
        found = comparison.compare(outcomes, solutions, data.splits["test"].targets)
        write_all(cycling, found, solutions)

    crew.on_root(finish)


def make_tasks(cycling: Cycling, solutions: Solutions | None) -> list[comparison.Task]:
    """Read the members and return what is to be evaluated. Local; call it on rank 0."""
    assert solutions is not None
    return comparison.tasks_of(read_members(cycling), solutions)


def read_members(cycling: Cycling) -> list[State]:
    """Return the members that the folder holds."""
    assert cycling.folder is not None
    numbers = range(1, len(cycling.collected) + 1)
    files = [cycling.folder.member(number) for number in numbers]
    return [read_solution(file, cycling.network, trust=False).state for file in files]


def write_all(cycling: Cycling, found: comparison.Comparison, solutions: Solutions) -> None:
    """Write average, comparison and ensemble file. Local; call it on rank 0."""
    folder = cycling.folder
    assert folder is not None
    epochs = solutions.start.epochs + cycling.n_epochs
    table = comparison.comparison_table(found, solutions, epochs)
    notes = {
        "members": len(cycling.collected),
        "epoch": cycling.total_epochs(cycling.collected[-1]),
    }
    write_state(folder.path / SWA, found.swa_state, cycling.record | notes)
    comparison.write_csv(folder.path / COMPARISON, table)
    tables = comparison.tables_of(found, cycling.collected, cycling.trainer.n_batches)
    cycling.write_file(tables | {"comparison": table})
    say_comparison(table, folder.path)
