#!/usr/bin/env bash
# Figure 2: VGG-9 on the straight line from a small-batch to a large-batch solution, trained without
# and with weight decay.
#
#   IMAGES=FILE.npz examples/paper/batches.sh [FOLDER]
#
# Each network learns the images of IMAGES for 20 epochs, in batches of 32 or of 512. Checkpoints go
# to FOLDER (default: build/batches), the lines, of 1,000 images at 61 places, to
# examples/paper/planes.
set -euo pipefail
planes=$(dirname "${BASH_SOURCE[0]}")/planes
images=${IMAGES:?name the file of the images: IMAGES=... $0}
folder=${1:-build/batches}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$folder" "$planes"

for decay in 0 0.0005; do
    for batch in 32 512; do
        python -m landscape_mpi.train --model vgg9 --data "npz:$images" --epochs 20 --batch-size "$batch" \
            --weight-decay "$decay" --augment crop-flip --seed 1 --save-epochs 20 \
            --run "$folder/decay${decay}_batch$batch" > "$folder/decay${decay}_batch$batch.txt"
    done
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model vgg9 --data "npz:$images" \
        --checkpoint "$folder/decay${decay}_batch32/epoch_0020.pt" \
        --to "$folder/decay${decay}_batch512/epoch_0020.pt" \
        --limit 1000 --subset first --x=-0.5:1.5:61 --batch-norm reestimate \
        --out "$planes/vgg9_decay$decay.h5"
done
