#!/usr/bin/env bash
# The pictures of examples/gallery/ and the page that shows each with its command, from the files of
# examples/gallery.sh. Needs neither torch nor MPI, but for the weights (--weights reads checkpoints).
#
#   examples/gallery_pictures.sh [FOLDER [GALLERY]]
set -euo pipefail
folder=${1:-build/gallery}
gallery=$(realpath -m "${2:-examples/gallery}")
readonly MOST_BYTES=150000
mkdir -p "$gallery"
cd "$folder"
page=$gallery/README.md
commands=()

# FILE, then words of the landscape_mpi command that writes it: the picture, under it the command.
picture() {
    local file=$1
    shift
    python -m "landscape_mpi.$1" "${@:2}" > pictures.txt
    local name=${file##*/}
    cp "$file" "$gallery/$name"
    local size
    size=$(stat -c %s "$gallery/$name")
    if [ "$size" -gt $MOST_BYTES ]; then
        echo "$name has $size bytes, at most $MOST_BYTES are wanted" >&2
        exit 1
    fi
    printf '![%s](%s)\n\n```\n%s\n```\n\n' "${name%.*}" "$name" "python -m landscape_mpi.$*" >> "$page"
}

say() { printf '%s\n\n' "$@" >> "$page"; }

printf '# Gallery\n\n' > "$page"
say "Every kind of figure once, drawn from real runs: ResNet-20 with and without shortcuts, trained on
the handwritten digits (\`examples/gallery.sh\`, minutes on two cores), and under each its command
(\`examples/gallery_pictures.sh\`). Pictures for print have 300 dots per inch and either width of a
page; these are small."
