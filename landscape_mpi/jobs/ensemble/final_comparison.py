"""Finish an ensemble's run: evaluate it, and write and print the comparison."""

from __future__ import annotations

from collections.abc import Mapping

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine.processes import Processes
from landscape_mpi.jobs.ensemble import comparison
from landscape_mpi.jobs.ensemble.ensemble_messages import say_comparison
from landscape_mpi.jobs.ensemble.folder import COMPARISON, SWA
from landscape_mpi.jobs.ensemble.inputs import Solutions, read_solution
from landscape_mpi.jobs.ensemble.problem_comparison import (
    ProblemEvaluator,
    average_of,
    value_tables,
)
from landscape_mpi.jobs.ensemble.run import Cycling, State
from landscape_mpi.jobs.ensemble.tasks import Task, evaluate_tasks, tasks_of
from landscape_mpi.jobs.training.inputs import Inputs, ProblemInputs, TrainingInputs
from landscape_mpi.store.ensemble import Table
from landscape_mpi.zoo.checkpoint import write_state


def compare_all(
    cycling: Cycling,
    solutions: Solutions | None,
    inputs: TrainingInputs,
    device: Device,
    processes: Processes,
) -> None:
    """Evaluate all networks on all ranks; write and print the results. Collective."""
    tasks = processes.on_root(lambda: make_tasks(cycling, solutions))
    if isinstance(inputs, ProblemInputs):
        compare_by_problem(cycling, solutions, inputs, tasks, device, processes)
    else:
        compare_by_error(cycling, solutions, inputs, tasks, device, processes)


def compare_by_problem(
    cycling: Cycling,
    solutions: Solutions | None,
    inputs: ProblemInputs,
    tasks: list[Task] | None,
    device: Device,
    processes: Processes,
) -> None:
    """Compare by the loss and the metrics of a problem. Collective over the processes."""
    training, network = inputs.training, cycling.network
    found = evaluate_tasks(tasks, lambda: ProblemEvaluator(training, network, device), processes)

    def finish() -> None:
        assert found is not None
        assert solutions is not None
        tables = value_tables(
            found,
            solutions,
            epochs_of(cycling, solutions),
            time=comparison.time_of(cycling.collected, cycling.trainer.n_batches),
            metrics=inputs.metrics,
        )
        write_all(cycling, average_of(found, solutions), tables)

    processes.on_root(finish)


def compare_by_error(
    cycling: Cycling,
    solutions: Solutions | None,
    inputs: Inputs,
    tasks: list[Task] | None,
    device: Device,
    processes: Processes,
) -> None:
    """Compare by error and cross-entropy, including averaged outputs. Collective."""
    data, network = inputs.data, cycling.network
    outcomes = evaluate_tasks(
        tasks, lambda: comparison.TaskEvaluator(network, data, device), processes
    )

    def finish() -> None:
        assert outcomes is not None
        assert solutions is not None
        found = comparison.compare(outcomes, solutions, data.counted("test"))
        tables = comparison.tables_of(found, cycling.collected, cycling.trainer.n_batches)
        epochs = epochs_of(cycling, solutions)
        table = comparison.comparison_table(found, solutions, epochs)
        write_all(cycling, found.swa_state, tables | {"comparison": table})

    processes.on_root(finish)


def make_tasks(cycling: Cycling, solutions: Solutions | None) -> list[Task]:
    """Read the members, and return the networks to evaluate. Local; call it on rank 0."""
    assert solutions is not None
    return tasks_of(read_members(cycling), solutions)


def read_members(cycling: Cycling) -> list[State]:
    """Return the members in the folder."""
    assert cycling.folder is not None
    numbers = range(1, len(cycling.collected) + 1)
    files = [cycling.folder.member(number) for number in numbers]
    return [read_solution(file, cycling.network).state for file in files]


def epochs_of(cycling: Cycling, solutions: Solutions) -> float:
    """Return the epochs of the start and of all cycles; NaN if unknown."""
    return solutions.start.epochs + cycling.n_epochs


def write_all(cycling: Cycling, average: State, tables: Mapping[str, Table]) -> None:
    """Write average, comparison and ensemble file. Local; call it on rank 0.

    Args:
        cycling: The run.
        average: Average of the members' weights.
        tables: Members, independent networks and comparison.
    """
    folder, table = cycling.folder, tables["comparison"]
    assert folder is not None
    notes = {
        "members": len(cycling.collected),
        "epoch": cycling.total_epochs(cycling.collected[-1]),
    }
    write_state(folder.path / SWA, average, cycling.record | notes)
    comparison.write_csv(folder.path / COMPARISON, table)
    cycling.write_file(tables)
    say_comparison(table, folder.path, cycling.metrics)
