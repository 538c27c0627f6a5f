#!/usr/bin/env bash
# The network without shortcuts on 201 x 201 points, with --adaptive, --rtol and --atol.
#
#   WEIGHTS=FOLDER IMAGES=FILE.npz examples/paper/adaptive_plane.sh [FOLDER]
#
# WEIGHTS has resnet56_noshort.t7, as the authors of the paper published it; IMAGES has CIFAR-10's first
# training images, of which the first 4,000 are used. The surface and its picture go to FOLDER (default: the
# present folder); a surface that is there is gone on with.
set -euo pipefail
folder=${1:-.}
weights=${WEIGHTS:?name the folder of resnet56_noshort.t7: WEIGHTS=... $0}
images=${IMAGES:?name the file of the images: IMAGES=... $0}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$folder"

"${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model resnet56_noshort \
    --checkpoint "$weights/resnet56_noshort.t7" --data "npz:$images" \
    --mean 0.4914,0.4824,0.4467 --std 0.2471,0.2435,0.2616 --limit 4000 --subset first \
    --x=-1:1:201 --y=-1:1:201 --seed 1 --precision fp32 --splits train \
    --adaptive 0.03 --rtol 0.02 --atol 0.002 --out "$folder/adaptive_plane.h5"
python -m landscape_mpi.plot "$folder/adaptive_plane.h5" --quantity train_loss --kind filled --dpi 150 \
    --label "ResNet-56 without shortcuts" --out-dir "$folder"
