"""The templates for PBS and LSF, run by bash as the queue's shell does, on real ranks.

Neither queue can be installed here. Their commands are programs that note how they are called; what
the templates do on the ranks, and the files they leave, is real.
"""

import contextlib
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import h5py
import pytest
from folders import ROOT
from limits import LIMIT_S
from slurm_jobs import SLOW, edit, environment_of_jobs

JOB = {
    "pbs": {"PBS_JOBID": "42.server", "PBS_JOBNAME": "surface"},
    "lsf": {"LSB_JOBID": "42", "LSB_JOBNAME": "surface"},
}
LOG = {"pbs": "surface.log", "lsf": "surface-42.log"}
COMMAND = {
    "--model": "--model slow:build",
    "--checkpoint": "",
    "--data cifar10": "--data digits",
    "--device cuda": "--device cpu",
    "--x": "--x=-1:1:9",
    "--y": "--y=-1:1:9",
    "--out": "--out out.h5 --limit 100",
}
ONE_RANK = "env OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_LOCAL_RANK=0"


@pytest.fixture(params=["pbs", "lsf"])
def queue(request):
    return request.param


@pytest.fixture
def folder(queue, tmp_path):
    """A checkout of its own, its template edited for this machine, and the queue's commands."""
    for name in (queue, "launch"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "landscape_mpi").symlink_to(ROOT / "landscape_mpi")
    (tmp_path / "slow.py").write_text(SLOW)
    own = {"module load": "", ". .venv": f". {sys.prefix}/bin/activate", "DATA_DIR=": "DATA_DIR=."}
    edit(tmp_path / "launch/environment.sh", own)
    programs = {"qstat": "cat state", "qsub": 'echo "$@" >> submitted && cat number'}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/usr/bin/env bash\n{text}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "state").write_text("    job_state = R\n")
    (tmp_path / "number").write_text("43.server\n")
    return tmp_path


