# shellcheck shell=bash
# Sourced by the scripts of this folder: the GPUs that a process may use.

# The variables by which a launcher shows a process only some GPUs, in the order in which they
# apply: HIP_VISIBLE_DEVICES picks from those of ROCR_VISIBLE_DEVICES.
readonly MASKS=(CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES ZE_AFFINITY_MASK)

# shellcheck disable=SC2034 # used where this is sourced
# Sets mask, the variable that chooses GPUs here, and gpus, those that it may name; none if there
# are none, or if no tool of the driver lists them (then the command chooses).
find_gpus() {
    gpus=()
    for mask in "${MASKS[@]}"; do
        if [ -n "${!mask+set}" ]; then
            # CUDA and HIP hide all that follows a -1.
            mapfile -t gpus < <(tr ',' '\n' <<< "${!mask}" | sed -e '/^-1$/,$d' -e '/^$/d')
            return
        fi
    done
    mask=CUDA_VISIBLE_DEVICES
    if command -v nvidia-smi > /dev/null; then
        mapfile -t gpus < <(gpus_of_nvidia)
    elif command -v rocm-smi > /dev/null; then
        mask=ROCR_VISIBLE_DEVICES
        mapfile -t gpus < <(gpus_of_amd)
    fi
}

# By UUID: CUDA and nvidia-smi may count in different orders.
gpus_of_nvidia() {
    local words
    if words=$(nvidia-smi --query-gpu=uuid --format=csv,noheader 2>&1); then
        sed '/^$/d' <<< "$words"
    else
        echo "$(basename "$0"): nvidia-smi finds no GPU: $words" >&2
    fi
}

# By number: some have no UUID.
gpus_of_amd() {
    local words
    if words=$(rocm-smi --showbus 2>&1); then
        sed -n 's/^GPU\[\([0-9]*\)\].*PCI Bus:.*/\1/p' <<< "$words"
    else
        echo "$(basename "$0"): rocm-smi finds no GPU: $words" >&2
    fi
}

# Print the place of a GPU on the PCI bus, such as 0000:c1:00.0; nothing if it is unknown.
bus_of_gpu() {
    local bus=
    if [ "$mask" = CUDA_VISIBLE_DEVICES ] && command -v nvidia-smi > /dev/null; then
        bus=$(nvidia-smi --id="$1" --query-gpu=pci.bus_id --format=csv,noheader 2> /dev/null) || true
        bus=${bus#0000} # the kernel uses four of its eight digits before the colon
    elif [ "$mask" = ROCR_VISIBLE_DEVICES ] && command -v rocm-smi > /dev/null; then
        bus=$(rocm-smi --device "$1" --showbus 2> /dev/null | sed -n 's/.*PCI Bus: *//p') || true
    fi
    echo "${bus,,}"
}
