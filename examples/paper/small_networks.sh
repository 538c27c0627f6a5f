#!/usr/bin/env bash
# Small networks, trained in minutes: what a penalty, the depth, the batch and a skip do to the loss
# around a minimum, and whether two runs look alike.
#
#   LANDSCAPE_DATA=/scratch/data examples/paper/small_networks.sh [FOLDER]
#
# Trained weights go to FOLDER (default: build/small_networks), a surface for each network to
# examples/paper/planes; what is there is gone on with. On four ranks: RANKS=4.
set -euo pipefail
planes=$(dirname "${BASH_SOURCE[0]}")/planes
data_dir=${LANDSCAPE_DATA:?name the folder of the data sets: LANDSCAPE_DATA=/scratch/data $0}
folder=${1:-build/small_networks}
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
mkdir -p "$folder" "$planes"

# NAME MODEL DATA SAMPLES, then options of the training: the last weights, and the surface around them.
# Only the first SAMPLES training samples are evaluated at each of 31 x 31 points.
network() {
    local name=$1 model=$2 data=$3 samples=$4
    shift 4
    python -m landscape_mpi.train --model "$model" --data "$data" --data-dir "$data_dir" "$@" \
        --save-epochs 0 --run "$folder/$name" --out "$folder/$name.pt" > "$folder/$name.txt"
    "${on_ranks[@]}" "${RANKS:-2}" python -m landscape_mpi.surface --model "$model" --data "$data" \
        --data-dir "$data_dir" --checkpoint "$folder/$name.pt" --limit "$samples" --subset first \
        --x=-1:1:31 --y=-1:1:31 --out "$planes/$name.h5"
}

# One convolution on MNIST: no penalty, the sum of all weights' magnitudes, and of their squares.
convolution() {
    network "cnn1_$1" cnn1 mnist 2000 --epochs 5 --lr 0.02 --weight-decay 0 --seed 1 "${@:2}"
}
convolution plain
convolution l1 --l1 0.001
convolution l2 --l2 0.001

# Seismic bumps: one and three hidden layers, and batches of three sizes.
for layers in 1 3; do
    network "seismic${layers}" "seismic$layers" seismic 1938 --epochs 60 --lr 0.02 --batch-size 64 --seed 1
done
for batch in 5 512; do
    network "seismic3_batch$batch" seismic3 seismic 1938 --epochs 60 --lr 0.02 --batch-size "$batch" --seed 1
done

# Sixteen layers on MNIST, without a skip and with one from layer 2 to layer 14.
network feedforward16 feedforward16 mnist 2000 --epochs 12 --lr 0.02 --seed 1
network feedforward16_skip feedforward16_skip2_14 mnist 2000 --epochs 12 --lr 0.02 --seed 1

# A recurrent network on Shakespeare, twice.
for seed in 1 2; do
    network "rnn140_run$seed" rnn140 shakespeare 1000 --epochs 10 --optimizer adam --lr 0.005 \
        --batch-size 64 --weight-decay 0 --seed "$seed"
done
