"""Oracle: the modules that Python itself holds after whole runs of the commands that compute.

A thousand ranks read a thousand times whatever such a run imports, and nodes may lack it.
"""

import subprocess
import sys

NETWORK = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""
RUN = """
import runpy, sys

def run(*argv):
    sys.argv = [f"landscape_mpi.{argv[0]}", *argv[1:]]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, ended.code

model = ("--model=network:build", "--data=digits")
run("train", *model, "--epochs=1", "--run=run")
place = ("--checkpoint=run/epoch_0001.pt", "--limit=50", "--x=0:1:2", "--y=0")
run("surface", *model, *place, "--out=a.h5")
run("hessian", "a.h5", "--limit=50")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
FOR_PICTURES = {"vtk", "vtkmodules", "plotly", "matplotlib", "gudhi", "pandas", "PIL", "xarray"}


def test_what_computes_imports_nothing_for_pictures(tmp_path):
    (tmp_path / "network.py").write_text(NETWORK)
    done = subprocess.run(
        [sys.executable, "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"torch", "h5py", "mpi4py", "landscape_mpi"} <= imported
    assert not imported & FOR_PICTURES
