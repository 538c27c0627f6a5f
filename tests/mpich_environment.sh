#!/usr/bin/env bash
# Make an environment on the MPICH of PyPI, beside .venv, whose other packages it uses: for tests.
#
#   tests/mpich_environment.sh FOLDER      then: LANDSCAPE_MPICH=FOLDER pytest tests/infrastructure/test_mpich.py
#
# MPI, mpi4py and HDF5 are its own, since those of .venv may be made for another MPI.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly PYTHON=.venv/bin/python

main() {
    if [ $# != 1 ]; then sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; fi
    if [ -x "$1/bin/mpiexec" ]; then return; fi
    $PYTHON -m venv --clear "$1"
    local own
    mapfile -t own < <(grep -hE '^(mpich|mpi4py|h5py)==' requirements.lock requirements-mpi.lock)
    "$1/bin/python" -m pip install -q --disable-pip-version-check --no-deps "${own[@]}"
    packages_of $PYTHON > "$(packages_of "$1/bin/python")/others.pth"
}

packages_of() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

main "$@"
