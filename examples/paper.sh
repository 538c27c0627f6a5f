#!/usr/bin/env bash
# The paper's kind of network: the loss around ResNet-20 and ResNet-56 trained on CIFAR-10.
#
#   RESNET20=resnet20.th RESNET56=resnet56.th DATA_DIR=/scratch/data examples/paper.sh [FOLDER]
#   then: examples/paper_pictures.sh [FOLDER]
#
# The checkpoints are of networks with parameter-free shortcuts (resnet20_pad, resnet56_pad), trained
# on images normalised as below; leave out --limit for all 50,000 images.
#
# Measured: 25 minutes on 2 ranks, two cores of an Intel Xeon that did other work for half of it,
# November 2026.
set -euo pipefail
folder=${1:-build/paper}
data_dir=${DATA_DIR:?name the folder of CIFAR-10: DATA_DIR=/scratch/data $0}
read -ra on_ranks <<< "${ON_RANKS:-mpirun -n}"
declare -A checkpoint=(
    [resnet20]=${RESNET20:?name the trained weights: RESNET20=resnet20.th $0}
    [resnet56]=${RESNET56:?name the trained weights: RESNET56=resnet56.th $0}
)
mkdir -p "$folder"

# NAME of the file, the network, and where it is evaluated.
evaluate() {
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --out "$folder/$1.h5" \
        --model "$2_pad" --checkpoint "${checkpoint[$2]}" \
        --data "${DATA:-cifar10}" --data-dir "$data_dir" --limit 1000 --subset first \
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 "${@:3}"
}

for network in resnet20 resnet56; do
    evaluate "$network" "$network" --x=-1:1:31 --y=-1:1:31
    evaluate "${network}_line" "$network" --x=-1:1:101
done
