#!/usr/bin/env bash
# Figure 2: lines between a small-batch and a large-batch solution, without and with weight decay.
#
#   IMAGES=/data/cifar10_first4000.npz examples/paper/lines.sh [FOLDER]
#
# VGG-9 learns the images of IMAGES for 20 epochs in batches of 32 and of 512 (128 and 8,192 of
# 50,000 in the paper), the large one at the same learning rate. Weights go to FOLDER (default:
# build/lines); a line of 51 points through each pair, with 1,000 images at each point, and the norms
# of the weights go to examples/paper/planes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
images=${IMAGES:?name the file of the images: IMAGES=... $0}
folder=${1:-../../build/lines}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$folder" planes

for decay in 0 5e-4; do
    for batch in 32 512; do
        python -m landscape_mpi.train --model vgg9 --data "npz:$images" --epochs 20 --lr 0.02 \
            --batch-size "$batch" --weight-decay "$decay" --augment none --seed 1 --save-epochs 20 \
            --run "$folder/batch${batch}_decay$decay" > "$folder/batch${batch}_decay$decay.txt"
    done
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model vgg9 --data "npz:$images" \
        --checkpoint "$folder/batch32_decay$decay/epoch_0020.pt" \
        --to "$folder/batch512_decay$decay/epoch_0020.pt" --limit 1000 --subset first \
        --batch-norm reestimate --x=-0.5:1.5:51 --out "planes/vgg9_decay$decay.h5"
done
