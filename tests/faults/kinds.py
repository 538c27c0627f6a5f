"""The faults, one function each: something happens to a run or its file, and what follows.

Each function takes a Case and returns what came of it. A fault that is not possible here
raises Impossible.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
from command_runs import (
    LIMIT_S,
    ROOT,
    Disturbed,
    Ended,
    RunAndWait,
    Surface,
    begun_copy,
    command,
    environment,
    is_same,
    points_reported,
    rounds_lost,
)
from two_hosts import two_hosts

FEW_ROUNDS = 3  # after which a run is far from its end


class ImpossibleError(Exception):
    """This machine or user cannot bring the fault about."""


@dataclass(frozen=True)
class Case:
    """The place of a fault, and the run that it happens to."""

    folder: Path  # empty but for the network
    surface: Surface  # of all runs
    draw: random.Random
    reference: Path  # the file of a run that nothing happened to
    begun: Path  # the file of a run that was stopped after some rounds
    run: RunAndWait

    @property
    def out(self) -> Path:
        return self.folder / "surface.h5"

    def run_here(self, *options: str, out: Path | None = None) -> Ended:
        n_ranks, words = self.draw.choice((1, 2, 3)), (*self.surface.options, *options)
        return self.run(n_ranks, out or self.out, *words, cwd=self.folder)

    def disturb(
        self, n_ranks: int, *options: str, out: Path | None = None, slower: float = 1.0
    ) -> Disturbed:
        """Start a run that writes in one of both ways; a later run chooses its own."""
        out, options = out or self.out, (*self.surface.options, self.way_of_writing(), *options)
        words, lag = command(n_ranks, out, *options), slower * self.surface.lag
        return Disturbed(words, out, cwd=self.folder, lag=lag)

    def way_of_writing(self) -> str:
        ways = ("gather", "parallel") if h5py.get_config().mpi else ("gather",)
        return f"--write={self.draw.choice(ways)}"


@dataclass(frozen=True)
class Result:
    """The result of a fault."""

    what: str  # the fault in words
    said: bool  # whether the program, or the launcher of a killed rank, said what happened
    same: bool  # whether the file that came of it has the bits of the undisturbed run
    n_rounds_lost: int = 0
    refused: bool = False  # a damaged file: it was left as it was, and --fresh replaced it
    words: str = ""  # all that was said


def resume(case: Case, what: str, ended: Ended, *, said: bool, out: Path | None = None) -> Result:
    """Go on after a fault."""
    lost = rounds_lost(ended.words, out or case.out)
    resumed = case.run_here(out=out)
    same = resumed.status == 0 and is_same(out or case.out, case.reference)
    return Result(what, said, same, lost, words=ended.words + resumed.words)


def kill_a_rank(case: Case) -> Result:
    n_ranks = case.draw.choice((2, 3))
    with case.disturb(n_ranks) as job:
        if case.draw.random() < 0.3:  # while it starts
            job.wait_until(lambda: len(job.ranks()) == n_ranks)
            end = time.monotonic() + case.draw.uniform(0, 4)
            job.wait_until(
                lambda: time.monotonic() > end or len(points_reported(job.words)) >= FEW_ROUNDS
            )
        else:
            job.wait_for_rounds(case.draw.choice(range(1, FEW_ROUNDS + 1)))
            time.sleep(case.draw.uniform(0, 0.4))
        rank = case.draw.randrange(n_ranks)
        os.kill(job.ranks()[rank], signal.SIGKILL)
        ended = job.ended()
    n_rounds = len(points_reported(ended.words))
    said = ended.status != 0 and "exited on signal 9 (Killed)" in ended.words
    return resume(case, f"rank {rank} of {n_ranks} after {n_rounds} rounds", ended, said=said)


def stop_a_rank(case: Case) -> Result:
    n_ranks = case.draw.choice((2, 3))
    with case.disturb(n_ranks, "--stall-seconds=3") as job:
        job.wait_for_rounds(case.draw.choice((1, 2)))
        time.sleep(case.draw.uniform(0, 0.4))
        ranks = job.ranks()
        rank = case.draw.choice(sorted(ranks))
        os.kill(ranks[rank], signal.SIGSTOP)
        ended = job.ended()
    said = ended.status == 75 and f"stalled: rank {rank} on " in ended.words
    return resume(case, f"rank {rank} of {n_ranks}", ended, said=said)


JOB = """
set -e
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
job_name=job job_id=1
launcher=({launcher})
start_ranks() {{
    exec "${{launcher[@]}}" env "${{notes[@]}}" launch/run_rank.sh "$status_file" "$@"
}}
submit_again() {{ say "would be submitted again"; rm -f "$stall_file"; }}
explain_killed() {{ :; }}
is_running() {{ true; }}
. launch/run_ranks.sh
run_ranks {command}
"""


def lose_a_link(case: Case) -> Result:
    """Two hosts can no longer reach each other: ranks stall, and Open MPI's mpirun never ends."""
    (case.folder / "launch").symlink_to(ROOT / "launch")
    options = (*case.surface.options, case.way_of_writing(), "--stall-seconds=3")
    own = environment(case.surface.lag)
    words = ["env", *(f"{name}={own[name]}" for name in ("PYTHONPATH", "LAG", "OMP_NUM_THREADS"))]
    words += command(2, case.out, *options)[2:]
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_hosts(case.folder))
        except OSError as problem:
            needed = "root, network namespaces and Open MPI 4"
            raise ImpossibleError(f"two hosts take {needed}: {problem}") from None
        script = JOB.format(launcher=shlex.join(hosts.launcher()), command=shlex.join(words))
        (case.folder / "job.sh").write_text(script)
        job = stack.enter_context(
            Disturbed(["bash", "job.sh"], case.out, cwd=case.folder, lag=case.surface.lag)
        )
        job.wait_for_rounds(case.draw.choice((1, 2)))
        hosts.cut()
        ended = job.ended()
    n_rounds = len(points_reported(ended.words))
    said = ended.status == 75 and "stalled: rank " in ended.words
    said = said and "the launcher still waits for others 20 s later: ending it" in ended.words
    return resume(case, f"after {n_rounds} rounds", ended, said=said)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a file system of its own of so many bytes."""
    disk = folder / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        raise ImpossibleError("a small disk takes root and a mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    with contextlib.suppress(OSError), (disk / "other").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def full_disk(case: Case) -> Result:
    return case.draw.choice((full_disk_at_the_start, full_disk_in_a_run))(case)


def full_disk_at_the_start(case: Case) -> Result:
    n_kib = case.draw.choice((0, 4, 16, 64, 128, 200))
    with small_disk(case.folder, "1m") as disk:
        fill(disk)
        os.truncate(disk / "other", (disk / "other").stat().st_size - 1024 * n_kib)
        out = disk / "surface.h5"
        refused = case.run_here(out=out)
        left = [path.name for path in disk.iterdir() if path.suffix in {".h5", ".partial"}]
        (disk / "other").unlink()
        said = refused.status == 2 and "cannot be written (" in refused.words and not left
        return resume(case, f"{n_kib} KiB left at the start", refused, said=said, out=out)


def full_disk_in_a_run(case: Case) -> Result:
    """A file has its full size from the start: rounds need no room, nor does a resumed run."""
    with small_disk(case.folder, "1m") as disk:
        out = disk / "surface.h5"
        with case.disturb(2, out=out) as job:
            job.wait_for_rounds(1)
            fill(disk)
            n_rounds = len(points_reported(job.words))
            job.wait_for_rounds(n_rounds + 1)
            os.kill(job.ranks()[1], signal.SIGKILL)
            ended = job.ended()
        said = "exited on signal 9 (Killed)" in ended.words
        return resume(case, f"full from round {n_rounds}", ended, said=said, out=out)


def truncate(case: Case) -> Result:
    out = begun_copy(case.begun, case.folder)
    n_bytes = case.draw.randrange(out.stat().st_size)
    if (
        case.draw.random() < 0.5
    ):  # at least in a part with content: most of a small file is its table of runs
        n_bytes %= 20_000
    os.truncate(out, n_bytes)
    return refuse_or_resume(case, f"{n_bytes} of {case.begun.stat().st_size} bytes left")


def corrupt(case: Case) -> Result:
    out = begun_copy(case.begun, case.folder)
    data = bytearray(out.read_bytes())
    with h5py.File(out) as file:
        runs = file["provenance/runs"].id
        table = range(runs.get_offset(), runs.get_offset() + runs.get_storage_size())
    place = case.draw.randrange(len(data))
    while place in table and case.draw.random() < 0.95:
        place = case.draw.randrange(len(data))
    n_bytes = case.draw.choice((1, 1, 1, 8, 512))
    for i in range(place, min(place + n_bytes, len(data))):
        data[i] ^= case.draw.randrange(1, 256)
    out.write_bytes(data)
    return refuse_or_resume(case, f"{n_bytes} bytes from {place} on")


def refuse_or_resume(case: Case, what: str) -> Result:
    """Run on a damaged file: it is refused with words, or what was damaged does not matter."""
    before = case.out.read_bytes()
    first = case.run_here()
    if first.status == 0:
        return Result(what, True, is_same(case.out, case.reference), words=first.words)
    words = ("is damaged: ", "lacks the mark", "without the mark", "not a readable HDF5 file")
    said = first.status == 2 and any(each in first.words for each in words)
    untouched = case.out.read_bytes() == before
    fresh = case.run_here("--fresh")
    if "--fresh does not replace it" in fresh.words:  # it may be anything by now
        untouched = untouched and case.out.read_bytes() == before
        case.out.unlink()
        fresh = case.run_here()
    same = fresh.status == 0 and untouched and is_same(case.out, case.reference)
    return Result(what, said, same, refused=True, words=first.words + fresh.words)


@contextlib.contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Take away the permission to write to a file or folder, from root as well."""
    if os.geteuid() == 0 and shutil.which("chattr"):
        done = subprocess.run(["chattr", "+i", str(path)], capture_output=True, check=False)
        if done.returncode:
            raise ImpossibleError("the file system has no chattr +i, and root may write everywhere")
        restore = ["chattr", "-i", str(path)]
    else:
        restore = ["chmod", "u+w", str(path)]
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        yield
    finally:
        subprocess.run(restore, check=True)


