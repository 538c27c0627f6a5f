#!/usr/bin/env bash
# Make .venv: the packages of requirements.lock, MPI, h5py on parallel HDF5, and this package.
#
#   launch/set_up.sh        (or: make setup)
#
# Calling it again does nothing until a lock file, a set-up script or the package's own list
# changes. An interrupted call leaves no mark, and the next one does the work again.
#
#   PYTHON=python3.12              the Python to use; otherwise python3, or the first of 3.11, 3.12, 3.13
#   LANDSCAPE_MPI_FROM=system      MPI and HDF5 of this machine, or an error
#   LANDSCAPE_MPI_FROM=pypi        MPI as a package, HDF5 without MPI: needs neither root nor modules
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly VENV=.venv
readonly MARK=$VENV/set_up.txt       # what was set up, written last
readonly UNFINISHED=$VENV/unfinished # pip was at work
readonly INPUTS=(requirements.lock requirements-mpi.lock requirements-vision.lock setup.cfg setup.py
    launch/set_up.sh launch/install_parallel_hdf5.sh)

main() {
    if is_set_up; then return; fi
    leave_a_linked_environment_alone
    rm -f $MARK
    find_python
    choose_mpi
    make_environment
    install_packages
    install_vision
    install_mpi
    install_hdf5
    install_this_package
    try_two_ranks
    write_mark
    say "done. Next: make demo, or . $VENV/bin/activate"
    if [ "$(id -u)" = 0 ] && [ "$mpi" = system ]; then
        say "as root, Open MPI wants: export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    fi
}

say() { printf 'set-up: %s\n' "$@"; }

stop() {
    printf 'set-up: %s\n' "$@" >&2
    exit 1
}

checksum_of_inputs() { (pwd -P && cat "${INPUTS[@]}") | sha256sum | cut -d' ' -f1; }

is_set_up() {
    [ -f $MARK ] && grep -qx "inputs=$(checksum_of_inputs)" $MARK || return 1
    case ${LANDSCAPE_MPI_FROM:-} in
        '') ;; # what was set up is good
        system) grep -qx hdf5=parallel $MARK ;;
        *) grep -qx "mpi=$LANDSCAPE_MPI_FROM" $MARK ;;
    esac
}

leave_a_linked_environment_alone() {
    if [ ! -L $VENV ]; then return; fi
    say "$VENV is a link to $(readlink $VENV): used as it is. Remove the link for an environment of this checkout."
    exit 0
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            python=$candidate
            return
        fi
    done
    stop "Python 3.11 or later is needed, and ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || true)." \
        "Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev. A cluster: module load python." \
        "Or name one: PYTHON=/path/to/python3.11 make setup"
}

# Sets mpi (system or pypi) and hdf5 (parallel or serial).
choose_mpi() {
    case ${LANDSCAPE_MPI_FROM:-} in
        '' | system) choose_the_systems_mpi ;;
        pypi) choose_mpi_from_pypi "requested by LANDSCAPE_MPI_FROM=pypi." ;;
        *) stop "LANDSCAPE_MPI_FROM is $LANDSCAPE_MPI_FROM, but must be system or pypi." ;;
    esac
}

choose_the_systems_mpi() {
    if can_install_system_packages; then install_system_packages; fi
    local found
    if found=$(launch/install_parallel_hdf5.sh --find "$python" 2>&1); then
        mpi=system hdf5=parallel
        say "MPI and parallel HDF5 from this machine: $found"
    elif [ "${LANDSCAPE_MPI_FROM:-}" = system ]; then
        stop "LANDSCAPE_MPI_FROM=system, but:" "$found"
    elif command -v mpicc > /dev/null && command -v mpiexec > /dev/null; then
        mpi=system hdf5=serial
        say "MPI from this machine: $(command -v mpiexec). $(first_words "$found")"
        explain_serial_hdf5
    else
        choose_mpi_from_pypi "$(first_words "$found")"
    fi
}

first_words() { sed -n '1s/^install_parallel_hdf5: //p' <<< "$1"; }

choose_mpi_from_pypi() {
    mpi=pypi hdf5=serial
    say "MPI from PyPI ($(grep '==' requirements-mpi.lock)): $1"
    explain_serial_hdf5
}

explain_serial_hdf5() {
    say "HDF5 is serial here: rank 0 gathers the values and writes them alone. Results are the same." \
        "For parallel HDF5: apt-get install openmpi-bin libopenmpi-dev libhdf5-openmpi-dev, or on a cluster" \
        "module load openmpi hdf5, then: LANDSCAPE_MPI_FROM=system make setup"
}

