#!/usr/bin/env bash
# Compute the files for the pictures of examples/gallery/: train networks on the handwritten digits,
# with and without shortcuts, and run surface, hessian, trajectory, curve and ensemble on them.
# examples/gallery_pictures.sh draws the files.
#
#   examples/gallery.sh [FOLDER]        on four ranks: RANKS=4
#
# The script does not compute existing files again.
set -euo pipefail
folder=${1:-build/gallery}
mkdir -p "$folder"
cd "$folder"
on_ranks=(mpirun --bind-to none -n "${RANKS:-2}" python -m)
data=(--data digits)

# Arguments: FILE and the command that makes it. The output of the command goes into FILE.txt.
make_file() {
    local file=$1
    shift
    if [ -e "$file.done" ]; then return; fi
    echo "$file"
    "$@" > "$file.txt"
    touch "$file.done"
}

# Arguments: NAME MODEL SEED. Train for 15 epochs, and keep the weights of each epoch.
network() {
    make_file "$1" python -m landscape_mpi.train --model "$2" "${data[@]}" --epochs 15 --lr 0.02 \
        --seed "$3" --run "$1"
}

# Arguments: NAME MODEL RUN and the points. Compute a surface around the last weights of a run.
surface() {
    local name=$1 model=$2 run=$3
    shift 3
    make_file "$name.h5" "${on_ranks[@]}" landscape_mpi.surface --model "$model" "${data[@]}" \
        --checkpoint "$run/epoch_0015.pt" --out "$name.h5" "$@"
}

networks_and_planes() {
    network with resnet20 1
    network other resnet20 2
    network without resnet20_noshort 1
    surface resnet20 resnet20 with --x=-1:1:41 --y=-1:1:41
    surface resnet20_noshort resnet20_noshort without --x=-1:1:41 --y=-1:1:41
}

lines() {
    surface repeats resnet20 with --x=-1:1:41 --repeats 10 --splits train
    surface between resnet20 with --to other/epoch_0015.pt --x=-0.25:1.25:61 \
        --batch-norm reestimate
}

curvature() {
    surface curvature resnet20_noshort without --x=-1:1:13 --y=-1:1:13 --limit 300 --subset first
    make_file curvature "${on_ranks[@]}" landscape_mpi.hessian curvature.h5 --limit 300 --subset first
    make_file spectrum.h5 "${on_ranks[@]}" landscape_mpi.hessian curvature.h5 --limit 300 --subset first \
        --spectrum=0,0 --out spectrum.h5
}

path_of_a_training() {
    make_file plane.h5 "${on_ranks[@]}" landscape_mpi.trajectory with --out plane.h5
    surface path resnet20 with --directions plane.h5 --x=fit:25 --y=fit:25
}

curve_between_solutions() {
    local of_network=(--model resnet20 "${data[@]}")
    make_file curve.pt "${on_ranks[@]}" landscape_mpi.curve train "${of_network[@]}" --kind bezier --bends 3 \
        --start with/epoch_0015.pt --end other/epoch_0015.pt --epochs 30 --lr 0.03 --seed 1 --out curve.pt
    make_file along.h5 "${on_ranks[@]}" landscape_mpi.curve evaluate curve.pt --points 41 --out along.h5
    make_file curve.plane.h5 python -m landscape_mpi.curve plane curve.pt --out curve.plane.h5
    make_file modes.h5 "${on_ranks[@]}" landscape_mpi.surface --directions curve.plane.h5 \
        --batch-norm reestimate "${of_network[@]}" --checkpoint curve.pt --limit 1000 --subset first \
        --x=fit:21 --y=fit:21 --out modes.h5
}

barriers_between_solutions() {
    local seed solutions=()
    for seed in 1 2 3 4; do
        network "small$seed" feedforward4 "$seed"
        solutions+=("small$seed/epoch_0015.pt")
    done
    make_file barriers.h5 "${on_ranks[@]}" landscape_mpi.curve barriers --model feedforward4 \
        "${data[@]}" "${solutions[@]}" --match weights --points 11 --out barriers.h5
}

ensemble() {
    make_file fge "${on_ranks[@]}" landscape_mpi.ensemble --model resnet20 "${data[@]}" \
        --start with/epoch_0010.pt --epochs 10 --cycle 2 --lr 0.02 --lr-low 0.0002 --seed 1 \
        --single with/epoch_0015.pt --independent other/epoch_0015.pt --run fge
}

# Compute surfaces along the same directions around the weights of several epochs.
surfaces_of_epochs() {
    local epoch
    for epoch in 00 01 02 04 06 08 10 12 15; do
        make_file "epoch_$epoch.h5" "${on_ranks[@]}" landscape_mpi.surface --model resnet20 "${data[@]}" \
            --checkpoint "with/epoch_00$epoch.pt" --x=-1:1:21 --y=-1:1:21 --limit 500 --subset first \
            --out "epoch_$epoch.h5"
    done
}

networks_and_planes
lines
curvature
path_of_a_training
curve_between_solutions
barriers_between_solutions
ensemble
surfaces_of_epochs
