# shellcheck shell=bash disable=SC2154
# Sourced by the scripts here that need programs of the system: say what is missing, and install it.
#
# The script sets program_name for its messages, PROGRAMS, and PACKAGES, which are Debian's names of them.

stop() {
    printf "$program_name: %s\n" "$@" >&2
    exit 1
}

missing() {
    if [ "$(id -u)" != 0 ]; then echo "root"; fi
    local program
    for program in "${PROGRAMS[@]}"; do
        command -v "$program" > /dev/null || echo "$program"
    done
}

install_packages() {
    if [ -z "$(missing)" ]; then return; fi
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        stop "lacks $(missing | paste -sd' '), and installing them takes root and apt-get."
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "${PACKAGES[@]}" > /dev/null
}
