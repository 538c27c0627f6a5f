"""Python functions in an installation that lacks an optional package.

Oracle: the name of the extra that setup.cfg gives the package. A process in which Python cannot
import the package stands for the installation.
"""

import subprocess
import sys

import numpy as np
import pytest
import surface_files

CALLED_WITHOUT = """
import sys

sys.modules[{package!r}] = None

import torch

import landscape_mpi as lm

network, data = torch.nn.Linear(2, 1), [(torch.ones(3, 2), torch.ones(3, 1))]
try:
    {call}
except ValueError as problem:
    print(problem)
"""
COMPUTED = {
    "compute_surface": "lm.compute_surface(network, data, loss='mse', x=(-1, 1, 3), out='a.h5')",
    "compute_hessian": "lm.compute_hessian('there.h5')",
    "project_trajectory": "lm.project_trajectory([network, network])",
    "train_curve": "lm.train_curve(network, data, loss='mse', start=network, end=network)",
}
CALLS = [(name, call, "mpi4py", "compute") for name, call in COMPUTED.items()]
CALLS += [("to_xarray", "lm.open_surface('there.h5').to_xarray()", "xarray", "xarray")]


@pytest.mark.parametrize(("name", "call", "package", "extra"), CALLS, ids=[c[0] for c in CALLS])
def test_a_function_names_the_extra_of_a_missing_package(name, call, package, extra, tmp_path):
    axis = np.linspace(-1, 1, 3)
    values = {"train_loss": np.ones((3, 3))}
    surface_files.write_surface(tmp_path / "there.h5", axis, axis, values)
    code = CALLED_WITHOUT.format(package=package, call=call)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"{name} needs {package}, which is not installed here. Install it with pip install "
        f"'landscape_mpi[{extra}]'.\n"
    )


def test_a_package_that_is_there_and_broken_keeps_its_own_words(tmp_path):
    """Another installation would not help."""
    (tmp_path / "xarray.py").write_text("import no_such_part")
    axis = np.linspace(-1, 1, 3)
    surface_files.write_surface(tmp_path / "there.h5", axis, axis, {"train_loss": np.ones((3, 3))})
    code = CALLED_WITHOUT.replace("sys.modules[{package!r}] = None\n", "")
    code = code.format(call="lm.open_surface('there.h5').to_xarray()")
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "to_xarray needs xarray, which is installed here but cannot be imported "
        "(ModuleNotFoundError: No module named 'no_such_part'). Install it again: pip install "
        "--force-reinstall xarray.\n"
    )
