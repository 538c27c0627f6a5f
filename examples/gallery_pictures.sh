#!/usr/bin/env bash
# The pictures of examples/gallery/ and the page that shows each with its command, from the files of
# examples/gallery.sh. Needs neither torch nor MPI; a Chromium for the last.
#
#   examples/gallery_pictures.sh [FOLDER [GALLERY]]
# shellcheck disable=SC2016  # the backticks are Markdown's
set -euo pipefail
folder=${1:-build/gallery}
gallery=$(realpath -m "${2:-examples/gallery}")
readonly MOST_BYTES=150000
mkdir -p "$gallery"
cd "$folder"
markdown=$gallery/README.md

# FILE, then words of the landscape_mpi command that writes it: the picture, under it the command.
picture() {
    local file=$1
    shift
    echo "$file"
    python -m "landscape_mpi.$1" "${@:2}" > pictures.txt
    keep "$file" "$*"
}

# FILE, and the command of it: into the gallery and onto the page; a PNG that would be too large
# has fewer pixels there.
keep() {
    local file=$1 command=$2 name=${1//\//_} size
    if [ "${file##*.}" = png ]; then
        python -c 'import os, sys; from PIL import Image
source, target, most = sys.argv[1:]
picture = Image.open(source).convert("RGB")
picture.save(target, optimize=True)
while os.path.getsize(target) > int(most):
    picture.thumbnail([0.9 * side for side in picture.size])
    picture.save(target, optimize=True)' \
            "$file" "$gallery/$name" $MOST_BYTES
    else
        cp "$file" "$gallery/$name"
    fi
    size=$(stat -c %s "$gallery/$name")
    if [ "$size" -gt $MOST_BYTES ]; then
        echo "$name has $size bytes, and at most $MOST_BYTES are wanted" >&2
        exit 1
    fi
    printf '![%s](%s)\n\n```\n%s\n```\n\n' "${name%.*}" "$name" "python -m landscape_mpi.$command" >> "$markdown"
}

# The page of report, as a browser shows it.
page() {
    local command=(report resnet20.h5 resnet20_noshort.h5 path.h5 --out page.html)
    python -m "landscape_mpi.${command[0]}" "${command[@]:1}" > pictures.txt
    chromium --headless --no-sandbox --window-size=1300,900 --virtual-time-budget=20000 \
        --screenshot=page.png "file://$PWD/page.html" 2> /dev/null
    keep page.png "${command[*]}"
}

say() { printf '%s\n\n' "$@" >> "$markdown"; }

printf '# Gallery\n\n' > "$markdown"
say "Every kind of figure once, drawn from real runs: ResNet-20 with and without shortcuts, trained on
the handwritten digits (\`examples/gallery.sh\`, a quarter of an hour on two cores of an Intel Xeon,
November 2026), and under each its command (\`examples/gallery_pictures.sh\`). Pictures for print have
300 dots per inch and either width of a page; these are small."

say '## Surfaces'
picture resnet20_noshort_and_resnet20_train_loss_contour.png \
    plot resnet20_noshort.h5 resnet20.h5 --compare --quantity train_loss --kind contour --dpi 90
picture resnet20_noshort_train_loss_surface.png \
    plot resnet20_noshort.h5 --quantity train_loss --kind surface --dpi 90
picture resnet20_train_loss_filled.png plot resnet20.h5 --quantity train_loss --kind filled --dpi 90
picture resnet20_train_error_heatmap.png plot resnet20.h5 --quantity train_error --kind heatmap --dpi 90
picture smooth/resnet20_train_loss_contour.png \
    plot resnet20.h5 --quantity train_loss --kind contour --smooth 4 --columns 1 --dpi 150 --out-dir smooth

say '## Lines' 'Ten directions from one seed each, and the line through two solutions.'
picture repeats_line.png plot repeats.h5 --dpi 90
picture between_line.png plot between.h5 --dpi 90

say '## Curvature' 'The smallest eigenvalue of the Hessian over the largest, and the density of all of
them at the center.'
picture curvature_hessian_ratio_filled.png \
    plot curvature.h5 --quantity hessian_ratio --kind filled --dpi 90
picture spectrum.png plot --spectrum spectrum.h5 --dpi 90

say '## How far from convex, as a number' 'Minima, saddles and maxima of the grid, and the merge tree of
its basins.'
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

say '## Meshes' 'Drawn by VTK; ParaView opens the same by the script that `--paraview` writes.'
picture relief.png vtp resnet20.h5 --log --contours --render relief.png

say '## Films'
picture training.gif plot epoch_*.h5 --film training.gif --seconds 5

say '## One page' 'Three surfaces in one file, to turn, and to point at: it needs no network.'
page
