"""The templates beside surface.sbatch in a real SLURM of two nodes, edited as a user edits them.

Oracles: SLURM's own word on how a job ended (scontrol); files made without SLURM and never
disturbed, the surface on one rank, compared bit for bit; and what a mesh says of the number of
its points.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import pytest
import torch
from slurm_jobs import (
    ENDLESS,
    LAYOUT,
    LONG,
    ROOT,
    SMALL,
    Job,
    assert_same,
    edit,
    lay_out,
    of_one_rank,
    ranks_of,
    run,
    runs_of,
    submit_template,
)
from training_runs import write_run

from landscape_mpi import curve, ensemble, train

QUEUE = {"--partition": "#SBATCH --partition=debug", "--account": ""}
AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


# The text of the templates.


def code_of(template: str) -> list[str]:
    """Return the lines of a template that do something."""
    lines = (ROOT / "slurm" / template).read_text().splitlines()
    return [line for line in lines if not line.startswith("#") or line.startswith("#SBATCH")]


def test_the_templates_of_a_surface_differ_in_the_launcher_and_nothing_else() -> None:
    """SLURM keeps a template as it was submitted, but not what it sources: so each is whole."""
    by_srun, by_mpirun = code_of("surface.sbatch"), code_of("surface_mpirun.sbatch")
    differ = [pair for pair in zip(by_srun, by_mpirun, strict=True) if len(set(pair)) > 1]
    assert [[line.split("=")[0] for line in pair] for pair in differ] == [["launcher"] * 2]


def test_the_template_of_a_hessian_is_that_of_a_surface_but_for_its_command() -> None:
    surface, hessian = (code_of(f"{name}.sbatch") for name in ("surface", "hessian"))
    lines = [lines[: lines.index("command=(")] for lines in (surface, hessian)]
    name, kept = "#SBATCH --job-name=", list(zip(*lines, strict=True))
    assert [pair for pair in kept if len(set(pair)) > 1] == [(f"{name}surface", f"{name}hessian")]
    assert hessian[-1] == surface[-1] == 'run_ranks "${command[@]}" "$@"'


@pytest.mark.parametrize("name", ["curve", "ensemble"])
def test_a_template_is_that_of_a_surface_but_for_its_commands(name: str) -> None:
    surface, ours = [code_of(f"{kind}.sbatch") for kind in ("surface", name)]
    sources = next(n for n, line in enumerate(surface) if line.startswith(". slurm/run_ranks.sh"))
    settings = [
        [line.split("# EDIT")[0] for line in lines[: sources + 1]] for lines in (surface, ours)
    ]
    differ = [pair for pair in zip(*settings, strict=True) if len(set(pair)) > 1]
    ranks = [pair for pair in differ if pair[0].startswith("#SBATCH --nodes=")]  # share a batch
    assert [(a.strip(), b.strip()) for a, b in differ if (a, b) not in ranks] == [
        ("#SBATCH --job-name=surface", f"#SBATCH --job-name={name}")
    ]
    assert len(ranks) == (name == "ensemble")
    assert ours[-1] == surface[-1] == 'run_ranks "${command[@]}" "$@"'


def test_the_commands_of_the_template_of_a_curve_are_commands() -> None:
    for words, subcommand in (([], "train"), (["train"], "train"), (["evaluate"], "evaluate")):
        found = command_of("curve", "what=train", *words, "--out", "else")
        assert found[:4] == ["python", "-m", "landscape_mpi.curve", subcommand]
        assert str(curve.parse(found[3:]).out) == "else"


def command_of(template: str, begin: str, *options: str) -> list[str]:
    """Its array as bash reads it, with run_ranks in the place of a queue's.

    Args:
        template: Its name.
        begin: What its line begins with from which on it is run.
        options: Behind it.
    """
    text = (ROOT / f"slurm/{template}.sbatch").read_text()
    body = text[text.index(f"\n{begin}") :]
    script = f"DATA_DIR=/data; run_ranks() {{ printf '%s\\n' \"$@\"; }}\n{body}"
    argv = ["bash", "-euc", script, template, *options]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def test_the_command_of_the_template_of_an_ensemble_is_a_command() -> None:
    found = command_of("ensemble", "command=(", "--run", "else")
    assert found[:3] == ["python", "-m", "landscape_mpi.ensemble"]
    options = ensemble.parse(found[3:])
    assert (str(options.run), options.epochs, options.cycle) == ("else", 60, 4)
    assert [path.name for path in options.independent] == [
        f"resnet56-seed{k}.pt" for k in (1, 2, 3)
    ]


# pipeline.sh: surface_mpirun.sbatch, then postprocess.sbatch.


def start_pipeline(folder: Path, *words: str, lab: dict[str, str]) -> tuple[Job, Job]:
    """Submit a pipeline, its surface edited, and return its two jobs."""
    few = {"python -m landscape_mpi.plot": 'python -m landscape_mpi.plot "$surface" --kind contour'}
    edit(folder / "slurm/postprocess.sbatch", QUEUE | few)
    done = run("slurm/pipeline.sh", *words, cwd=folder, env=lab)
    assert done.returncode == 0, done.stderr
    first, second = re.findall(r"^job (\d+)", done.stdout, re.MULTILINE)
    out, stem = words[0], words[0].removesuffix(".h5")
    assert done.stdout == (
        f"job {first}: {out} (surface-{first}.log)\n"
        f"job {second}, after it: {stem}_*.png, {stem}.vtp (postprocess-{second}.log)\n"
    )
    return Job(first, folder, lab), Job(second, folder, lab, name="postprocess")


@pytest.fixture(scope="module")
def pipeline(lab: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Job]:
    """Submit a surface by mpirun, its points slow in the first run, and its pictures."""
    folder = lay_out(tmp_path_factory.mktemp("checkout"))
    by_mpirun = "readonly TEMPLATE=slurm/surface_mpirun.sbatch"
    edit(folder / "slurm/pipeline.sh", {"readonly TEMPLATE": by_mpirun})
    edit(folder / "slurm/surface_mpirun.sbatch", LAYOUT | LONG)
    return start_pipeline(folder, "here.h5", lab=lab | AS_ROOT | {"LAG": "0.2"})


def test_pictures_wait_for_a_surface_that_is_requeued(pipeline: tuple[Job, Job]) -> None:
    surface, pictures = pipeline
    surface.wait_for_rounds(2)
    surface.call("scancel", "--batch", "--signal=USR1")
    surface.wait_until(lambda: surface.told()["Restarts"] == "1")
    assert pictures.told()["JobState"] == "PENDING"
    # The last test sees the end of both, when other jobs have run.


def test_a_surface_that_fails_takes_its_pictures_out_of_the_queue(
    lab: dict[str, str], tmp_path: Path
) -> None:
    folder = lay_out(tmp_path / "checkout")
    edit(folder / "slurm/surface.sbatch", LAYOUT | SMALL)
    surface, pictures = start_pipeline(folder, "here.h5", "--x=1:2", lab=lab)
    assert surface.wait()["ExitCode"] == "2:0"
    assert "error: --x" in surface.log()
    assert pictures.wait()["JobState"] == "CANCELLED"


def test_a_pipeline_that_slurm_refuses_ends_with_its_words(
    lab: dict[str, str], tmp_path: Path
) -> None:
    done = run("slurm/pipeline.sh", "here.h5", cwd=lay_out(tmp_path / "checkout"), env=lab)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sbatch: error: ")


def test_a_pipeline_needs_the_name_of_its_file() -> None:
    done = run("slurm/pipeline.sh", cwd=ROOT)
    assert done.returncode != 0
    assert "name the output file of the surface: slurm/pipeline.sh resnet56.h5" in done.stderr


def test_pictures_need_the_name_of_a_surface(lab: dict[str, str], tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "checkout")
    job = submit_template(folder, "postprocess.sbatch", QUEUE, lab=lab)
    assert job.wait()["JobState"] == "FAILED"
    words = "name the surface file: sbatch slurm/postprocess.sbatch resnet56.h5"
    assert words in job.log()


# surface_mpirun.sbatch


def test_a_rank_of_mpirun_that_dies_ends_the_job(lab: dict[str, str], tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "checkout")
    environment = lab | AS_ROOT | {"LAG": "0.2"}
    job = submit_template(folder, "surface_mpirun.sbatch", LAYOUT | ENDLESS, lab=environment)
    job.wait_for_rounds(2)
    os.kill(ranks_of(job)[1], signal.SIGKILL)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("FAILED", "137:0", "0")
    with h5py.File(folder / "resnet56.h5") as file:
        assert 0 < (file["done"][...] == 1).sum() < file["done"].size


# train.sbatch

TRAINING = QUEUE | {
    "--array": "#SBATCH --array=0-2",
    "--gpus-per-node": "",
    "--cpus-per-task": "#SBATCH --cpus-per-task=1",
    "networks": "networks=(resnet8)",
    "seeds": "seeds=(4 7)",
    "--data cifar10": "--data digits",
    "--device cuda": "--device cpu",
    "# EDIT: other options": "--epochs 30",
}


def tasks_of(array: Job) -> list[Job]:
    return [replace(array, number=f"{array.number}_{task}") for task in range(3)]


@pytest.fixture(scope="module")
def trained(lab: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Submit an array of a task too many, for two seeds; the second is stopped as it trains."""
    folder = lay_out(tmp_path_factory.mktemp("checkout"))
    array = submit_template(folder, "train.sbatch", TRAINING, lab=lab)
    second = tasks_of(array)[1]
    second.wait_until(lambda: "epoch  1/30" in second.log())
    second.call("scancel", "--batch", "--signal=USR1")
    return array


