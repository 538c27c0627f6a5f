#!/usr/bin/env bash
# The small networks of the zoo, trained on digits, seismic-bumps and MNIST: the error of each.
#
#   examples/zoo.sh [FOLDER]        data: LANDSCAPE_DATA=folder, else they are fetched to FOLDER/data
#
# The same command again goes on where it was stopped. THREADS=4 examples/zoo.sh: on four cores.
set -euo pipefail
folder=${1:-build/zoo}
mkdir -p "$folder/data"
data=(--data-dir "${LANDSCAPE_DATA:-$folder/data}")
if [ -z "${LANDSCAPE_DATA:-}" ]; then data+=(--download); fi

# NAME of the run, then the options of the recipe.
train() {
    local name=$1
    shift
    python -m landscape_mpi.train "$@" "${data[@]}" --seed 1 --save-epochs 0 --run "$folder/$name" \
        ${THREADS:+--threads "$THREADS"} > "$folder/$name.txt"
    awk -F, -v name="$name" 'END {
        printf "%s: %d epochs, train error %.2f %%, test error %.2f %%\n", name, $1, $4, $6
    }' "$folder/$name/log.csv"
}

train digits_resnet8 --model resnet8 --data digits --epochs 15
train digits_cnn1 --model cnn1 --data digits --epochs 20 --lr 0.02
train digits_cnn3 --model cnn3 --data digits --epochs 20 --lr 0.02
train digits_feedforward4 --model feedforward4 --data digits --epochs 40 \
    --lr 0.05 --batch-size 32
train seismic1 --model seismic1 --data seismic --epochs 60 --lr 0.02
train seismic3 --model seismic3 --data seismic --epochs 60 --lr 0.02
train mnist_cnn3 --model cnn3 --data mnist --epochs 4 --lr 0.02
train mnist_feedforward16 --model feedforward16 --data mnist --epochs 4 --lr 0.02
train mnist_feedforward16_skip --model feedforward16_skip2_14 --data mnist --epochs 4 --lr 0.02
python -m landscape_mpi.plot --weights "$folder"/mnist_feedforward16 "$folder"/mnist_feedforward16_skip
