#!/usr/bin/env bash
# The pictures of examples/paper/README.md, from surface files. Needs neither torch nor MPI.
#
#   SURFACES=FOLDER examples/paper/pictures.sh [FOLDER]
#
# SURFACES has the surfaces that the authors of the paper published: resnet20.h5, resnet56.h5,
# resnet110.h5, the same with _noshort, and resnet56_noshort_201.h5. Without it, only the pictures of
# the files in examples/paper/planes are drawn. Pictures go to FOLDER (default: examples/paper).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
folder=$(realpath -m "${1:-.}")
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# NAME of the picture, then words of landscape_mpi.plot that draw one of QUANTITY.
draw() {
    local name=$1 drawn
    shift
    rm -rf "$work/drawn"
    python -m landscape_mpi.plot "$@" --compare --quantity "${QUANTITY:-train_loss}" --dpi 100 --out-dir "$work/drawn" \
        > /dev/null
    drawn=("$work"/drawn/*.png)
    keep "$name" "${drawn[@]}"
}

# NAME, then PNGs: side by side on white, 1,500 pixels wide at most, in few colours.
keep() {
    python - "$folder/$1.png" "${@:2}" << 'END'
import sys
from PIL import Image
target, *sources = sys.argv[1:]
pictures = [Image.open(source).convert("RGBA") for source in sources]
sides = [sum(each.width for each in pictures), max(each.height for each in pictures)]
whole = Image.new("RGBA", sides, "white")
left = 0
for each in pictures:
    whole.alpha_composite(each, (left, (sides[1] - each.height) // 2))
    left += each.width
whole.thumbnail((1500, 1500))
colors = whole.convert("RGB")
colors = colors.quantize(palette=colors.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
colors.save(target, optimize=True)
END
    echo "$folder/$1.png"
}

of_the_authors() {
    local network
    for network in resnet56_noshort_201 resnet56; do
        python -m landscape_mpi.vtp "$SURFACES/$network.h5" --look paper --render "$work/$network.png" \
            --out "$work/$network.vtp" > /dev/null
    done
    keep figure_1 "$work/resnet56_noshort_201.png" "$work/resnet56.png"
    draw figure_5 "$SURFACES"/resnet{20,56,110}.h5 "$SURFACES"/resnet{20,56,110}_noshort.h5 --kind filled \
        --label ResNet-20 --label ResNet-56 --label ResNet-110 \
        --label "20, without shortcuts" --label "56, without shortcuts" --label "110, without shortcuts"
    draw rings "$SURFACES"/resnet{56,110}{,_noshort}.h5 --kind ring --label ResNet-56 \
        --label "56, without shortcuts" --label ResNet-110 --label "110, without shortcuts"
}

of_small_networks() {
    draw penalties planes/cnn1_{plain,l1,l2}.h5 --kind filled \
        --label "no penalty" --label L1 --label L2
    draw depth planes/seismic{1,3}.h5 --kind filled --range 0:1 --label "1 hidden layer" --label "3 hidden layers"
    draw batches planes/seismic3_batch5.h5 planes/seismic3.h5 planes/seismic3_batch512.h5 --kind filled \
        --range 0:1 \
        --label "batch 5" --label "batch 64" --label "batch 512"
    draw skip planes/feedforward16{,_skip}.h5 --kind filled \
        --label "16 layers" --label "with a skip from 2 to 14"
    draw two_runs planes/rnn140_run{1,2}.h5 --kind filled --label "first run" --label "second run"
}

of_batch_sizes() {
    QUANTITY=train_loss,train_error draw batch_sizes planes/vgg9_decay{0,0.0005}.h5 \
        --label "without weight decay" --label "weight decay 0.0005"
    python -m landscape_mpi.plot --weights runs/decay{0,0.0005}_batch{32,512} --dpi 100 --out-dir "$work" > /dev/null
    keep weights "$work"/weights_*.png
}

of_trajectories() {
    draw trajectory planes/trajectory_{random,pca}.h5 --kind contour \
        --label "random directions" --label "principal components"
}

if [ -n "${SURFACES:-}" ]; then of_the_authors; fi
QUANTITY=hessian_min draw curvature planes/resnet56_{noshort_,}curvature.h5 --kind heatmap \
    --label "ResNet-56 without shortcuts" --label "ResNet-56"
of_batch_sizes
of_trajectories
of_small_networks
