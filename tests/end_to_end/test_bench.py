"""The command itself, on this machine; where MPI cannot be imported.

Oracle: the first line of a precision says images/s and seconds a point, whose product is the
number of images, and the last the time of all points at that speed.
"""

import os
import re
import runpy
import subprocess
import sys

import pytest
import torch
from folders import ROOT

from landscape_mpi.bench import main
from landscape_mpi.errors import InputError

WITHOUT_MPI = "import sys; sys.modules['mpi4py'] = None; import runpy; sys.argv[0] = 'bench'; "
QUICKLY = (  # in bfloat16, products of the usual size take seconds each
    "from landscape_mpi.compute import cost; from landscape_mpi.engine import forecast; "
    "from landscape_mpi.compute.devices.cpu import CPU; type(CPU).matrix_size = 128; "
    "cost.MEASURE_S = forecast.MEASURE_S = forecast.ENOUGH_S = 0.05; "
)
RUN = "runpy.run_module('landscape_mpi.bench', run_name='__main__')"


def bench(*options):
    argv = [sys.executable, "-c", WITHOUT_MPI + QUICKLY + RUN, "--device", "cpu", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def refused_here(monkeypatch, capsys):
    """Return a function that gives the status and the errors of the command in this process."""

    def run(*options):
        monkeypatch.setattr(sys, "argv", ["bench", *options])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("landscape_mpi.bench", run_name="__main__")
        return ended.value.code, capsys.readouterr().err

    return run


LOADED_BEFORE = pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")


def test_every_precision_of_a_cpu():
    options = ("--model", "resnet8", "--images", "20", "--threads", "1", "-n", "3", "--y=0")
    done = bench(*options, "--x=-1:1:300", "--image-shape", "16,12,1")
    assert done.returncode == 0, done.stderr
    assert "batch 64, threads a rank: 1" in done.stdout
    blocks = done.stdout.split("\n\n")[1:]
    assert [block.split("\n")[0] for block in blocks] == ["fp32", "bf16"]
    for block in blocks:
        rate, seconds = re.search(r"([\d,]+) images/s per rank, (\S+) s per point", block).groups()
        assert float(rate.replace(",", "")) * float(seconds) == pytest.approx(20, rel=0.02)
        assert "300 x 1 points on 3 ranks: about " in block


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model=resnet9"], "'resnet9' is not known. Did you mean"),
        (["--model=resnet8", "--image-shape=3"], "'3' is not height,width,channels"),
        (["--model=resnet8", "--image-shape=0,4,3"], "'0,4,3' is not height,width,channels"),
        (["--model=resnet8", "--x=1:0:5"], "--x: '1:0:5'"),
        (["--model=resnet8", "--precision=tf32"], "--precision tf32 needs an NVIDIA GPU"),
        (["--model=json:loads"], "--model"),
        (["--model=resnet8", "--threads=99999"], "--threads: asks for 99999 cores, but this"),
        (["--model=resnet8", "--image-shape=99999,9,3"], "each a whole number from 1 to 16384"),
    ],
)
def test_bad_input(options, words, capsys):
    with pytest.raises(InputError, match=re.escape(words)):
        main(["--device=cpu", *options])
    assert capsys.readouterr().out == ""


@LOADED_BEFORE
def test_a_batch_that_does_not_fit(refused_here):
    options = ("--model=resnet8", "--batch=1000000000", "--threads=1", "--device=cpu")
    status, errors = refused_here(*options)
    assert status == 2
    words = "--batch: 1000000000 samples per pass, of resnet8 and images of 32x32x3, do"
    assert errors.startswith(f"error: {words}")
    assert "data type uint8). Pass a smaller --batch." in errors


@LOADED_BEFORE
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(refused_here):
    status, errors = refused_here("--model=resnet8", "--device=cuda")
    assert status == 2
    assert "--device cuda: torch sees no such GPU here." in errors
