#!/usr/bin/env bash
# Curves of low loss between two solutions: the straight line between them, a trained Bezier curve
# and a trained polygonal chain, for networks on digits, MNIST and CIFAR-10, and a page of numbers.
#
#   examples/connectivity.sh [FOLDER] [PART ...]    data: LANDSCAPE_DATA=folder, else fetched to
#                                                   FOLDER/data
#
# The parts are digits, mnist and cifar10, each a function below, all of them where none is named. The
# same command again goes on where it was stopped. On four ranks: RANKS=4. A short try:
# EPOCHS_PERCENT=10 POINTS=7 GRID=9 (places along a curve, and along an axis of a plane).
# examples/connectivity.md has what was measured, and on which machine.
set -euo pipefail
folder=${1:-build/connectivity}
shift $(($# > 0))
parts=("$@")
if [ $# = 0 ]; then parts=(digits mnist cifar10); fi
mkdir -p "$folder/data"
downloaded=(--data-dir "${LANDSCAPE_DATA:-$folder/data}")
if [ -z "${LANDSCAPE_DATA:-}" ]; then downloaded+=(--download); fi
read -ra on_ranks <<< "${ON_RANKS:-mpirun --bind-to none -n}"
on_ranks+=("${RANKS:-2}" python -m)

# NAME of what is made, then a command: its time goes into steps.csv, its log into NAME.txt. What a
# file says was made is not made again.
step() {
    local name=$1 began=$SECONDS
    shift
    if [ -e "$folder/$name.done" ]; then return; fi
    echo "$name: $*"
    "$@" > "$folder/$name.txt"
    echo "$name,$((SECONDS - began)),${RANKS:-2},\"$*\"" >> "$folder/steps.csv"
    touch "$folder/$name.done"
}

# How many epochs a run of so many has.
epochs() {
    local n=$(($1 * ${EPOCHS_PERCENT:-100} / 100))
    echo $((n > 0 ? n : 1))
}

# NAME, then network and data: two solutions by the recipe after --, from two seeds.
solutions() {
    local name=$1 seed
    shift
    for seed in 1 2; do
        step "$name-$seed" "${on_ranks[@]}" landscape_mpi.train "$@" --seed "$seed" \
            --out "$folder/$name-$seed.pt"
    done
}

# NAME, EPOCHS and LR of the curves, places along them, training samples at each (0: all), then network
# and data: both kinds of curve, and their evaluation.
curves() {
    local name=$1 n_epochs=$2 lr=$3 n_points=$4 limit=$5 kind
    shift 5
    local few=()
    if [ "$limit" -gt 0 ]; then few=(--limit "$limit" --subset first); fi
    for kind in bezier polygon; do
        step "$name-$kind" "${on_ranks[@]}" landscape_mpi.curve train "$@" --kind "$kind" --bends 3 \
            --start "$folder/$name-1.pt" --end "$folder/$name-2.pt" \
            --epochs "$(epochs "$n_epochs")" --lr "$lr" --seed 1 --out "$folder/$name-$kind.pt"
        step "$name-$kind-along" "${on_ranks[@]}" landscape_mpi.curve evaluate \
            "$folder/$name-$kind.pt" --points "${POINTS:-$n_points}" "${few[@]}" \
            --out "$folder/$name-$kind.h5"
        python -m landscape_mpi.plot "$folder/$name-$kind.h5" --dpi 110
    done
}

# NAME, points along an axis, training samples at each, then network and data: the plane of the Bezier
# curve.
plane() {
    local name=$1 n=$2 limit=$3
    shift 3
    step "$name-plane" python -m landscape_mpi.curve plane "$folder/$name-bezier.pt" \
        --out "$folder/$name-plane.h5"
    step "$name-surface" "${on_ranks[@]}" landscape_mpi.surface --directions "$folder/$name-plane.h5" \
        --batch-norm reestimate "$@" --checkpoint "$folder/$name-bezier.pt" --limit "$limit" --subset first \
        --x=fit:"${GRID:-$n}" --y=fit:"${GRID:-$n}" --out "$folder/$name-surface.h5"
    python -m landscape_mpi.plot "$folder/$name-surface.h5" --quantity train_loss --kind contour --dpi 110
}

digits() {
    local what=(--model resnet8 --data digits)
    solutions digits "${what[@]}" --epochs "$(epochs 15)"
    curves digits 60 0.03 61 0 "${what[@]}"
    plane digits 21 1000 "${what[@]}"
}

mnist() {
    local what=(--model cnn3 --data mnist "${downloaded[@]}")
    solutions mnist "${what[@]}" --epochs "$(epochs 5)" --optimizer adam --lr 0.003 \
        --weight-decay 1e-4 --batch-size 64 --lr-drops 0.6
    curves mnist 6 0.02 31 5000 "${what[@]}" --weight-decay 1e-4
}

cifar10() {
    local what=(--model resnet20 --data cifar10 "${downloaded[@]}")
    solutions cifar10 "${what[@]}" --epochs "$(epochs 2)" --lr-drops 0.5 --precision bf16
    # With a learning rate of 0.05, the Bezier curve ended 1.39 points above the worse end: its bend
    # has a smaller weight in the points of the curve than a polygon's, so its gradients are smaller.
    curves cifar10 3 0.1 7 2000 "${what[@]}" --precision bf16
}

for part in "${parts[@]}"; do "$part"; done
python "$(dirname "$0")/connectivity.py" "$folder"
