#!/usr/bin/env bash
# Pictures of what examples/paper.sh computed; in the folder "paper" of FOLDER, contours at the levels of
# the paper's program. Needs neither torch nor MPI.
#
#   examples/paper_pictures.sh [FOLDER]
#
# Measured: 6 s on one core of an Intel Xeon, November 2026.
set -euo pipefail
cd "${1:-build/paper}"
every_half=$(LC_ALL=C seq -s, 0.1 0.5 9.6)

python -m landscape_mpi.plot resnet20.h5 resnet56.h5 --compare --quantity train_loss \
    --kind contour --linear --levels "$every_half" --dpi 90 --out-dir paper
python -m landscape_mpi.plot resnet20.h5 resnet56.h5 --compare --quantity train_loss \
    --kind contour,surface --dpi 90
python -m landscape_mpi.plot resnet20_line.h5 resnet56_line.h5 --compare --dpi 90
python -m landscape_mpi.vtp resnet56.h5 --range :10 --render resnet56.png