@pytest.fixture
def start(queue, folder):
    """Return a function that runs a script as a job of the queue."""

    def run(*words, **settings):
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        own = {"PBS_O_WORKDIR": str(folder), "PATH": path, "PYTHONPATH": str(folder)}
        environment = environment_of_jobs() | JOB[queue] | own | settings
        environment.pop("TIME_LIMIT_S", None)  # timeout hands no signal on
        done = subprocess.run(
            ["bash", *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        log = folder / LOG[queue]
        return done.returncode, log.read_text() if log.exists() else done.stdout + done.stderr

    return run


@pytest.fixture
def one_rank(queue, folder, start):
    """Return a function that runs a line of bash as the only rank of a job."""

    def run(line, before=""):
        words = (
            f"template={queue}/it stop_after=10m launcher=({ONE_RANK})\n. {queue}/run_ranks.sh\n"
        )
        (folder / "job.sh").write_text(f"{before}\n{words}run_ranks bash -c {shlex.quote(line)}\n")
        return start("job.sh")

    return run


def submitted(folder):
    path = folder / "submitted"
    return path.read_text().splitlines() if path.exists() else []


def test_a_job_stops_in_time_and_the_next_one_completes(queue, folder, start):
    template = f"{queue}/surface.{queue}"
    launcher = f"launcher=({ROOT}/launch/try_ranks.sh 2)"
    edit(folder / template, COMMAND | {"stop_after": "stop_after=0.1s", "launcher": launcher})
    status, log = start(template, LAG="0.1")
    assert status == 75, log
    assert "signalled: asking the ranks to stop" in log
    with h5py.File(folder / "out.h5") as file:
        done = file["done"][...]
    assert not done.all()
    again = ["-W depend=afterany:42.server pbs/surface.pbs"] if queue == "pbs" else []
    assert submitted(folder) == again
    text = (folder / template).read_text()
    (folder / template).write_text(text.replace("stop_after=0.1s", "stop_after=10m"))
    status, log = start(template)
    assert status == 0, log
    assert "81/81 points (100 %)" in log
    assert submitted(folder) == again
    with h5py.File(folder / "out.h5") as file:
        assert file["done"][...].all()


def test_what_stopped_is_run_again(queue, folder, one_rank):
    status, log = one_rank(
        "touch $LANDSCAPE_LISTENING_FILE; kill -USR1 $PPID $(ps -o ppid= $PPID); exit 75"
    )
    if queue == "pbs":
        assert "submitted again as 43.server" in log
    else:
        assert "stopped; LSF requeues this job" in log
    assert status == 75, log


def test_a_signal_long_before_the_ranks_listen_is_passed_on(one_rank):
    status, log = one_rank(
        "kill -USR1 $(ps -o ppid= $PPID); sleep 1; touch $LANDSCAPE_LISTENING_FILE; sleep 1;exit 75"
    )
    assert "signalled: asking the ranks to stop" in log
    assert "not a child" not in log
    assert status == 75, log


@pytest.mark.parametrize("queue", ["pbs"])
def test_a_signal_while_the_queue_answers_is_not_forgotten(folder, one_rank):
    (folder / "bin/qstat").write_text(
        "#!/usr/bin/env bash\n"
        "if [ -e asked ]; then touch again; echo job_state = R; exit; fi\n"
        "touch asked; kill -TERM $PPID; sleep 0.2; echo job_state = E\n"
    )
    status, log = one_rank(
        "touch $LANDSCAPE_LISTENING_FILE; kill -TERM $(ps -o ppid= $PPID)\n"
        "for _ in {1..50}; do if [ -e again ]; then break; fi; sleep 0.1; done; sleep 1; exit 75"
    )
    assert "signalled: asking the ranks to stop" in log
    assert status == 75, log


@pytest.mark.parametrize("queue", ["pbs"])
def test_the_queue_is_not_asked_about_a_run_that_stops_already(folder, one_rank):
    (folder / "bin/qstat").write_text(
        "#!/usr/bin/env bash\necho called >> calls; echo job_state = R\n"
    )
    status, log = one_rank(
        "touch $LANDSCAPE_LISTENING_FILE; shell=$(ps -o ppid= $PPID)\n"
        "kill -USR1 $shell; kill -TERM $shell; sleep 1; exit 75"
    )
    assert status == 75, log
    assert (folder / "calls").read_text() == "called\n"  # before the job is submitted again


def test_what_the_queue_ends_is_not_run_again(queue, folder, one_rank):
    (folder / "state").write_text("    job_state = E\n")
    status, log = one_rank("exit 75")
    assert "is ending this job" in log
    assert submitted(folder) == []
    assert status == (75 if queue == "pbs" else 143)  # LSF requeues a job that ends with 75


def test_a_short_job_leaves_no_process(queue, folder, start):
    words = f"template={queue}/it stop_after=611.7s launcher=({ONE_RANK})\n. {queue}/run_ranks.sh\n"
    (folder / "job.sh").write_text(f"{words}run_ranks true\n")
    for _ in range(20):
        assert start("job.sh")[0] == 0
    end = time.monotonic() + LIMIT_S  # the last ones are ended, and are about to be gone
    while [path for path in Path("/proc").glob("[0-9]*/cmdline") if b"611.7s" in text_of(path)]:
        assert time.monotonic() < end
        time.sleep(0.05)


def text_of(path):
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_bad_input_is_not_run_again(folder, one_rank):
    status, _ = one_rank("exit 2")
    assert (status, submitted(folder)) == (2, [])


def test_a_rank_that_hung_is_named(queue, folder, one_rank):
    status, log = one_rank(
        "touch $LANDSCAPE_STARTED_FILE; echo node7 > $LANDSCAPE_STALL_FILE; exit 75"
    )
    assert status == 75
    assert "a rank hung on node7" in log
    assert len(submitted(folder)) == (queue == "pbs")
    assert not list(folder.glob(".surface*"))


@pytest.mark.parametrize("queue", ["pbs"])  # LSF needs no command for it
def test_a_node_that_cannot_submit_says_what_to_do(queue, folder, one_rank):
    (folder / "number").unlink()
    status, log = one_rank("exit 75")
    assert status == 75
    assert "qsub failed here: submit pbs/it where it works" in log


def test_outside_a_job_it_says_how_to_submit(queue, folder):
    done = subprocess.run(
        ["bash", "-c", f"launcher=(mpirun); . {queue}/run_ranks.sh"],
        cwd=folder,
        env=environment_of_jobs(),
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"submit the template with {'qsub' if queue == 'pbs' else 'bsub'}" in done.stderr


def test_the_options_of_the_queue_are_ones(queue):
    """Each by its letter and the form of its value, as the manuals of PBS and LSF have them."""
    forms = {
        "pbs": {
            "N": r"\w+",
            "q": r"\w+",
            "A": r"\w+",
            "l": r"walltime=\d\d:\d\d:\d\d|select=\d+:ncpus=\d+:mpiprocs=\d+:ngpus=\d+",
            "r": "n",
            "j": "oe",
            "k": "oed",
        },
        "lsf": {
            "J": r"\w+",
            "q": r"\w+",
            "P": r"\w+",
            "W": r"\d+:\d\d",
            "n": r"\d+",
            "R": r'"span\[ptile=\d+\]"',
            "gpu": r'"num=\d+"',
            "Q": '"75"',
            "o": r"[\w.%-]+",
        },
    }[queue]
    text = (ROOT / f"{queue}/surface.{queue}").read_text()
    options = re.findall(
        rf"^#{'PBS' if queue == 'pbs' else 'BSUB'} -(\w+) (.+)$", text, re.MULTILINE
    )
    assert {name for name, _ in options} == set(forms)
    for name, value in options:
        assert re.fullmatch(forms[name], value), (name, value)


def test_the_command_is_that_of_slurm(queue):
    commands = []
    for path in (f"{queue}/surface.{queue}", "slurm/surface.sbatch"):
        text = (ROOT / path).read_text()
        commands.append(text[text.index("\ncommand=(") : text.index("\n)\n")])
    assert commands[0] == commands[1]
