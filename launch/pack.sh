#!/usr/bin/env bash
# Pack the Python environment into one file, so that a job reads it from each node's own memory.
#
#   . .venv/bin/activate
#   launch/pack.sh environment.sqsh [FOLDER ...]
#
# Importing torch looks for thousands of small files, and a thousand ranks do so at once on a file system
# that all nodes share. With LANDSCAPE_IMAGE=environment.sqsh in launch/environment.sh, the first rank on
# each node mounts the file, and Python, all its packages and each FOLDER come out of it; nothing else is
# read from the shared file system but your data. FOLDERs are what PYTHONPATH would have: your own modules.
# Pack again after a change.
#
# Needs    mksquashfs here (squashfs-tools). On the nodes squashfuse, or unsquashfs and room in /tmp.
set -euo pipefail

main() {
    if [ $# = 0 ]; then sed -n '2,/^# Needs/s/^# \{0,1\}//p' "$0" >&2 && exit 2; fi
    command -v mksquashfs > /dev/null || stop "mksquashfs is missing: install squashfs-tools"
    image=$(realpath -m "$1")
    shift
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' EXIT
    touch "$stage/folders"
    copy_python
    copy_this_package
    name_folders "$@"
    rm -f "$image.partial"
    mksquashfs "$stage"/* "$packages" "${folders[@]}" "$image.partial" -comp lz4 -all-root -no-progress -quiet
    mv "$image.partial" "$image"
    say "$image: $(du -h "$image" | cut -f1); use it with LANDSCAPE_IMAGE=$image"
}

# Copies Python itself, without its packages and tests, and lets it find the packages of the image.
copy_python() {
    local prefix version library
    { read -r prefix && read -r version && read -r library && read -r packages; } < <(python -c '
import sys, sysconfig
print(sys.base_prefix)
print(f"python{sys.version_info.major}.{sys.version_info.minor}")
print(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
print(sysconfig.get_path("purelib"))')
    [ -e "$prefix/bin/$version" ] || stop "$prefix/bin/$version is missing: this Python cannot be packed"
    [ "$(basename "$packages")" != base ] || stop "$packages: the folder of packages cannot be called base"
    mkdir -p "$stage/base/bin" "$stage/base/lib"
    cp -L "$prefix/bin/$version" "$stage/base/bin/"
    ln -s "$version" "$stage/base/bin/python3"
    ln -s "$version" "$stage/base/bin/python"
    cp -a "$prefix"/lib/libpython* "$stage/base/lib/" 2> /dev/null || true
    tar -C "$(dirname "$library")" -c --exclude "$version/site-packages" --exclude "$version/dist-packages" \
        --exclude "$version/test" --exclude "$version/config-*" "$version" | tar -C "$stage/base/lib" -x
    local own
    own=$("$stage/base/bin/python" -c 'import site; print(site.getsitepackages()[-1])')
    case $own in "$stage"/*) ;; *) stop "$prefix: this Python does not find its library when it is moved" ;; esac
    mkdir -p "$own"
    # shellcheck disable=SC2016 # Python's
    printf 'import os, site, sys; site.addsitedir(os.path.join(os.path.dirname(sys.prefix), "%s"))\n' \
        "$(basename "$packages")" > "$own/packed.pth"
}

# An editable install points to a checkout, which stays on the shared file system.
copy_this_package() {
    local checkout
    checkout=$(python -c 'import pathlib, landscape_mpi; print(pathlib.Path(landscape_mpi.__file__).parent.parent)')
    if [ "$checkout" = "$packages" ]; then return; fi
    mkdir "$stage/checkout"
    cp -a "$checkout/landscape_mpi" "$stage/checkout/"
    echo checkout >> "$stage/folders"
}

# Sets folders; their names, in the image's own list, go to PYTHONPATH.
name_folders() {
    folders=()
    local folder
    for folder in "$@"; do
        [ -d "$folder" ] || stop "$folder: no such folder"
        folder=$(realpath "$folder")
        basename "$folder" >> "$stage/folders"
        folders+=("$folder")
    done
    local twice
    twice=$({ printf '%s\n' base folders && basename "$packages" && cat "$stage/folders"; } | sort | uniq -d | head -1)
    [ -z "$twice" ] || stop "two things in the image would be called $twice: rename a folder"
}

say() { echo "pack: $*"; }

stop() {
    say "$*" >&2
    exit 1
}

main "$@"
