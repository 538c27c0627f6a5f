#!/usr/bin/env bash
# The small networks of the zoo, trained: a table of their errors and the time each took.
#
#   examples/zoo.sh [FOLDER]        data: LANDSCAPE_DATA=folder, else they are fetched to FOLDER/data
#
# The same command again goes on where it was stopped. THREADS=4 examples/zoo.sh: on four cores.
# examples/zoo.md has the table as it was measured.
set -euo pipefail
folder=${1:-build/zoo}
mkdir -p "$folder/data"
data=(--data-dir "${LANDSCAPE_DATA:-$folder/data}")
if [ -z "${LANDSCAPE_DATA:-}" ]; then data+=(--download); fi

# NAME of the run, then the options of the recipe: a row of the table.
train() {
    local name=$1 trivial
    shift
    python -m landscape_mpi.train "$@" "${data[@]}" --seed 1 --save-epochs 0 --run "$folder/$name" \
        ${THREADS:+--threads "$THREADS"} > "$folder/$name.txt"
    trivial=$(sed -n 's/.*commonest class.* test \([0-9.]* %\).*/\1/p' "$folder/$name.txt")
    awk -F, -v name="$name" -v options="$*" -v trivial="$trivial" 'NR > 1 { seconds += $7 } END {
        printf "| %s | `%s` | %.2f %% | %.4f | %.2f %% | %s | %.0f s |\n", \
            name, options, $4, $5, $6, trivial, seconds
    }' "$folder/$name/log.csv" | tee -a "$folder/table.md"
}

{
    echo "| run | options | train error | test loss, nat | test error | commonest class alone | time |"
    echo "|---|---|---|---|---|---|---|"
} | tee "$folder/table.md"
train digits_resnet8 --model resnet8 --data digits --epochs 15
train digits_cnn1 --model cnn1 --data digits --epochs 20 --lr 0.02
train digits_cnn3 --model cnn3 --data digits --epochs 20 --lr 0.02
train digits_feedforward4 --model feedforward4 --data digits --epochs 40 --lr 0.05 --batch-size 32
train seismic1 --model seismic1 --data seismic --epochs 60 --lr 0.02
train seismic3 --model seismic3 --data seismic --epochs 60 --lr 0.02
train mnist_cnn3 --model cnn3 --data mnist --epochs 12 --optimizer adam --lr 0.003 --weight-decay 1e-4 \
    --batch-size 64 --lr-drops 0.6,0.85
train mnist_feedforward16 --model feedforward16 --data mnist --epochs 15 --lr 0.02
train mnist_feedforward16_skip --model feedforward16_skip2_14 --data mnist --epochs 15 --lr 0.02
for cell in rnn lstm; do
    train "shakespeare_${cell}140" --model "${cell}140" --data shakespeare --epochs 20 \
        --optimizer adam --lr 0.005 --batch-size 64 --weight-decay 0
done
train cifar10_resnet20 --model resnet20 --data cifar10 --epochs 18 --lr-drops 14 --precision bf16
python -m landscape_mpi.plot --weights "$folder"/mnist_feedforward16 "$folder"/mnist_feedforward16_skip