def take_permission(case: Case) -> Result:
    kinds = [unwritable_file, unwritable_folder]
    if os.geteuid() == 0:  # for others, a file that is open stays so
        kinds.append(unwritable_in_a_run)
    return case.draw.choice(kinds)(case)


def unwritable_file(case: Case) -> Result:
    with unwritable(begun_copy(case.begun, case.folder)):
        refused = case.run_here()
    said = refused.status == 2 and f"may not write to {case.out}" in refused.words
    return resume(case, "the file, before a run", refused, said=said)


def unwritable_folder(case: Case) -> Result:
    place = case.folder / "place"
    place.mkdir()
    out = begun_copy(case.begun, place)
    with unwritable(place):
        refused = case.run_here(out=out)
    said = refused.status == 2 and f"may not write to {place}" in refused.words
    return resume(case, "the folder, before a run", refused, said=said, out=out)


def unwritable_in_a_run(case: Case) -> Result:
    with case.disturb(case.draw.choice((2, 3))) as job:
        job.wait_for_rounds(case.draw.choice((1, 2)))
        with unwritable(case.out):
            ended = job.ended()
    words = f"error: {case.out}: cannot be written ("
    said = ended.status == 1 and words in ended.words and "Traceback" not in ended.words
    return resume(case, "the file, in a run", ended, said=said)


