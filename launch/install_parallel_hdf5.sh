#!/usr/bin/env bash
# Build h5py against this machine's MPI and parallel HDF5 and install it; about 2 minutes the
# first time, seconds after that, because the built wheel is kept in the user's cache.
#
#   launch/install_parallel_hdf5.sh [PYTHON]           into PYTHON's environment (.venv/bin/python)
#   launch/install_parallel_hdf5.sh --find [PYTHON]    only print what would be used; status 1 if nothing
#   launch/install_parallel_hdf5.sh --mpi-library      only print the MPI library that mpicc links
#
# On a cluster, load the modules first:    module load openmpi hdf5     (the build of HDF5 for MPI)
# or name the folder of HDF5 yourself:     HDF5_DIR=/opt/hdf5-mpi launch/install_parallel_hdf5.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

main() {
    if [ "${1:-}" = --mpi-library ]; then
        require_mpicc
        mpi_library
        return
    fi
    local only_find=false
    if [ "${1:-}" = --find ]; then only_find=true && shift; fi
    python=${1:-.venv/bin/python}

    require_python_headers
    require_mpicc
    find_parallel_hdf5
    read_versions
    if $only_find; then echo "$versions in $hdf5_dir" && return; fi
    if ! wheel_is_cached; then build_wheel; fi
    install_wheel
    check_h5py_is_parallel
}

stop() {
    printf 'install_parallel_hdf5: %s\n' "$@" >&2
    exit 1
}

require_python_headers() {
    local include
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))') ||
        stop "$python does not run. Name the Python of the environment into which h5py is to be installed."
    [ -f "$include/Python.h" ] ||
        stop "$include has no Python.h, which h5py needs to be compiled. Debian, Ubuntu: apt-get install python3-dev."
}

require_mpicc() {
    # The compiler of an MPI from PyPI in this very environment does not count: HDF5 does not know it.
    local own=$PWD/.venv/bin
    PATH=$(printf %s ":$PATH:" | sed "s|:$own:|:|g; s|^:||; s|:\$||")
    command -v mpicc > /dev/null ||
        stop "there is no mpicc on PATH, so there is no MPI to build against." \
            "Debian, Ubuntu: apt-get install libopenmpi-dev libhdf5-openmpi-dev. A cluster: module load openmpi hdf5."
    echo 'int main(void) { return 0; }' | mpicc -x c -o /dev/null - 2> /dev/null ||
        stop "$(command -v mpicc) cannot compile an empty program. Debian, Ubuntu: apt-get install gcc libc6-dev."
}

find_parallel_hdf5() {
    if [ -n "${HDF5_DIR:-}" ]; then
        hdf5_dir=$HDF5_DIR
        has_parallel_headers "$hdf5_dir" ||
            stop "HDF5_DIR=$HDF5_DIR has no include/hdf5.h of an HDF5 built for MPI. Name another folder, or unset it."
        has_mpi_of_mpicc "$hdf5_dir" ||
            stop "HDF5_DIR=$HDF5_DIR was built for another MPI than $(command -v mpicc). Name another folder, or unset it."
        return
    fi
    while read -r hdf5_dir; do
        if has_parallel_headers "$hdf5_dir" && has_mpi_of_mpicc "$hdf5_dir"; then return; fi
    done < <(likely_hdf5_folders)
    stop "found no HDF5 built for the MPI of $(command -v mpicc) (asked h5pcc and h5cc, looked into /usr/lib/*/hdf5)." \
        "Debian, Ubuntu: apt-get install libhdf5-openmpi-dev (for MPICH: libhdf5-mpich-dev)." \
        "A cluster: module load openmpi hdf5, or HDF5_DIR=folder."
}

