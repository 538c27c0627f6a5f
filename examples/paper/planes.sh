#!/usr/bin/env bash
# Figures 1 and 5: the loss of the paper's own two networks on planes along random directions.
#
#   WEIGHTS=FOLDER IMAGES=FILE.npz examples/paper/planes.sh
#
# WEIGHTS has resnet56.t7 and resnet56_noshort.t7, as the authors published them; IMAGES has CIFAR-10's
# first training images. The first 1,000 of them are evaluated at each of 31 x 31 points, in float32:
# bfloat16 triples the loss of the network without shortcuts at its center. A plane for each seed in
# SEEDS (default: 1 to 10) goes to examples/paper/planes; what is there is gone on with.
set -euo pipefail
planes=$(dirname "${BASH_SOURCE[0]}")/planes
weights=${WEIGHTS:?name the folder of resnet56.t7 and resnet56_noshort.t7: WEIGHTS=... $0}
images=${IMAGES:?name the file of the images: IMAGES=... $0}
read -ra seeds <<< "${SEEDS:-1 2 3 4 5 6 7 8 9 10}"
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$planes"

for seed in "${seeds[@]}"; do
    for network in resnet56_noshort resnet56; do
        "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model "$network" \
            --checkpoint "$weights/$network.t7" --data "npz:$images" \
            --mean 0.4914,0.4824,0.4467 --std 0.2471,0.2435,0.2616 --limit 1000 --subset first \
            --x=-1:1:31 --y=-1:1:31 --seed "$seed" --precision fp32 \
            --out "$planes/${network}_seed$seed.h5"
    done
done
