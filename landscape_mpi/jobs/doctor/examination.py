"""Examine a machine by its ranks: check everything, print it, and explain every problem."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import h5py
from mpi4py import MPI

from landscape_mpi.cluster.communicator import ROOT, Ranks, SharedInputError, describe_world
from landscape_mpi.cluster.launcher import SIZES, find_fault, sizes_told
from landscape_mpi.engine.provenance import now
from landscape_mpi.errors import EXIT_BAD_INPUT
from landscape_mpi.jobs.doctor.findings import Library, find_notes, find_wrong
from landscape_mpi.jobs.doctor.folder_facts import FolderFacts, find_folder_facts
from landscape_mpi.jobs.doctor.rank_facts import RankFacts, find_rank_facts
from landscape_mpi.store.writer import has_parallel_hdf5

TITLE_WIDTH = 12


def examine(ranks: Ranks, *, device: str, folder: Path) -> int:
    """Check everything and print it on rank 0. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        device: Value of --device.
        folder: Folder for the output files of a run.

    Returns:
        Exit status: 0, or 2 if something is wrong.
    """
    n_joined, library = describe_world()
    wrong = [find_fault(os.environ, n_ranks=n_joined, library=library)]
    facts, no_device = find_rank_facts(ranks, device)
    told = ranks.comm.gather(facts, root=ROOT)
    if told is not None:
        _print(_describe_machine(told))
    place, no_folder = None, None
    try:
        place = find_folder_facts(ranks, folder)
    except SharedInputError as error:
        no_folder = str(error)
    wrong += [no_device, no_folder]
    status = _conclude(told, place, [words for words in wrong if words]) if told else 0
    return ranks.comm.bcast(status, root=ROOT)


def _conclude(told: Sequence[RankFacts], place: FolderFacts | None, wrong: list[str]) -> int:
    """Print the folder and the problems. Local; on rank 0."""
    library = Library(MPI.Query_thread() == MPI.THREAD_MULTIPLE, has_parallel_hdf5())
    if place is not None:
        _print([("folder", _describe_folder(place))])
    wrong += find_wrong(told, place)
    if not wrong:
        _print([("a run here", _describe_run(told))])
    _print([("note", words) for words in find_notes(told, place, library)])
    _print([("wrong", words) for words in wrong] or [("verdict", "nothing is wrong")])
    return EXIT_BAD_INPUT if wrong else 0


def _print(lines: Iterable[tuple[str, str]]) -> None:
    for title, words in lines:
        print(f"{title:{TITLE_WIDTH}}{words}", flush=True)


def _describe_machine(told: Sequence[RankFacts]) -> list[tuple[str, str]]:
    lines = [
        ("date", now()),
        ("versions", told[0].versions),
        ("MPI", _describe_mpi(told)),
        ("HDF5", f"{h5py.version.hdf5_version}: {'parallel' if has_parallel_hdf5() else 'serial'}"),
    ]
    n_ranks = Counter(facts.host for facts in told)
    lines += [
        (f"node {facts.host}", f"{_ranks_in_words(n_ranks[facts.host])}, {_describe_node(facts)}")
        for facts in {facts.host: facts for facts in told}.values()
    ]
    return lines + _describe_ranks(told)


def _describe_mpi(told: Sequence[RankFacts]) -> str:
    n_joined, library = describe_world()
    sizes = sizes_told(os.environ).items()
    started = ", ".join(f"{SIZES[name]} started {n}" for name, n in sizes) or "no launcher"
    n_nodes = len({facts.host for facts in told})
    level = "any thread" if MPI.Query_thread() == MPI.THREAD_MULTIPLE else "one thread"
    on_nodes = f"{_ranks_in_words(n_joined)} on {n_nodes} node{'s' * (n_nodes > 1)}"
    return f"{library}: {on_nodes}; {started}; {level} may call it"


def _describe_node(facts: RankFacts) -> str:
    shared = "no /dev/shm"
    if facts.shared_memory is not None:
        shared = f"/dev/shm of {_whole_and_free(facts.shared_memory)}"
    return f"{os.cpu_count()} cores, memory of {_whole_and_free(facts.memory)}, {shared}"


def _whole_and_free(sizes: tuple[int, int]) -> str:
    whole, free = (size / 2**30 for size in sizes)
    return f"{whole:.1f} GiB ({free:.1f} free)"


def _describe_ranks(told: Sequence[RankFacts]) -> list[tuple[str, str]]:
    """Return a line for each rank, and a single one for neighbours with the same facts."""
    words = [
        f"{facts.host}: {facts.device}{facts.driver}; may run on "
        f"{facts.n_cores} core{'s' * (facts.n_cores > 1)}, threads of a run: {facts.n_threads}"
        for facts in told
    ]
    lines = []
    for text, group in groupby(enumerate(words), key=lambda pair: pair[1]):
        numbers = [rank for rank, _ in group]
        many = f"ranks {numbers[0]}-{numbers[-1]}"
        lines.append((many if len(numbers) > 1 else f"rank {numbers[0]}", text))
    return lines


def _describe_folder(place: FolderFacts) -> str:
    locks = "locks work" if place.has_locks else "no locks"
    took = "not measured"
    if place.round_seconds is not None:
        took = f"takes {place.round_seconds:.3f} s to gather and write"
    if place.parallel_seconds is not None:
        took += f", {place.parallel_seconds:.3f} s with parallel HDF5"
    return (
        f"{place.path}: {place.file_system}, {place.free_bytes / 2**30:.1f} GiB free, {locks}; a "
        f"round of 10 points per rank: {took}"
    )


def _describe_run(told: Sequence[RankFacts]) -> str:
    devices = Counter(facts.device for facts in told)
    counted = ", ".join(f"{n} x {name}" for name, n in devices.items())
    return f"{_ranks_in_words(len(told))} on {counted}"


def _ranks_in_words(n: int) -> str:
    return f"{n} rank{'s' * (n > 1)}"