def test_a_task_for_each_network_and_seed(trained: Job) -> None:
    *trainings, one_too_many = tasks_of(trained)
    for task, restarts in zip(trainings, "01", strict=True):
        told = task.wait()
        ended = (told["JobState"], told["ExitCode"], told["Restarts"])
        assert ended == ("COMPLETED", "0:0", restarts), task.log()
    assert one_too_many.wait()["ExitCode"] == "2:0"
    words = "task 2: networks x seeds are 2 trainings, so pass --array=0-1"
    assert words in one_too_many.log()
    checkpoints = [path.name for path in trained.folder.glob("*.pt")]
    assert sorted(checkpoints) == ["resnet8-seed4.pt", "resnet8-seed7.pt"]


def test_a_task_that_was_requeued_gives_the_weights_of_one_that_was_not(
    trained: Job, tmp_path: Path
) -> None:
    here = tmp_path / "here.pt"
    argv = ["--model=resnet8", "--data=digits", "--epochs=30", "--seed=7", "--threads=1"]
    assert train.main([*argv, f"--out={here}", "--device=cpu"]) == 0
    expected = torch.load(here, weights_only=True)["state_dict"]
    log = tasks_of(trained)[1].log()
    assert "stopped by SIGUSR1 with " in log
    assert "resuming: " in log
    assert log.count("epoch 30/30") == 1
    weights = torch.load(trained.folder / "resnet8-seed7.pt", weights_only=True)["state_dict"]
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_the_same_array_again_trains_nothing_that_is_there(trained: Job) -> None:
    before = (trained.folder / "resnet8-seed4.pt").read_bytes()
    words = ["sbatch", "--parsable", "--array=0", "slurm/train.sbatch"]
    number = run(*words, cwd=trained.folder, env=trained.lab).stdout.strip()
    again = tasks_of(replace(trained, number=number))[0]
    assert again.wait()["JobState"] == "COMPLETED"
    assert again.log() == (
        "resnet8-seed4.pt exists, so this training is done; remove it to train again\n"
    )
    assert (trained.folder / "resnet8-seed4.pt").read_bytes() == before