def two_jobs(case: Case) -> Result:
    with case.disturb(2, slower=3) as job:
        job.wait_for_rounds(1)
        options = case.draw.choice(((), ("--fresh",)))
        second = case.run_here(*options)
        for pid in job.ranks().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended = job.ended()
    said = second.status == 2 and "another run is writing it (process" in second.words
    return resume(case, f"the second {' '.join(options)}".strip(), ended, said=said)


def hang_at_start(case: Case) -> Result:
    """The network is not built: rank 0 waits for something in code of the user's."""
    n_ranks = case.draw.choice((1, 2, 3))
    place = case.folder / "hang"
    place.touch()
    begun_copy(case.begun, case.folder)
    with case.disturb(n_ranks, "--stall-seconds=1") as job:
        ended = job.ended()
    place.unlink()
    words = "stalled: rank 0 on "
    said = ended.status == 75 and words in ended.words and "slow_network.py:" in ended.words
    return resume(case, f"rank 0 of {n_ranks}", ended, said=said)


def full_shared_memory(case: Case) -> Result:
    """As a container that was given too little /dev/shm, or that others have filled."""
    n_kib = case.draw.choice((4, 8, 12))  # 16 KiB suffice for the smallest of the surfaces
    own = "mount -t tmpfs -o size=1m tmpfs /dev/shm && "
    own += f'head -c {(1024 - n_kib) << 10} /dev/zero > /dev/shm/other && exec "$@"'
    start = ["unshare", "--mount", "bash", "-c", own, "bash"]
    start += command(2, case.out, *case.surface.options)
    network = {"OMPI_MCA_btl": "tcp,self", "OMPI_MCA_pml": "ob1"}  # these need no such memory
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        raise ImpossibleError("a /dev/shm of its own takes root and a mount")
    done = subprocess.run(
        start,
        cwd=case.folder,
        env=environment(0) | network,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    refused = Ended(done.returncode, done.stdout)
    said = (
        refused.status == 2
        and " in /dev/shm, where the ranks of a node share them, but only " in done.stdout
    )
    return resume(case, f"{n_kib} KiB left", refused, said=said and not case.out.exists())


def damaged_point(case: Case) -> Result:
    out = begun_copy(case.begun, case.folder)
    with h5py.File(out) as file:
        points = file["done"][...].ravel().nonzero()[0]
        point = int(case.draw.choice(list(points)))
        place = file["train_loss"].id.get_offset() + 8 * point + case.draw.randrange(8)
    data = bytearray(out.read_bytes())
    data[place] ^= case.draw.randrange(1, 256)
    out.write_bytes(data)
    refused = case.run_here()
    said = refused.status == 2 and "1 of its " in refused.words and "--repair" in refused.words
    repaired = case.run_here("--repair")
    said = said and "1 point is not as written, so this run recomputes" in repaired.words
    same = repaired.status == 0 and is_same(out, case.reference)
    return Result(f"point {point}", said, same, words=refused.words + repaired.words)


def wrong_pmi(case: Case) -> Result:
    """Each task of srun is rank 0 of 1, since the library does not know the launcher's PMI."""
    n_tasks = case.draw.choice((2, 3))
    begun_copy(case.begun, case.folder)
    before = case.out.read_bytes()
    own = environment(0) | {"SLURM_STEP_NUM_TASKS": str(n_tasks), "SLURM_NTASKS": str(n_tasks)}
    tasks = [
        subprocess.Popen(
            [sys.executable, *command(1, case.out, *case.surface.options)[3:]],
            cwd=case.folder,
            env=own | {"SLURM_PROCID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(n_tasks)
    ]
    words = "".join(task.communicate(timeout=LIMIT_S)[0] for task in tasks)
    said = words.count(f"error: MPI: srun started {n_tasks} processes, but MPI (") == 1
    said = said and all(task.returncode == 2 for task in tasks) and case.out.read_bytes() == before
    return resume(case, f"{n_tasks} tasks", Ended(2, words), said=said)


KINDS: dict[str, Callable[[Case], Result]] = {
    "SIGKILL of a rank": kill_a_rank,
    "SIGSTOP of a rank": stop_a_rank,
    "lost link": lose_a_link,
    "full disk": full_disk,
    "truncated file": truncate,
    "corrupted bytes": corrupt,
    "no permission to write": take_permission,
    "two jobs on one file": two_jobs,
    "hang at the start": hang_at_start,
    "full /dev/shm": full_shared_memory,
    "damaged point, --repair": damaged_point,
    "wrong PMI": wrong_pmi,
}
