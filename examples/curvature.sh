#!/usr/bin/env bash
# What the paper's figure 7 asks, at a size for two cores: a deep network with and without
# shortcuts, trained on the handwritten digits; where is its surface convex in all directions?
#
#   examples/curvature.sh [FOLDER]      on four ranks: RANKS=4
set -euo pipefail
folder=${1:-build/curvature}
mkdir -p "$folder"
on_ranks=(mpirun -n "${RANKS:-2}" --bind-to none python -m)

for model in resnet56 resnet56_noshort; do
    python -m landscape_mpi.train --model "$model" --data digits --epochs 30 --lr 0.02 --seed 1 \
        --save-epochs 30 --run "$folder/$model" | tail -n 3
    "${on_ranks[@]}" landscape_mpi.surface --model "$model" --data digits \
        --checkpoint "$folder/$model/epoch_0030.pt" --x=-1:1:15 --y=-1:1:15 --out "$folder/$model.h5"
    "${on_ranks[@]}" landscape_mpi.hessian "$folder/$model.h5" --limit 500 --subset first --stride 2
    python -m landscape_mpi.plot "$folder/$model.h5" --quantity train_loss,hessian_ratio --kind filled
    python -m landscape_mpi.surface --summary "$folder/$model.h5"
done