# trajectory.sbatch

PATHS = QUEUE | {"--ntasks-per-node": "#SBATCH --ntasks-per-node=2", "runs/": "runs/sgd"}


def test_a_plane_of_runs_is_that_of_one_rank(
    lab: dict[str, str], tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    folder = lay_out(tmp_path / "checkout")
    run_folder = write_run(folder / "runs/sgd", 4)
    job = submit_template(folder, "trajectory.sbatch", PATHS, lab=lab)
    one = tmp_path / "one.h5"
    on_ranks(1, ["landscape_mpi.trajectory", run_folder, "--out", one], check=True)
    told = job.wait()
    assert (told["JobState"], told["ExitCode"], told["NumTasks"]) == ("COMPLETED", "0:0", "2")
    names = (
        "directions/alpha/conv1.weight",
        "directions/beta/conv1.weight",
        "trajectory/run_0/alpha",
    )
    with h5py.File(folder / "plane.h5") as file, h5py.File(one) as expected:
        assert file["provenance"].attrs["ranks"] == 2
        for name in names:
            assert file[name][...].tobytes() == expected[name][...].tobytes()


def test_a_plane_of_no_run_ends_with_its_message(lab: dict[str, str], tmp_path: Path) -> None:
    folder = lay_out(tmp_path / "checkout")
    job = submit_template(folder, "trajectory.sbatch", PATHS, lab=lab)
    assert job.wait()["ExitCode"] == "2:0"
    assert job.log().count("error: runs/sgd: does not exist.") == 1


# The jobs that took longest.


def test_a_surface_is_drawn_when_it_is_complete(
    pipeline: tuple[Job, Job], tmp_path: Path, on_ranks: Callable[..., object]
) -> None:
    surface, pictures = pipeline
    plane = ("--model=slow:build", "--limit=64", "--batch=64", "--x=-1:1:13", "--y=-1:1:11")
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane)
    told = pictures.wait()
    assert (told["JobState"], told["ExitCode"]) == ("COMPLETED", "0:0"), pictures.log()
    folder = surface.folder
    assert b'NumberOfPoints="143"' in (folder / "here.vtp").read_bytes()
    assert (folder / "here_train_loss_contour.png").read_bytes().startswith(b"\x89PNG")

    told = surface.told()
    assert (told["JobState"], told["ExitCode"], told["Restarts"]) == ("COMPLETED", "0:0", "1")
    assert (told["NodeList"], told["NumTasks"]) == ("n[1-2]", "2")
    assert_same(folder / "here.h5", reference)
    runs = runs_of(folder / "here.h5")
    assert runs["outcome"].tolist() == [b"stopped by SIGUSR1", b"complete"]
    assert (runs["ranks"].tolist(), runs["points"].sum()) == ([2, 2], 13 * 11)  # none twice
    assert not (folder / "resnet56.h5").exists()  # the file that the template names