can_install_system_packages() { [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; }

install_system_packages() {
    local missing
    mapfile -t missing < <(missing_system_packages)
    if [ ${#missing[@]} = 0 ]; then return; fi
    say "apt-get install ${missing[*]} (under a minute)"
    export DEBIAN_FRONTEND=noninteractive
    # Where another process installs at this moment, this one waits for it.
    local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
    if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}" > /dev/null; }; then
        stop "apt-get could not install them. To continue without them: LANDSCAPE_MPI_FROM=pypi make setup"
    fi
}

missing_system_packages() {
    local version
    version=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}")')
    if ! has_venv; then echo "$version-venv"; fi
    if launch/install_parallel_hdf5.sh --find "$python" > /dev/null 2>&1; then return; fi
    local package
    for package in gcc libc6-dev openmpi-bin libopenmpi-dev libhdf5-openmpi-dev; do
        if ! dpkg -s "$package" > /dev/null 2>&1; then echo "$package"; fi
    done
    if ! has_headers; then echo "$version-dev"; fi
}

has_venv() { "$python" -c 'import ensurepip, venv' 2> /dev/null; }

has_headers() {
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
}

make_environment() {
    has_venv || stop "$python has no venv module. Debian, Ubuntu: apt-get install python3-venv. Or name another PYTHON."
    if runs_this_python; then return; fi
    say "$("$python" --version) in $VENV"
    "$python" -m venv --clear $VENV
}

runs_this_python() {
    local version='import sys; print(sys.version)'
    $VENV/bin/python -m pip --version > /dev/null 2>&1 &&
        [ "$($VENV/bin/python -c "$version")" = "$("$python" -c "$version")" ]
}

install_packages() {
    say "$(grep -c '==' requirements.lock) packages of requirements.lock (1 to 5 minutes)"
    local again=()
    # An interrupted pip can leave a package that looks installed but is incomplete.
    if [ -e $UNFINISHED ]; then again=(--force-reinstall); fi
    touch $UNFINISHED
    pip_install "${again[@]}" -r requirements.lock
    rm $UNFINISHED
}

install_vision() {
    rm -rf $VENV/vision
    pip_install --no-deps --target $VENV/vision -r requirements-vision.lock
}

pip_install() {
    local log=$VENV/pip.log
    $VENV/bin/python -m pip install -q --disable-pip-version-check "$@" > $log 2>&1 ||
        { cat $log >&2 && stop "pip install $* failed; its output is above. Run make setup again to continue."; }
}

install_mpi() {
    if [ "$mpi" = pypi ]; then
        pip_install -r requirements-mpi.lock
        # One that an earlier set-up built for the system's MPI would not load this one.
        if ! mpi4py_loads "$(pwd -P)/$VENV/lib/libmpi"; then
            pip_install --force-reinstall --no-deps "$(locked mpi4py)"
        fi
    else
        # Only one MPI may stay: the mpiexec of an earlier set-up would start ranks that never meet.
        $VENV/bin/python -m pip uninstall -q -y "$(sed -n 's/==.*//p' requirements-mpi.lock)" > /dev/null 2>&1
        if ! mpi4py_loads_the_mpi_of_mpicc; then build_mpi4py; fi
    fi
}

# The wheel of mpi4py looks for libmpi.so.12 or libmpi.so.40. The library of Debian's MPICH has another name.
mpi4py_loads_the_mpi_of_mpicc() {
    local library
    library=$(launch/install_parallel_hdf5.sh --mpi-library) && [ -n "$library" ] || return 0 # cannot tell
    mpi4py_loads "$library"
}

# Whether mpi4py loads a library whose path begins so.
mpi4py_loads() {
    $VENV/bin/python -c 'import sys, mpi4py
mpi4py.rc.initialize = False
from mpi4py import MPI
sys.exit(sys.argv[1] not in open("/proc/self/maps").read())' "$1" 2> /dev/null
}

# One that does not build, for want of Python.h or of a network, is no reason to stop: the wheel may well
# load an MPI with which the ranks find each other, as is tried later.
build_mpi4py() {
    local mpicc log=$VENV/mpi4py.log
    mpicc=$(command -v mpicc)
    say "mpi4py: building it for $mpicc, about 2 minutes"
    # 91 s of processor time; 165 s with -O3 and -g, for which Python asks (AMD EPYC, two cores, November 2026).
    CFLAGS="${CFLAGS:-} -O1 -g0 -w" MPICC=$mpicc $VENV/bin/python -m pip install -q --disable-pip-version-check \
        --force-reinstall --no-deps --no-cache-dir --no-binary=mpi4py "$(locked mpi4py)" > $log 2>&1 ||
        say "mpi4py does not build for $mpicc; $log says why. The wheel stays, and finds an MPI itself."
}

# Prints the line of a package in requirements.lock.
locked() { grep "^$1==" requirements.lock; }

install_hdf5() {
    if [ $hdf5 = parallel ]; then
        launch/install_parallel_hdf5.sh $VENV/bin/python
    elif $VENV/bin/python -c 'import sys, h5py; sys.exit(not h5py.get_config().mpi)'; then
        pip_install --force-reinstall --no-deps "$(locked h5py)"
    fi
}

install_this_package() {
    pip_install --no-deps --no-build-isolation --use-pep517 -e .
    $VENV/bin/python -m pip check > $VENV/pip.log || { cat $VENV/pip.log >&2 && stop "the packages are not compatible."; }
}

# Ranks that do not find each other would each run the whole job. This is noticed here, not in the queue.
try_two_ranks() {
    local words
    if words=$(TIME_LIMIT_S=60 launch/try_ranks.sh 2 $VENV/bin/python -c \
        'import sys; from mpi4py import MPI; sys.exit(MPI.COMM_WORLD.size != 2)' 2>&1); then return; fi
    if [ $mpi = system ] && command -v sbatch > /dev/null; then
        say "two ranks did not start here, as is usual on a login node. Try in a job: srun --mpi=pmix -n 2"
        return
    fi
    stop "two ranks started with mpiexec ($(readlink -f "$(command -v mpiexec)")) did not find each other. $words" \
        "To do without the system's MPI: LANDSCAPE_MPI_FROM=pypi make setup"
}

write_mark() {
    printf '%s\n' "inputs=$(checksum_of_inputs)" "mpi=$mpi" "hdf5=$hdf5" > $MARK.part
    mv $MARK.part $MARK
}

main "$@"
