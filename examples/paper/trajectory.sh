#!/usr/bin/env bash
# Figures 8 and 9: the trajectory of a training on CIFAR-10, in the plane of its two principal
# components and in a plane of two random directions.
#
#   IMAGES=FILE.npz examples/paper/trajectory.sh [FOLDER]
#
# ResNet-20 learns the images of IMAGES for 40 epochs; the learning rate is divided by 10 after 20
# and 30. Checkpoints go to FOLDER (default: build/trajectory), the surfaces, with 1,000 images at
# each of 25 x 25 points, to examples/paper/planes.
set -euo pipefail
planes=$(dirname "${BASH_SOURCE[0]}")/planes
images=${IMAGES:?name the file of the images: IMAGES=... $0}
folder=${1:-build/trajectory}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$folder" "$planes"

python -m landscape_mpi.train --model resnet20 --data "npz:$images" --epochs 40 --lr-drops 20,30 \
    --batch-size 128 --augment crop-flip --seed 1 --run "$folder/run" > "$folder/run.txt"

# NAME, then the directions of landscape_mpi.trajectory.
plane() {
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.trajectory "$folder/run" "${@:2}" \
        --out "$folder/$1.plane.h5"
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model resnet20 \
        --checkpoint "$folder/run/epoch_0040.pt" --data "npz:$images" --limit 1000 --subset first \
        --directions "$folder/$1.plane.h5" --x=fit:25 --y=fit:25 --out "$planes/trajectory_$1.h5"
}
plane pca
plane random --x-direction random --y-direction random