# The compiler wrappers come first: a loaded module has priority over the system's own.
likely_hdf5_folders() {
    local wrapper
    for wrapper in h5pcc h5cc; do
        if command -v "$wrapper" > /dev/null; then
            "$wrapper" -showconfig 2> /dev/null | sed -n 's/^ *Installation point: *//p'
        fi
    done
    # The HDF5s of Debian fit only Debian's mpicc.
    case $(readlink -f "$(command -v mpicc)") in
        /usr/bin/*) compgen -G '/usr/lib/*/hdf5/*mpi*' || true ;;
    esac
}

# False if a program that mpicc links with this HDF5 needs two different MPI libraries.
has_mpi_of_mpicc() {
    [ "$(libraries_of_a_program '#include <hdf5.h>' 'H5open()' -I"$1/include" -L"$1/lib" -lhdf5 | wc -l)" -lt 2 ]
}

mpi_library() {
    local path
    while read -r path; do
        if [ -e "$path" ]; then readlink -f "$path"; fi
    done < <(libraries_of_a_program '' 0)
}

# Prints the MPI libraries that a program linked by mpicc loads. If one is not there, for example because
# its module is not loaded, prints its name. Prints nothing if the program is static or does not link:
# HDF5 may need further libraries.
libraries_of_a_program() {
    local include=$1 value=$2 program lib
    shift 2
    program=$(mktemp)
    printf '%s\n' '#include <mpi.h>' "$include" \
        "int main(int n, char **words) { return $value + MPI_Init(&n, &words); }" |
        mpicc -x c -o "$program" - "$@" -Wl,--allow-shlib-undefined > /dev/null 2>&1 || true
    lib=$(printf '%s\n' "$@" | sed -n 's/^-L//p')
    { LD_LIBRARY_PATH=$lib${lib:+:}${LD_LIBRARY_PATH:-} ldd "$program" 2> /dev/null || true; } |
        sed -nE -e 's/^\s*(libmpi(ch)?\.so[.0-9]*) => not found$/\1/p' \
            -e 's/^\s*libmpi(ch)?\.so[.0-9]* => (\/.*) \(0x[0-9a-f]+\)$/\2/p' | sort -u
    rm -f "$program"
}

has_parallel_headers() {
    [ "$(macro_of_headers H5_HAVE_PARALLEL "$1")" = 1 ]
}

# The value of a macro as mpi.h and the hdf5.h of a folder define it.
macro_of_headers() {
    printf '#include <mpi.h>\n#include <hdf5.h>\n' |
        mpicc -E -dM -x c -I"$2/include" - 2> /dev/null |
        sed -n "s/^#define $1 //p" | tr -d '"'
}

read_versions() {
    local mpi hdf5 mpi_macro
    mpi=mpi-$(macro_of_headers MPI_VERSION "$hdf5_dir")
    mpi_macro=$(macro_of_headers OMPI_MAJOR_VERSION "$hdf5_dir")
    if [ -n "$mpi_macro" ]; then
        mpi=openmpi-$mpi_macro.$(macro_of_headers OMPI_MINOR_VERSION "$hdf5_dir")
        mpi=$mpi.$(macro_of_headers OMPI_RELEASE_VERSION "$hdf5_dir")
    elif mpi_macro=$(macro_of_headers MPICH_VERSION "$hdf5_dir") && [ -n "$mpi_macro" ]; then
        mpi=mpich-$mpi_macro
    fi
    hdf5=$(macro_of_headers H5_VERS_MAJOR "$hdf5_dir").$(macro_of_headers H5_VERS_MINOR "$hdf5_dir")
    hdf5=$hdf5.$(macro_of_headers H5_VERS_RELEASE "$hdf5_dir")
    versions="$mpi hdf5-$hdf5"
}

# One folder for each pair of libraries: the checksum tells two builds of one version apart.
wheel_is_cached() {
    h5py=$(sed -n 's/^h5py==//p' requirements.lock)
    local tag libraries
    tag=$("$python" -c 'import sys; print(sys.implementation.cache_tag)')
    libraries=$(readlink -f "$(command -v mpicc)" "$hdf5_dir" | cksum | cut -d' ' -f1)
    wheels=${XDG_CACHE_HOME:-$HOME/.cache}/landscape_mpi/wheels
    wheels=$wheels/h5py-$h5py-$tag-${versions// /-}-$(uname -m)-$libraries
    compgen -G "$wheels/h5py-*.whl" > /dev/null
}

build_wheel() {
    echo "h5py: building $h5py against $versions, about 2 minutes"
    mkdir -p "$(dirname "$wheels")"
    work=$(mktemp -d "$wheels.building.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    printf '[build_ext]\nparallel=%s\n' "$(nproc)" > "$work/extra.cfg"
    # --no-cache-dir: pip's own wheel cache knows nothing of CC and HDF5_MPI and would hand back
    # a build for another MPI.
    env DIST_EXTRA_CONFIG="$work/extra.cfg" CFLAGS="-O1 -g0 -w" CC=mpicc HDF5_MPI=ON HDF5_DIR="$hdf5_dir" \
        "$python" -m pip wheel --no-cache-dir --no-deps --no-binary=h5py --no-build-isolation \
        -w "$work" "h5py==$h5py" > "$work/log" 2>&1 ||
        { tail -n 30 "$work/log" >&2 && stop "h5py did not build; the end of its log is above."; }
    rm "$work/log" "$work/extra.cfg"
    rm -rf "$wheels"
    mv "$work" "$wheels" # one step: an interrupted build leaves no partial wheel under the final name
}

install_wheel() {
    "$python" -m pip install -q --no-deps --force-reinstall "$wheels"/h5py-*.whl
}

check_h5py_is_parallel() {
    "$python" -c 'import sys, h5py; sys.exit(not h5py.get_config().mpi)' ||
        stop "the h5py of $wheels is not parallel or does not load. Remove that folder and try again."
    echo "h5py: $h5py, parallel, on $versions"
}

main "$@"
