#!/usr/bin/env bash
# The path of a 16-layer network, trained on MNIST, in three planes: two principal components, one
# and a random direction, two random directions.
#
#   examples/mnist_paths.sh [FOLDER]    data: LANDSCAPE_DATA=folder, else fetched to FOLDER/data
#
# 5,000 of the 60,000 training images at each of 21 x 21 points. On four ranks: RANKS=4.
set -euo pipefail
folder=${1:-build/mnist_paths}
mkdir -p "$folder/data"
data=(--data mnist --data-dir "${LANDSCAPE_DATA:-$folder/data}")
if [ -z "${LANDSCAPE_DATA:-}" ]; then data+=(--download); fi
on_ranks=(mpirun -n "${RANKS:-2}" --bind-to none python -m)

python -m landscape_mpi.train --model feedforward16 "${data[@]}" --epochs 12 --lr 0.02 --seed 1 \
    --run "$folder/run" > "$folder/run.txt"
tail -n 2 "$folder/run.txt"

plane() {
    local name=$1
    shift
    "${on_ranks[@]}" landscape_mpi.trajectory "$folder/run" "$@" --out "$folder/$name.plane.h5"
    "${on_ranks[@]}" landscape_mpi.surface --model feedforward16 "${data[@]}" --limit 5000 --subset first \
        --checkpoint "$folder/run/epoch_0012.pt" --directions "$folder/$name.plane.h5" \
        --x=fit:21 --y=fit:21 --out "$folder/$name.h5"
    python -m landscape_mpi.plot "$folder/$name.h5" --quantity train_loss --kind contour
}

plane pca
plane mixed --y-direction random
plane random --x-direction random --y-direction random
