#!/usr/bin/env bash
# ResNet-20 on CIFAR-10: the loss of the first 1,000 training images on a plane of 15 x 15 points.
#
#   CHECKPOINT=resnet20.th DATA_DIR=/scratch/data examples/resnet20_surface.sh [FOLDER]
#   then: examples/resnet20_pictures.sh [FOLDER]
#
# The checkpoint is one of a network with parameter-free shortcuts (resnet20_pad) trained on
# images normalised as below; leave out --limit for all 50,000 images.
#
# Measured: 78 s on 2 ranks, two cores of an Intel Xeon (AMX), float32, November 2026.
set -euo pipefail
folder=${1:-build/resnet20}
checkpoint=${CHECKPOINT:?name the trained weights: CHECKPOINT=resnet20.th $0}
data_dir=${DATA_DIR:?name the folder of CIFAR-10: DATA_DIR=/scratch/data $0}
read -ra on_ranks <<< "${ON_RANKS:-mpirun -n}"

mkdir -p "$folder"
"${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface \
    --model resnet20_pad --checkpoint "$checkpoint" \
    --data "${DATA:-cifar10}" --data-dir "$data_dir" --limit 1000 --subset first \
    --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 \
    --x=-1:1:15 --y=-1:1:15 --out "$folder/resnet20.h5"
