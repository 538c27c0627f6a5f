#!/usr/bin/env bash
# One network, an ensemble of members along its last epochs, and independent networks, each for as
# many epochs in all: a table of their test errors, and a figure, for digits and for MNIST.
#
#   examples/ensemble.sh [FOLDER]    data: LANDSCAPE_DATA=folder, else fetched to FOLDER/data
#
# Digits alone, seconds: DATA=digits examples/ensemble.sh. A tenth of all epochs: SHORT=1. The same
# command again goes on where it was stopped. On four ranks: ON_RANKS='mpirun -n 4'.
set -euo pipefail
folder=${1:-build/ensemble}
read -ra names <<< "${DATA:-digits mnist}"
read -ra on_ranks <<< "${ON_RANKS:-}"
mkdir -p "$folder/data"

# NAME MODEL LR EPOCHS START CYCLE MEMBERS HIGH: the members are collected from epoch START to EPOCHS
# with a learning rate from HIGH to a hundredth of it and back; as many independent networks have an
# equal part of EPOCHS each.
compare() {
    local name=$1 model=$2 lr=$3 epochs=$4 start=$5 cycle=$6 members=$7 high=$8 place="$folder/$1"
    local from=(--model "$model" --data "$name") independent=() k
    if [ "$name" != digits ]; then from+=(--data-dir "${LANDSCAPE_DATA:-$folder/data}"); fi
    if [ "$name" != digits ] && [ -z "${LANDSCAPE_DATA:-}" ]; then from+=(--download); fi
    mkdir -p "$place"
    log="$place/log.txt"
    python_on_ranks train "${from[@]}" --lr "$lr" --epochs "$epochs" --seed 1 \
        --save-epochs "$start,$epochs" --run "$place/one"
    for ((k = 1; k <= members; k++)); do
        python_on_ranks train "${from[@]}" --lr "$lr" --epochs $((epochs / members)) \
            --seed $((k + 1)) --save-epochs $((epochs / members)) --run "$place/independent_$k"
        independent+=("$place/independent_$k/$(printf 'epoch_%04d.pt' $((epochs / members)))")
    done
    python_on_ranks ensemble "${from[@]}" --start "$place/one/$(printf 'epoch_%04d.pt' "$start")" \
        --epochs $((epochs - start)) --cycle "$cycle" --lr "$high" --lr-low "${high}e-2" --seed 1 \
        --single "$place/one/$(printf 'epoch_%04d.pt' "$epochs")" \
        --independent "${independent[@]}" --run "$place/fge"
    python -m landscape_mpi.plot --ensemble "$place/fge" --dpi 110 >> "$log"
    echo "| $name, $model | networks | epochs in all | test loss, nat | test error |"
    echo "|---|---|---|---|---|"
    awk -F, 'NR > 1 { printf "| %s | %d | %s | %.4f | %.2f %% |\n", $1, $2, $3, $4, $5 }' \
        "$place/fge/comparison.csv"
    echo
}

python_on_ranks() {
    local command=$1
    shift
    "${on_ranks[@]}" python -m "landscape_mpi.$command" "$@" >> "$log"
}

for name in "${names[@]}"; do
    case $name${SHORT:+ short} in
        digits) compare digits cnn3 0.02 40 30 2 5 0.05 ;;
        "digits short") compare digits cnn3 0.02 4 2 1 2 0.05 ;;
        mnist) compare mnist cnn3 0.02 8 6 0.5 4 0.05 ;;
        "mnist short") compare mnist cnn3 0.02 2 1 0.5 2 0.05 ;;
        *) echo "DATA: $name is neither digits nor mnist." >&2; exit 2 ;;
    esac
done | tee "$folder/table.md"
echo $SECONDS > "$folder/seconds.txt"
