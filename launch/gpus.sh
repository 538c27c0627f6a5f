# shellcheck shell=bash
# Sourced by the scripts of this folder: the GPUs that a process may use.

# Print them, one a line, as CUDA_VISIBLE_DEVICES names them; nothing where there are none.
visible_gpus() {
    if [ -n "${CUDA_VISIBLE_DEVICES+set}" ]; then
        # CUDA hides what follows a -1.
        tr ',' '\n' <<< "$CUDA_VISIBLE_DEVICES" | sed -e '/^-1$/,$d' -e '/^$/d'
    elif command -v nvidia-smi > /dev/null; then
        gpus_of_driver
    fi
}

# By UUID: CUDA and nvidia-smi may count in different orders.
gpus_of_driver() {
    local words
    if words=$(nvidia-smi --query-gpu=uuid --format=csv,noheader 2>&1); then
        sed '/^$/d' <<< "$words"
    else
        echo "$(basename "$0"): nvidia-smi finds no GPU: $words" >&2
    fi
}
