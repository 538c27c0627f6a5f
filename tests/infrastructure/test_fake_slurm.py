"""Jobs of a SLURM of two nodes that have fake GPUs; srun alone starts the ranks.

Oracles: the file of one rank on the CPU, bit for bit; where each task had a context, which the
fake GPUs note when it ends.
"""

import json
import os
from pathlib import Path

import pytest
from slurm_jobs import (
    LAYOUT,
    SMALL,
    TWO_TASKS_A_NODE,
    assert_same,
    lay_out,
    of_one_rank,
    submit_template,
    write_weights,
)

pytestmark = pytest.mark.fake_gpus

ON_GPUS = {
    "--device cuda": "--device cuda",
    "# EDIT: other options": "--compile off --points-at-once 1 --batch 256",
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights"))


def submit(lab, checkpoint, folder, n_gpus):
    """Submit surface.sbatch, two tasks on each node, which have so many fake GPUs."""
    (folder / "reports").mkdir(parents=True)
    weights = {"--checkpoint": f"--checkpoint {checkpoint}", "--out": "--out surface.h5"}
    changes = LAYOUT | SMALL | TWO_TASKS_A_NODE | weights | ON_GPUS
    python_path = os.environ["PYTHONPATH"]
    fake = {"FAKE_GPUS": str(n_gpus), "FAKE_GPUS_REPORT": str(folder / "reports")}
    environment = lab | fake | {"PYTHONPATH": python_path}
    return submit_template(lay_out(folder), "surface.sbatch", changes, lab=environment)


def contexts_of(folder: Path):
    reports = [json.loads(path.read_text()) for path in (folder / "reports").iterdir()]
    return {report["rank"]: report["contexts"] for report in reports if report["launches"]}


def test_each_task_computes_on_its_own_gpu_of_its_node(lab, checkpoint, on_ranks, tmp_path):
    job = submit(lab, checkpoint, tmp_path / "checkout", 2)
    plane = ("--model=resnet8", f"--checkpoint={checkpoint}", "--x=-1:1:5", "--y=-0.5:1:4")
    options = ("--device=cpu", "--batch=256")
    reference = of_one_rank(on_ranks, tmp_path / "one.h5", *plane, *options)
    told = job.wait()
    assert (told["JobState"], told["NumTasks"]) == ("COMPLETED", "4"), job.log()
    assert "4 ranks: 4 x NVIDIA H200; fp32, batch 256, 1 thread a rank" in job.log()
    assert contexts_of(job.folder) == {0: [0], 1: [1], 2: [0], 3: [1]}
    assert_same(job.folder / "surface.h5", reference)


def test_more_tasks_on_a_node_than_gpus(lab, checkpoint, tmp_path):
    for attempt in range(3):
        job = submit(lab, checkpoint, tmp_path / f"checkout{attempt}", 1)
        told = job.wait()
        # Open MPI 4.1 itself crashes now and then if a rank ends while others still connect.
        if "Open MPI failed to TCP connect" not in job.log():
            break
    assert (told["JobState"], told["ExitCode"]) == ("FAILED", "2:0"), job.log()
    assert "error: node n1: 2 ranks share 1 GPU. Two ranks on one GPU are slower" in job.log()
    assert not (job.folder / "surface.h5").exists()
