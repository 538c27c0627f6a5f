"""The templates in a real SLURM of two nodes, edited as a user edits them.

Oracles: SLURM's own word on how a job ended (scontrol), and the file of one rank that was
started without SLURM and never disturbed, compared bit for bit. The table of runs in the
file tells how many points each run computed: a point computed twice would show in its sum.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from limits import LIMIT_S
from slurm_jobs import (
    ENDLESS,
    LAB,
    LAYOUT,
    LONG,
    ROOT,
    SMALL,
    TWO_TASKS_A_NODE,
    Job,
    assert_same,
    lay_out,
    of_one_rank,
    ranks_of,
    run,
    running_lab,
    runs_of,
    submit_template,
    write_weights,
)

TEMPLATES = sorted((ROOT / "slurm").glob("*.sbatch"))
EDITED = [*TEMPLATES, ROOT / "launch/environment.sh", ROOT / "slurm/pipeline.sh"]


# A network that is built in the second run of a job, and never in its first one.
HANGS = """
import os, time

import slow

def build():
    if "SLURM_RESTART_COUNT" not in os.environ:
        print("hangs now", flush=True)
        time.sleep(1000)
    return slow.build()
"""


# The text of the templates.


@pytest.mark.parametrize("path", EDITED, ids=lambda path: path.name)
def test_every_line_to_edit_says_what_belongs_there(path: Path) -> None:
    marked = [line for line in path.read_text().splitlines() if "EDIT" in line and "# " in line]
    told = [line for line in marked if re.search(r"# EDIT: \S+ .*\S$", line)]
    untold = [line for line in marked if line not in told]
    assert told
    # The one other line is the head's, which says how the marks are used.
    assert len(untold) == (path.suffix == ".sbatch"), untold


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_begins_with_what_it_does_needs_and_how_to_submit_it(path: Path) -> None:
    head = path.read_text().partition("#SBATCH")[0]
    for word in ("# Does ", "# Needs ", "# Submit ", f" sbatch slurm/{path.name}"):
        assert word in head, word


# The lab.


def test_the_lab_says_how_it_is_called() -> None:
    done = run(LAB, "sideways")
    assert done.returncode == 2
    assert "tests/slurm_lab.sh up FOLDER" in done.stderr


@pytest.mark.parametrize(
    ("expected", "outcome"), [("0", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_without_slurm_the_tests_say_so(
    expected: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(folder).glob("*"):
            (tmp_path / program.name).unlink(missing_ok=True)
            (tmp_path / program.name).symlink_to(program)
    (tmp_path / "sbatch").unlink(missing_ok=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LANDSCAPE_EXPECT_SLURM", expected)
    words = "no SLURM can be started here, for want of .*sbatch"
    with pytest.raises(outcome, match=words), running_lab():
        pass


def test_a_folder_holds_one_lab(lab: dict[str, str]) -> None:
    folder = Path(lab["SLURM_CONF"]).parent
    done = run(LAB, "up", folder)
    assert done.returncode == 1
    assert f"{folder} holds a lab already" in done.stderr


def test_a_folder_without_a_lab_cannot_be_taken_down(tmp_path: Path) -> None:
    done = run(LAB, "down", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} holds no lab" in done.stderr


# Jobs.


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights"))


Submit = Callable[..., Job]


@pytest.fixture(scope="module")
def submit(
    lab: dict[str, str], checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Submit:
    """Return a function that edits surface.sbatch in a checkout of its own and submits it."""

    def make(
        changes: dict[str, str],
        *,
        data_dir: str | None = "data",
        lag: float = 0,
        hangs: bool = False,
    ) -> Job:
        folder = lay_out(tmp_path_factory.mktemp("checkout"), data_dir=data_dir)
        if hangs:
            (folder / "hangs.py").write_text(HANGS)
        weights = {"--checkpoint": f"--checkpoint {checkpoint}", "--out": "--out surface.h5"}
        environment = lab | {"LAG": str(lag)}
        return submit_template(
            folder, "surface.sbatch", LAYOUT | weights | changes, lab=environment
        )

    return make


@pytest.fixture(scope="module")
def limited(submit: Submit) -> Job:
    """Submit a job of 48 s of points and a time limit of a minute.

    SLURM looks at its clock twice a minute: the signal comes 15 to 45 s after the start.
    """
    limits = {"--time": "#SBATCH --time=1", "--signal": "#SBATCH --signal=B:USR1@15"}
    plane = {"--x": "--x=-1:1:32", "--y": "--y=-1:1:15"}
    return submit(LONG | limits | plane, lag=0.2)


@pytest.fixture(scope="module")
def hanging(submit: Submit) -> Job:
    """Submit a job on one node, and stop one of its ranks for good."""
    options = {"# EDIT: other options": f"{LONG['# EDIT: other options']} --stall-seconds 3"}
    layout = TWO_TASKS_A_NODE | {"--nodes": "#SBATCH --nodes=1"}
    job = submit(LONG | options | layout, lag=0.2)
    job.wait_for_rounds(1)
    os.kill(ranks_of(job)[1], signal.SIGSTOP)
    return job


def test_the_jobs_that_take_longest_start_first(limited: Job, overdue: Job) -> None:
    limited.wait_for_rounds(1)
    overdue.wait_until(lambda: "began" in overdue.log())


def test_four_tasks_on_two_nodes_give_the_bits_of_one_rank(
    submit: Submit, checkpoint: Path, tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    plane = ("--model=resnet8", f"--checkpoint={checkpoint}", "--x=-1:1:5", "--y=-0.5:1:4")
    job = submit(SMALL | TWO_TASKS_A_NODE)
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "0")
    assert (told["NodeList"], told["NumTasks"]) == ("n[1-2]", "4")
    assert_same(job.folder / "surface.h5", reference)
    with h5py.File(job.folder / "surface.h5") as file:
        assert set(file["rank"][...].ravel()) == {0, 1, 2, 3}


def test_bad_input_fails_the_job_and_stays_out_of_the_queue(submit: Submit) -> None:
    job = submit(SMALL | {"--model": "--model resnet57"})
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "2:0", "0")
    assert job.log().count("error: --model: 'resnet57' is not known. Did you mean resnet56?") == 1
    assert not (job.folder / "surface.h5").exists()


def test_tasks_that_mpi_does_not_join_end_the_job_at_once(
    mpich: Path, lab: dict[str, str], tmp_path: Path
) -> None:
    """MPICH finds no PMI that it knows, and starts every task as rank 0 of 1."""
    folder = lay_out(tmp_path / "checkout")
    own = folder / "launch/environment.sh"
    own.write_text(own.read_text().replace(f". {sys.prefix}/", f". {mpich}/"))
    changes = LAYOUT | SMALL | TWO_TASKS_A_NODE | {"launcher=": "launcher=(srun --mpi=none)"}
    job = submit_template(folder, "surface.sbatch", changes, lab=lab)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "2:0", "0")
    words = "error: MPI: srun started 4 processes, but MPI (MPICH 5.0.2) joined only 1 of them"
    assert job.log().count(words) == 1, job.log()
    assert job.log().count("error: ") == 1, job.log()
    assert not (folder / "resnet56.h5").exists()


def test_a_variable_that_is_not_set_ends_the_job_with_its_remedy(submit: Submit) -> None:
    job = submit(SMALL, data_dir=None)
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("FAILED", "0")
    assert "DATA_DIR: write the folder of your data sets into launch/environment.sh" in job.log()


def test_a_cancelled_job_writes_and_stays_cancelled(submit: Submit) -> None:
    job = submit(ENDLESS, lag=0.2)
    job.wait_for_rounds(2)
    job.call("scancel")
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("CANCELLED", "0")
    words = "SLURM is ending this job, so it is not requeued from here"
    job.wait_until(lambda: words in job.log())  # its ranks end after SLURM calls it cancelled
    with h5py.File(job.folder / "surface.h5") as file:
        done = file["done"][...] == 1
        assert 0 < done.sum() < done.size
        assert np.isfinite(file["train_loss"][...][done]).all()
    assert [run["outcome"] for run in runs_of(job.folder / "surface.h5")] == [b"stopped by SIGTERM"]


def test_a_rank_that_dies_ends_the_job(submit: Submit) -> None:
    job = submit(ENDLESS, lag=0.2)
    job.wait_for_rounds(2)
    os.kill(ranks_of(job)[1], signal.SIGKILL)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "137:0", "0")
    with h5py.File(job.folder / "surface.h5") as file:
        assert 0 < (file["done"][...] == 1).sum() < file["done"].size


def test_a_rank_that_hangs_puts_the_job_back_without_its_node(
    hanging: Job, tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    plane = ("--model=slow:build", "--limit=64", "--batch=64", "--x=-1:1:13", "--y=-1:1:11")
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane)
    told = hanging.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    node = re.search(r"stalled: rank 1 on (n[12]) has not", hanging.log())[1]  # type: ignore[index]
    assert f"a rank hung on {node}: the next run excludes it" in hanging.log()
    assert {told["ExcNodeList"], told["NodeList"]} == {"n1", "n2"}
    assert told["ExcNodeList"] == node
    assert_same(hanging.folder / "surface.h5", reference)
    assert not list(hanging.folder.glob(".*.stalled"))


@pytest.fixture(scope="module")
def hanging_at_start(submit: Submit) -> Job:
    """Submit a job of one rank whose network is never built in its first run."""
    options = {"# EDIT: other options": f"{LONG['# EDIT: other options']} --stall-seconds 1"}
    weights = {"--model": "--model hangs:build", "--nodes": "#SBATCH --nodes=1"}
    job = submit(LONG | options | weights | {"--x": "--x=-1:1:5", "--y": "--y=-1:1:3"}, hangs=True)
    job.wait_until(lambda: "hangs now" in job.log())
    return job


def test_a_start_that_hangs_puts_the_job_back(hanging_at_start: Job) -> None:
    told = hanging_at_start.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    words = r"stalled: rank 0 on n1 has been at one step of its set-up for \d+ s, before the first "
    assert re.search(words + r"round, at \S+/hangs\.py:9 \(build\): ", hanging_at_start.log())


def test_a_job_requeued_in_mid_run_goes_on_and_completes(
    submit: Submit, tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    job = submit(LONG, lag=0.2)
    job.wait_for_rounds(2)
    job.call("scontrol", "requeue")
    plane = ("--model=slow:build", "--limit=64", "--batch=64", "--x=-1:1:13", "--y=-1:1:11")
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert_same(job.folder / "surface.h5", reference)
    runs = runs_of(job.folder / "surface.h5")
    assert runs["outcome"].tolist() == [b"stopped by SIGTERM", b"complete"]
    assert runs["points"].sum() == 13 * 11  # none twice


# The ranks of a step, with commands for which a template would be too slow.


@pytest.fixture(scope="module")
def submit_ranks(lab: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Submit:
    """Return a function that submits a job in which run_ranks.sh runs a line of bash."""

    def make(line: str, *options: str, launcher: str = "srun --mpi=none", mpirun: str = "") -> Job:
        folder = tmp_path_factory.mktemp("ranks")
        for name in ("slurm", "launch"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "tmp").mkdir()
        if mpirun:
            (folder / "mpirun").write_text(mpirun)
            (folder / "mpirun").chmod(0o755)
            launcher = "./mpirun"
        (folder / "job").write_text(
            f"#!/usr/bin/env bash\nset -eo pipefail\nexport TMPDIR={folder}/tmp\n"
            f"launcher=({launcher})\n. slurm/run_ranks.sh\nrun_ranks bash -c '{line}'\n"
        )
        words = ["sbatch", "--parsable", "--nodes=2", "--requeue", "--open-mode=append"]
        names = ["--job-name=surface", "--output=%x-%j.log", *options]
        done = run(*words, *names, "job", cwd=folder, env=lab)
        assert done.returncode == 0, done.stderr
        return Job(done.stdout.strip(), folder, lab)

    return make


@pytest.fixture(scope="module")
def overdue(submit_ranks: Submit) -> Job:
    """Submit a job that writes only when SLURM ends it at its time limit, and then is done."""
    write = "trap : TERM; echo began; sleep 200 & wait; sleep 1; exit 75"
    return submit_ranks(f"[ -z $SLURM_RESTART_COUNT ] || exit 0; {write}", "--time=1")


LISTEN = "touch $LANDSCAPE_LISTENING_FILE"
GO = "until [ -e go ]; do sleep 0.2; done"  # until the test has done something
WAITING = "waiting until the ranks listen"


def test_a_signal_that_kills_the_ranks_is_explained_and_not_requeued(submit_ranks: Submit) -> None:
    job = submit_ranks(f"{LISTEN}; echo began; exec sleep 60")
    job.wait_until(lambda: job.log().count("began") == 2)
    job.call("scancel", "--batch", "--signal=USR1")
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("FAILED", "0")
    assert "the ranks were killed after the signal: they did not stop for it" in job.log()
    assert "raise --time or lower the seconds of --signal" in job.log()


def test_a_signal_waits_for_the_start_of_the_ranks_and_reaches_them_once(
    submit_ranks: Submit,
) -> None:
    listen = f'trap "echo stopped; exit 75" USR1; echo ready; sleep 2; {LISTEN}'
    job = submit_ranks(
        f"[ -z $SLURM_RESTART_COUNT ] || exit 0; echo began; {GO}; {listen}; sleep 60 & wait"
    )
    job.wait_until(lambda: job.log().count("began") == 2)
    for _ in range(3):
        job.call("scancel", "--batch", "--signal=USR1")
    job.wait_until(lambda: WAITING in job.log())
    (job.folder / "go").touch()
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    for words, n_times in ((WAITING, 1), ("stopped", 2)):
        assert job.log().count(words) == n_times


def test_ranks_that_die_before_they_listen_end_a_job_that_waits_for_them(
    submit_ranks: Submit,
) -> None:
    job = submit_ranks(f"echo began; {GO}; kill -KILL $$")
    job.wait_until(lambda: job.log().count("began") == 2)
    job.call("scancel", "--batch", "--signal=USR1")
    job.wait_until(lambda: WAITING in job.log())
    (job.folder / "go").touch()
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("FAILED", "0")
    assert told["ExitCode"] in {"137:0", "143:0"}  # of the first that died, or of another
    assert "the ranks were killed after the signal: it came before they listened" in job.log()


def test_a_step_without_the_status_of_rank_0_is_no_success(submit_ranks: Submit) -> None:
    job = submit_ranks("rm -rf $TMPDIR")
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "1:0", "0")
    assert "rank 0 left no status in " in job.log()
    assert "it must run on the node of this shell" in job.log()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            "n2",
            "a rank hung on n2, which cannot be excluded: without n2, debug has 1 of the 2 nodes",
        ),
        ("", "requeued, to continue from the last written round"),
    ],
)
def test_ranks_that_hang_where_no_node_can_be_left_out(
    node: str, words: str, submit_ranks: Submit
) -> None:
    hang = f"echo {node} > $LANDSCAPE_STALL_FILE; [ $SLURM_PROCID = 0 ] || sleep 60; exit 75"
    job = submit_ranks(f"[ -z $SLURM_RESTART_COUNT ] || exit 0; {hang}")
    told = job.wait()
    assert (told["JobState"], told["Restarts"]) == ("COMPLETED", "1")
    assert told["ExcNodeList"] == "(null)"
    assert words in job.log()
    assert ("a rank hung on" in job.log()) == bool(node)


# In the first run of a job, it notes a rank that hangs and never ends; in the second, all is well.
ENDLESS_MPIRUN = """#!/usr/bin/env bash
shift 3 # -n N env
while [[ $1 = *=* ]]; do export "$1" && shift; done
touch "$LANDSCAPE_STARTED_FILE"
if [ -n "$SLURM_RESTART_COUNT" ]; then echo 0 > "$2" && exit; fi
trap : TERM
echo > "$LANDSCAPE_STALL_FILE"
while :; do sleep 1; done
"""


def test_a_launcher_that_waits_for_ranks_out_of_reach_is_ended(submit_ranks: Submit) -> None:
    """As Open MPI's mpirun does after a lost link; SIGTERM does not end it either."""
    job = submit_ranks("true", "--ntasks=2", mpirun=ENDLESS_MPIRUN)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    words = "a rank hung, and the launcher still waits for others 20 s later: ending it"
    assert job.log().count(words) == 1


