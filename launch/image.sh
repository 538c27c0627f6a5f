# shellcheck shell=bash
# Sourced by run_rank.sh: use the Python environment in LANDSCAPE_IMAGE, which launch/pack.sh makes.

# Mount the image on this node, unless another rank has, and put its Python and its folders first.
# There are two locks. A rank holds the first one alone, only while it mounts or unmounts. It shares the
# second one with the other ranks of the node for as long as it runs.
enter_image() {
    local key
    key=$(realpath "$LANDSCAPE_IMAGE" && stat -c '%Y %s' "$LANDSCAPE_IMAGE") ||
        stop_image "LANDSCAPE_IMAGE=$LANDSCAPE_IMAGE: there is no such file. Make it with launch/pack.sh"
    mounted=${LANDSCAPE_LOCAL:-/tmp}/landscape_mpi-$(id -u)-$(cksum <<< "$key" | cut -d' ' -f1)
    exec 8> "$mounted.lock" 9> "$mounted.ranks.lock" || stop_image "$mounted.lock: cannot be written"
    flock 8
    if [ ! -e "$mounted/folders" ]; then
        unmount_image # what a run that was killed has left
        mkdir -p "$mounted"
        open_image
    fi
    flock -s 9
    flock -u 8
    local folder folders=
    while read -r folder; do folders+=$mounted/$folder:; done < "$mounted/folders"
    export PYTHONPATH=$folders${PYTHONPATH:-} PATH=$mounted/base/bin:$PATH
    export LD_LIBRARY_PATH=$mounted/base/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# squashfuse leaves a process behind, which must not keep the launcher's pipes, or the locks.
open_image() {
    if command -v squashfuse > /dev/null && squashfuse "$LANDSCAPE_IMAGE" "$mounted" < /dev/null > /dev/null 2>&1 8>&- 9>&-; then
        return
    fi
    command -v unsquashfs > /dev/null ||
        stop_image "neither squashfuse nor unsquashfs works on $(hostname): install one, or unset LANDSCAPE_IMAGE"
    unsquashfs -quiet -no-progress -force -dest "$mounted" "$LANDSCAPE_IMAGE" > /dev/null 8>&- 9>&- ||
        stop_image "$LANDSCAPE_IMAGE: cannot be unpacked into $mounted"
}

# The last rank on the node, which gets the second lock alone, removes what the first one made. The files of
# the locks stay: another run may wait for them.
leave_image() {
    flock 8
    if flock -n 9; then
        unmount_image
        rm -rf "$mounted" 2> /dev/null # unless it is still mounted, and so read-only
    fi
    exec 8>&- 9>&-
}

unmount_image() {
    { fusermount3 -u "$mounted" || fusermount -u "$mounted" || umount "$mounted"; } 2> /dev/null || true
}

stop_image() {
    echo "image: $*" >&2
    exit 1
}
