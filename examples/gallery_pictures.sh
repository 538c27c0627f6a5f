#!/usr/bin/env bash
# Draw the pictures of examples/gallery/ from the files of examples/gallery.sh, and write the page
# that shows each of them with its command. This needs neither torch nor MPI. The last picture needs
# Chromium.
#
#   examples/gallery_pictures.sh [FOLDER [GALLERY]]
# shellcheck disable=SC2016  # the backticks are Markdown's
set -euo pipefail
folder=${1:-build/gallery}
gallery=$(realpath -m "${2:-examples/gallery}")
planes=$(realpath "$(dirname "${BASH_SOURCE[0]}")/paper/planes")
readonly MOST_BYTES=200000
mkdir -p "$gallery"
cd "$folder"
markdown=$gallery/README.md

# Arguments: FILE and the words of the landscape_mpi command that writes it. Draw the picture, and show
# the command under it.
picture() {
    local file=$1
    shift
    echo "$file"
    python -m "landscape_mpi.$1" "${@:2}" > pictures.txt
    keep "$file" "$(in_a_shell "$@")"
}

# Print words as one types them in a shell.
in_a_shell() { python -c 'import shlex, sys; print(shlex.join(sys.argv[1:]))' "$@"; }

# Arguments: FILE and its command. Copy the file into the gallery, and show it on the page. A PNG that is
# too large gets 256 colours, and then fewer pixels.
keep() {
    local file=$1 command=$2 name=${1//\//_} size
    if [ "${file##*.}" = png ]; then
        python -c 'import os, sys; from PIL import Image
source, target, most = sys.argv[1:]
picture = Image.open(source).convert("RGB")
picture.save(target, optimize=True)
while os.path.getsize(target) > int(most):
    colors = picture.quantize(palette=picture.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
    colors.save(target, optimize=True)
    picture.thumbnail([0.9 * side for side in picture.size])' \
            "$file" "$gallery/$name" $MOST_BYTES
    else
        cp "$file" "$gallery/$name"
    fi
    size=$(stat -c %s "$gallery/$name")
    if [ "$size" -gt $MOST_BYTES ]; then
        echo "$name has $size bytes, but a picture of the gallery may have at most $MOST_BYTES" >&2
        exit 1
    fi
    printf '![%s](%s)\n\n```\n%s\n```\n\n' "${name%.*}" "$name" "python -m landscape_mpi.$command" >> "$markdown"
}

# Show a picture of the page of report in a browser.
page() {
    local command=(report resnet20.h5 resnet20_noshort.h5 path.h5 --out page.html)
    python -m "landscape_mpi.${command[0]}" "${command[@]:1}" > pictures.txt
    chromium --headless --no-sandbox --window-size=1300,900 --virtual-time-budget=20000 \
        --screenshot=page.png "file://$PWD/page.html" 2> /dev/null
    keep page.png "${command[*]}"
}

say() { printf '%s\n\n' "$@" >> "$markdown"; }

printf '# Gallery\n\n' > "$markdown"
say "This page shows every kind of figure once, with its command. The runs are real. The first three pictures show
ResNet-56 without and with shortcuts: [the networks of Li et al. 2018](../paper/README.md) on 1,000 images of
CIFAR-10. The others show ResNet-20, trained on the handwritten digits; \`examples/gallery.sh\` computes its
files in 14 minutes of processor time on one core of an AMD EPYC (December 2026). \`examples/gallery_pictures.sh\`
draws all of them. These pictures are small. Pictures for print have 300 dots per inch, and the width of one
column or of two."
say "On the site that \`make docs\` builds, this page and its pictures take 1.6 MB. Chromium loads it from the disk in
less than 1.5 s: \`python tests/benchmarks/load.py build/site/examples/gallery/index.html\`, twenty loads on two
cores of an AMD EPYC that other programs kept busy, no GPU, December 2026."

say '## Surfaces'
for network in resnet56_noshort resnet56; do ln -sf "$planes/${network}_seed1.h5" "$network.h5"; done
picture resnet56_noshort_and_resnet56_train_loss_contour.png \
    plot resnet56_noshort.h5 resnet56.h5 --compare --quantity train_loss --kind contour \
    --label "ResNet-56 without shortcuts" --label ResNet-56 --dpi 90
picture resnet56_noshort_train_loss_surface.png \
    plot resnet56_noshort.h5 --quantity train_loss --kind surface --dpi 90
picture resnet56_train_loss_filled.png plot resnet56.h5 --quantity train_loss --kind filled --dpi 90
picture resnet20_train_error_heatmap.png plot resnet20.h5 --quantity train_error --kind heatmap --dpi 90
picture smooth/resnet20_train_loss_contour.png \
    plot resnet20.h5 --quantity train_loss --kind contour --smooth 4 --columns 1 --dpi 150 --out-dir smooth

say '## Lines' 'The first picture shows the loss along ten random directions, each with a seed of its own. The second one
shows the line through two solutions.'
picture repeats_line.png plot repeats.h5 --dpi 90
picture between_line.png plot between.h5 --dpi 90

say '## Curvature' 'The first picture shows the smallest eigenvalue of the Hessian divided by the largest. The second one shows
the density of all eigenvalues at the center.'
picture curvature_hessian_ratio_filled.png \
    plot curvature.h5 --quantity hessian_ratio --kind filled --dpi 90
picture spectrum.png plot --spectrum spectrum.h5 --dpi 90

say '## How far from convex, as a number' 'The pictures show the minima, saddles and maxima of the grid, and the merge tree of its basins.'
picture critical/resnet20_noshort_train_error_contour.png \
    plot resnet20_noshort.h5 --quantity train_error --kind contour --critical 1 --dpi 90 --out-dir critical
picture resnet20_noshort_train_error_topology.png \
    topology resnet20_noshort.h5 --quantity train_error --dpi 90

say '## Training'
picture path_train_loss_contour.png plot path.h5 --quantity train_loss --kind contour --dpi 90
picture weights_with_without.png plot --weights with without --dpi 90

say '## Between solutions'
picture along_along.png plot along.h5 --dpi 90
picture modes_train_loss_contour.png plot modes.h5 --quantity train_loss --kind contour --dpi 90
picture barriers_barriers.png plot barriers.h5 --dpi 90
picture fge/ensemble.png plot --ensemble fge --dpi 90

say '## Meshes' 'VTK drew this picture. With `--paraview` the command also writes a script that opens the mesh in
ParaView.'
picture relief.png vtp resnet20.h5 --log --contours --render relief.png

say '## Films'
picture training.gif plot epoch_*.h5 --film training.gif --seconds 5

say '## One page' 'One file holds three surfaces. You can turn them, and point at them to read values. The page needs no
internet connection.'
page