def test_a_step_whose_socket_was_left_behind_is_started_once_more(
    submit_ranks: Submit, lab: dict[str, str]
) -> None:
    """A slurmstepd that is killed leaves the socket, and a requeued job has the same numbers."""
    wait = f"[ -z $SLURM_RESTART_COUNT ] || exit 0; {LISTEN}; echo began; exec sleep 100"
    job = submit_ranks(wait, launcher="srun --mpi=pmix")
    job.wait_until(lambda: job.log().count("began") == 2)
    name, own = f"slurmstepd: [{job.number}.0]".encode(), lab["SLURM_CONF"].encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_step = (entry / "cmdline").read_bytes().startswith(name)
            if is_step and own in (entry / "environ").read_bytes():  # not of another lab
                os.kill(int(entry.name), signal.SIGKILL)
    job.call("scontrol", "requeue")
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert job.log().count("the launcher ended before rank 0 was started") == 1, job.log()


def test_run_ranks_is_for_jobs(lab: dict[str, str]) -> None:
    done = run("bash", "-c", ". slurm/run_ranks.sh", cwd=ROOT, env=lab)
    assert done.returncode != 0
    assert "SLURM_JOB_ID: is set by SLURM: submit the template with sbatch" in done.stderr


def test_a_template_names_its_launcher(lab: dict[str, str]) -> None:
    done = run("bash", "-c", ". slurm/run_ranks.sh", cwd=ROOT, env=lab | {"SLURM_JOB_ID": "1"})
    assert done.returncode != 0
    assert "the command that starts the ranks; the template sets it" in done.stderr


