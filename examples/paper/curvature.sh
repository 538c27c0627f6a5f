#!/usr/bin/env bash
# Figure 7: the extreme eigenvalues of the Hessian on a plane of each of the paper's two networks.
#
#   WEIGHTS=FOLDER IMAGES=FILE.npz examples/paper/curvature.sh
#
# WEIGHTS and IMAGES are those of planes.sh. The loss and both ends of the spectrum of the first 128
# images at each of 5 x 5 points go to examples/paper/planes; what is there is gone on with.
set -euo pipefail
planes=$(dirname "${BASH_SOURCE[0]}")/planes
weights=${WEIGHTS:?name the folder of resnet56.t7 and resnet56_noshort.t7: WEIGHTS=... $0}
images=${IMAGES:?name the file of the images: IMAGES=... $0}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$planes"

for network in resnet56_noshort resnet56; do
    # At the center without shortcuts, the smallest eigenvalue is less than a thousandth of the
    # largest. The tolerance is then relative to this thousandth, so it has to be smaller.
    tolerance=0.01
    [[ $network = *_noshort ]] && tolerance=0.005
    out=$planes/${network}_curvature.h5
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model "$network" \
        --checkpoint "$weights/$network.t7" --data "npz:$images" \
        --mean 0.4914,0.4824,0.4467 --std 0.2471,0.2435,0.2616 --limit 128 --subset first \
        --x=-0.5:0.5:5 --y=-0.5:0.5:5 --seed 1 --precision fp32 --out "$out"
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.hessian "$out" --limit 128 --subset first \
        --tolerance "$tolerance"
done
