"""The compiled part: built once for each machine, version of torch and state of the sources.

    PYTHONPATH=tests/fake_cuda python -m fake_gpus.library

builds it into build/fake_cuda/ where it is not there yet, with g++ alone: under a minute on two
cores. Status 3 says that there is no compiler.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType

SOURCES = Path(__file__).parent.parent / "source"
BUILT = Path(__file__).parents[3] / "build/fake_cuda"
NAME = "_fake_cuda"
NO_COMPILER = 3  # status of this module as a command
FLAGS = ("-std=c++20", "-O1", "-g0", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wno-attributes")


def library_path() -> Path:
    """Return where the library lies, or will."""
    return BUILT / _state() / f"{NAME}.so"


@functools.cache
def load_library() -> ModuleType:
    """Load the library, before torch asks whether there is CUDA.

    Raises:
        ImportError: If it is not built.
    """
    path = library_path()
    if not path.exists():
        raise ImportError(
            f"FAKE_GPUS={os.environ.get('FAKE_GPUS')}, but {path} is not built. Build it: "
            f"PYTHONPATH={SOURCES.parent} {sys.executable} -m fake_gpus.library"
        )
    loader = importlib.machinery.ExtensionFileLoader(NAME, str(path))
    spec = importlib.util.spec_from_file_location(NAME, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def has_compiler() -> bool:
    """Return whether the library can be built here."""
    return shutil.which(_compiler()) is not None


def build_library() -> Path:
    """Build the library unless it is there, and return its path."""
    path = library_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            made = _link(_compile(Path(folder)), Path(folder) / path.name)
            os.replace(made, path)  # whole or not at all, also where two build at once
    return path


def _compiler() -> str:
    return os.environ.get("CXX", "g++")


def _torch() -> Path:
    spec = importlib.util.find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@functools.cache
def _state() -> str:
    """Return a word for all that the library depends on."""
    digest = hashlib.sha256(" ".join(FLAGS).encode())
    for path in sorted(SOURCES.glob("*.[ch]*")):
        digest.update(path.name.encode() + path.read_bytes())
    torch = importlib.metadata.version("torch")
    return f"torch-{torch}-{sys.implementation.cache_tag}-{digest.hexdigest()[:12]}"


def _compile(folder: Path) -> list[Path]:
    """Compile every file, one on each core, and return the objects."""
    include = _torch() / "include"
    places = (include, include / "torch/csrc/api/include", sysconfig.get_path("include"))
    options = [*FLAGS, *(word for place in places for word in ("-isystem", str(place)))]
    waiting = {path: folder / f"{path.stem}.o" for path in sorted(SOURCES.glob("*.cpp"))}
    objects, running = list(waiting.values()), []
    for path, made in waiting.items():
        if len(running) == (os.cpu_count() or 1):
            _wait(running.pop(0))
        command = [_compiler(), *options, "-c", str(path), "-o", str(made)]
        running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    for process in running:
        _wait(process)
    return objects


def _wait(process: subprocess.Popen[str]) -> None:
    words = process.communicate()[1]
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, process.args))}\n{words}")


def _link(objects: list[Path], made: Path) -> Path:
    folder = _torch() / "lib"
    libraries = ["-lc10", "-ltorch_cpu", "-ltorch_python", f"-L{folder}", f"-Wl,-rpath,{folder}"]
    command = [_compiler(), "-shared", *map(str, objects), *libraries, "-o", str(made)]
    _wait(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    return made


def main() -> int:
    """Build the library; return the status of the process."""
    if not library_path().exists() and not has_compiler():
        print(f"the fake GPUs need a C++ compiler, and there is no {_compiler()}", file=sys.stderr)
        return NO_COMPILER
    print(build_library())
    return 0


if __name__ == "__main__":
    sys.exit(main())