# One rank of a step.

# Four tasks that leave with a status, 0.3 s between them.
ONE_BY_ONE = ("bash", "-c", 'sleep 0.$((SLURM_PROCID * 3)); exit "$0"')


def srun(lab: dict[str, str], *command: str | Path) -> subprocess.CompletedProcess[str]:
    step = ["srun", "--quiet", "--nodes=2", "--ntasks=4", "--kill-on-bad-exit=1"]
    return run(*step, *command, env=lab, cwd=ROOT)


@pytest.mark.parametrize("status", ["2", "75"])
def test_ranks_that_leave_in_order_may_take_their_time(
    status: str, lab: dict[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / "status"
    done = srun(lab, "launch/run_rank.sh", kept, *ONE_BY_ONE, status)
    assert (done.returncode, done.stderr) == (0, "")
    assert kept.read_text() == f"{status}\n"


# A rank that cannot write, while the other is in a call of all ranks.
UNWRITABLE = """
from pathlib import Path
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.guard import run_guarded
from landscape_mpi.errors import UnwritableError

def main(options, ranks):
    if ranks.rank == 1:
        raise UnwritableError(Path("surface.h5"), "Disk quota exceeded")
    ranks.comm.Barrier()
    return 0

run_guarded(main, {}, None, start_ranks())
"""


def test_a_write_that_fails_under_plain_srun_ends_the_step(lab: dict[str, str]) -> None:
    words = ["srun", "--quiet", "--mpi=pmix", "--ntasks=2", sys.executable, "-c", UNWRITABLE]
    done = run(*words, env=lab, cwd=ROOT, timeout=LIMIT_S)
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: surface.h5: cannot be written (Disk quota exceeded)") == 1


def test_without_run_rank_srun_takes_them_for_dead(lab: dict[str, str]) -> None:
    """run_rank.sh prevents this; if this test fails, it may no longer be needed."""
    long_after_another = ("bash", "-c", "sleep $((SLURM_PROCID * 90)); exit 75")
    assert srun(lab, *long_after_another).returncode == 143


def test_any_other_status_of_a_rank_is_that_of_the_step(
    lab: dict[str, str], tmp_path: Path
) -> None:
    last = ("bash", "-c", "[ $SLURM_PROCID != 3 ] || exit 9; sleep 90 && echo survived")
    done = srun(lab, "launch/run_rank.sh", tmp_path / "status", *last)
    assert "task 3: Exited with exit code 9" in done.stderr
    assert done.returncode not in (0, 2, 75)
    assert "survived" not in done.stdout


def test_bind_rank_gives_each_task_of_a_node_its_gpu(lab: dict[str, str]) -> None:
    say = ("bash", "-c", "echo $SLURMD_NODENAME $SLURM_LOCALID $CUDA_VISIBLE_DEVICES")
    done = srun(lab, "env", "CUDA_VISIBLE_DEVICES=4,5,6,7", "launch/bind_rank.sh", *say)
    places = [line.split() for line in done.stdout.splitlines()]
    assert {node for node, _, _ in places} == {"n1", "n2"}
    assert len({(node, gpu) for node, _, gpu in places}) == 4
    assert all(int(gpu) == 4 + int(number) for _, number, gpu in places)


# The jobs that took longest.


def test_a_job_that_meets_its_time_limit_requeues_itself_until_it_is_done(
    limited: Job, tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    plane = ("--model=slow:build", "--limit=64", "--batch=64", "--x=-1:1:32", "--y=-1:1:15")
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane)
    told = limited.wait()
    assert (told["JobState"], told["ExitCode"]) == ("COMPLETED", "0:0")
    assert_same(limited.folder / "surface.h5", reference)
    *stopped, last = runs_of(limited.folder / "surface.h5")
    assert stopped
    assert {run["outcome"] for run in stopped} == {b"stopped by SIGUSR1"}
    assert last["outcome"] == b"complete"
    assert sum(run["points"] for run in (*stopped, last)) == 32 * 15  # none twice
    assert "requeued, to continue from the last written round" in limited.log()


def test_ranks_that_end_in_order_after_the_time_limit_are_requeued(overdue: Job) -> None:
    told = overdue.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert "DUE TO TIME LIMIT" in overdue.log()
