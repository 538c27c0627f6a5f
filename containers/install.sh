#!/usr/bin/env bash
# Install this program into the container that is being built: called by Containerfile and landscape_mpi.def.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rm -rf .venv build # of the machine that builds
apt-get update -qq
# As in launch/set_up.sh, and numactl for launch/bind_rank.sh.
apt-get install -y -qq --no-install-recommends ca-certificates make numactl python3 python3-dev python3-venv \
    gcc libc6-dev openmpi-bin libopenmpi-dev libhdf5-openmpi-dev
LANDSCAPE_MPI_FROM=system launch/set_up.sh
rm -rf /var/lib/apt/lists/*
