# shellcheck shell=bash
# Sourced by run_rank.sh: use the Python environment in LANDSCAPE_IMAGE, which launch/pack.sh makes.

# Mount the image on this node, unless another rank has, and put its Python and its folders first.
enter_image() {
    local key
    key=$(realpath "$LANDSCAPE_IMAGE" && stat -c '%Y %s' "$LANDSCAPE_IMAGE") ||
        stop_image "LANDSCAPE_IMAGE=$LANDSCAPE_IMAGE: there is no such file. Make it with launch/pack.sh"
    mounted=${LANDSCAPE_LOCAL:-/tmp}/landscape_mpi-$(id -u)-$(cksum <<< "$key" | cut -d' ' -f1)
    exec 9> "$mounted.lock" || stop_image "$mounted.lock: cannot be written"
    flock 9
    if [ ! -e "$mounted/folders" ]; then
        unmount_image # what a run that was killed has left
        mkdir -p "$mounted"
        open_image
    fi
    # A shared lock for as long as this rank runs: who gets it alone is the last one on the node.
    flock -s 9
    local folder folders=
    while read -r folder; do folders+=$mounted/$folder:; done < "$mounted/folders"
    export PYTHONPATH=$folders${PYTHONPATH:-} PATH=$mounted/base/bin:$PATH
    export LD_LIBRARY_PATH=$mounted/base/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

# squashfuse leaves a process behind, which must not keep the launcher's pipes, or the lock.
open_image() {
    if command -v squashfuse > /dev/null && squashfuse "$LANDSCAPE_IMAGE" "$mounted" < /dev/null > /dev/null 2>&1 9>&-; then
        return
    fi
    command -v unsquashfs > /dev/null ||
        stop_image "neither squashfuse nor unsquashfs works on $(hostname): install one, or unset LANDSCAPE_IMAGE"
    unsquashfs -quiet -no-progress -force -dest "$mounted" "$LANDSCAPE_IMAGE" > /dev/null 9>&- ||
        stop_image "$LANDSCAPE_IMAGE: cannot be unpacked into $mounted"
}

# The last rank on the node removes what the first one made. The lock stays: another run may wait for it.
leave_image() {
    if flock -n 9; then
        unmount_image
        rm -rf "$mounted" 2> /dev/null # unless it is still mounted, and so read-only
    fi
}

unmount_image() {
    { fusermount3 -u "$mounted" || fusermount -u "$mounted" || umount "$mounted"; } 2> /dev/null || true
}

stop_image() {
    echo "image: $*" >&2
    exit 1
}
