#!/usr/bin/env bash
# Figure 7: the extreme eigenvalues of the Hessian around the paper's own two networks.
#
#   WEIGHTS=/data/li2018/weights IMAGES=/data/cifar10_first4000.npz examples/paper/curvature.sh
#
# WEIGHTS and IMAGES as for planes.sh. 5 x 5 points reach 0.5 from the center, over the first 200
# training images, in all weights that the directions of planes/<network>_seed1.h5 move.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
weights=${WEIGHTS:?name the folder of resnet56.t7 and resnet56_noshort.t7: WEIGHTS=... $0}
images=${IMAGES:?name the file of the images: IMAGES=... $0}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p planes

for network in resnet56_noshort resnet56; do
    file=planes/${network}_curvature.h5
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model "$network" \
        --checkpoint "$weights/$network.t7" --data "npz:$images" \
        --mean 0.4914,0.4824,0.4467 --std 0.2471,0.2435,0.2616 --limit 200 --subset first \
        --x=-0.5:0.5:5 --y=-0.5:0.5:5 --precision fp32 --out "$file"
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.hessian "$file" --limit 200 --subset first
done
