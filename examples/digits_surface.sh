#!/usr/bin/env bash
# A small residual network on handwritten digits: trained, then its loss on a plane of 31 x 31 points.
#
#   examples/digits_surface.sh [FOLDER]        then: examples/digits_pictures.sh [FOLDER]
#
# Measured: 51 s for training and surface (make demo: 57 s with the pictures) on two cores of an Intel Xeon, November 2026.
set -euo pipefail
folder=${1:-build/demo}
read -ra on_ranks <<< "${ON_RANKS:-mpirun -n}" # a queue's launcher: ON_RANKS='srun -n'

mkdir -p "$folder"
rm -f "$folder"/resnet8*
python -m landscape_mpi.train --model resnet8 --data digits --epochs 15 --seed 1 \
    --out "$folder/resnet8.pt"
"${on_ranks[@]}" 2 python -m landscape_mpi.surface \
    --model resnet8 --checkpoint "$folder/resnet8.pt" --data digits --splits train,test \
    --x=-1:1:31 --y=-1:1:31 --normalize filter --ignore bias,bn --seed 1 \
    --round-seconds 5 --out "$folder/resnet8.h5"
