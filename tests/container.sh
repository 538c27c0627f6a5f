#!/usr/bin/env bash
# Build containers/Containerfile with Buildah, run the main job in it on two ranks, and compare its values
# with those of the same job outside.
#
#   tests/container.sh FOLDER            FOLDER gets the job's files, and while it works 8 GB more
#   tests/container.sh missing           say what it lacks here; nothing is printed where it can run
#   tests/container.sh install           apt-get install what it lacks
#
# It needs root, and neither an image registry nor a daemon: the base comes from debootstrap and apt's mirror.
# pip has the settings of this machine in the build, so that the same packages are found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/programs.sh
. tests/programs.sh

readonly SUITE=bookworm
readonly program_name=container
readonly PROGRAMS=(buildah debootstrap)
readonly PACKAGES=(buildah debootstrap)
readonly JOB=(--model cnn1 --checkpoint network.pt --data digits --x=-1:1:5 --y=-1:1:4 --seed 1)
PATH=$PATH:/usr/sbin:/sbin

main() {
    case "${1:-}:$#" in
        missing:1) missing && unfit ;;
        install:1) install_packages ;;
        *:1) check "$(realpath -m "$1")" ;;
        *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    esac
}

say() { printf 'container: %s\n' "$*"; }

# What no package brings.
unfit() {
    unshare --mount true 2> /dev/null || echo "permission to mount"
    [ "$(df --output=avail --block-size=1G . | tail -n 1)" -ge 10 ] || echo "10 GB of free disk"
}

check() {
    folder=$1
    [ -z "$(missing)" ] || stop "lacks $(missing | paste -sd' '). As root: $0 install"
    [ -z "$(unfit)" ] || stop "cannot run here: this machine lacks $(unfit | paste -sd, | sed 's/,/, /')."
    [ ! -e "$folder" ] || [ -e "$folder/base.log" ] || stop "$folder exists and is not of an earlier check: name another."
    rm -rf "$folder"
    mkdir -p "$folder"/{inside,outside}
    touch "$folder/base.log"
    trap 'rm -rf "$folder/storage" "$folder/run"' EXIT
    make_base
    build_image
    run_job_inside
    run_job_outside
    compare
}

in_store() {
    buildah --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs "$@"
}

make_base() {
    say "a base of $SUITE, by debootstrap"
    local container root mirror
    container=$(in_store from scratch)
    root=$(in_store mount "$container")
    mirror=$(mirror_of_apt)
    debootstrap --variant=minbase "$SUITE" "$root" ${mirror:+"$mirror"} > "$folder/base.log" ||
        stop "debootstrap failed: $folder/base.log"
    rm -rf "$root"/var/cache/apt/archives/*.deb
    give_settings_of_pip "$root"
    in_store commit --quiet --rm "$container" base > /dev/null
}

mirror_of_apt() {
    # shellcheck disable=SC2016  # a format of apt
    apt-get indextargets --format '$(REPO_URI)' "Codename: $SUITE" | sed -n 1p
}

# The files that pip's settings name are copied into the base; folders of packages are mounted at their own place.
give_settings_of_pip() {
    local root=$1 setting value word
    mkdir -p "$root/etc/pip"
    echo '[global]' > "$root/etc/pip.conf"
    mounts=()
    while IFS='=' read -r setting value; do
        value=${value#\'} value=${value%\'}
        for word in $value; do
            case $word in
                file:///*) mount_folder "$(dirname "${word#file://}")" ;; # an index links to files beside it
                /*) if [ -d "$word" ]; then mount_folder "$word"; fi ;;
            esac
            if [ -f "$word" ]; then
                cp "$word" "$root/etc/pip/"
                value=${value/"$word"//etc/pip/$(basename "$word")}
            fi
        done
        echo "${setting##*.} = $value" >> "$root/etc/pip.conf"
    done < <(.venv/bin/python -m pip config list | sort -t. -k2 -u)
}

mount_folder() { mounts+=(--volume "$1:$1:ro"); }

build_image() {
    say "the image, by containers/Containerfile"
    in_store build --isolation chroot "${mounts[@]}" --build-arg BASE=localhost/base -t landscape_mpi \
        -f containers/Containerfile . > "$folder/build.log" 2>&1 ||
        stop "the image was not built:" "$(tail -n 20 "$folder/build.log")"
}

run_job_inside() {
    say "the main job in it, on two ranks"
    local container
    container=$(in_store from --pull-never localhost/landscape_mpi)
    in_store run --isolation chroot --volume "$folder/inside:/work" "$container" bash -euc '
        export OMP_NUM_THREADS=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
        landscape-mpi train --model cnn1 --data digits --epochs 2 --seed 1 --out network.pt
        mpirun -n 2 landscape-mpi surface "$@" --out surface.h5
        landscape-mpi plot surface.h5
        mpirun -n 2 landscape-mpi doctor' job "${JOB[@]}" > "$folder/inside.log" 2>&1 ||
        stop "the job failed in the container:" "$(tail -n 20 "$folder/inside.log")"
    compgen -G "$folder/inside/*.png" > /dev/null || stop "plot left no picture in $folder/inside"
}

# On one rank, with the network that was trained inside.
run_job_outside() {
    say "the same job outside, on one rank"
    cp "$folder/inside/network.pt" "$folder/outside/"
    local python=$PWD/.venv/bin/python
    (cd "$folder/outside" && OMP_NUM_THREADS=1 PYTHONPATH=$OLDPWD "$python" -m landscape_mpi.surface \
        "${JOB[@]}" --out surface.h5) > "$folder/outside.log" 2>&1 ||
        stop "the job failed outside:" "$(tail -n 20 "$folder/outside.log")"
}

compare() {
    .venv/bin/python - "$folder"/{inside,outside}/surface.h5 << 'END' || stop "the two files differ."
import sys
import h5py, numpy as np
inside, outside = map(h5py.File, sys.argv[1:])
assert (inside["done"][:] == 1).all(), "points are missing"
assert len(set(inside["rank"][:].ravel())) == 2, "only one rank computed"
for name in ("alpha", "beta", "train_loss", "train_error"):
    assert np.array_equal(inside[name][:], outside[name][:]), f"{name}: {inside[name][:]} {outside[name][:]}"
END
    say "all values are the same inside and outside, on $(.venv/bin/python -c '
import sys, h5py; print(h5py.File(sys.argv[1])["done"].size)' "$folder/inside/surface.h5") points"
}

main "$@"
