#!/usr/bin/env bash
# Pictures of the surface that examples/resnet20_surface.sh computed.
#
#   examples/resnet20_pictures.sh [FOLDER]
#
# Measured: 4 s on one core of an Intel Xeon, November 2026.
set -euo pipefail
folder=${1:-build/resnet20}

python -m landscape_mpi.plot "$folder/resnet20.h5"
python -m landscape_mpi.vtp "$folder/resnet20.h5" --log
