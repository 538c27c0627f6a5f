#!/usr/bin/env bash
# Run a command of this package on this machine: a rank on each GPU, or on each core if there
# are no GPUs.
#
#   launch/local.sh surface --model resnet20 --checkpoint resnet20.pt --data cifar10 ...
#   RANKS=2 launch/local.sh surface ...       with this number of ranks instead
#
# CUDA_VISIBLE_DEVICES=0,1 leaves the other GPUs to others (ROCR_VISIBLE_DEVICES those of AMD,
# ZE_AFFINITY_MASK those of Intel), --device cpu all of them. Several machines:
# launch/hostfile.example; with a queue: slurm/.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=launch/gpus.sh
. "$here/gpus.sh"

main() {
    if [ $# = 0 ]; then sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2 && exit 2; fi
    local command=$1
    shift
    find_python
    check_command "$command"
    count_ranks "$@"
    local noun=ranks
    if [ "$n_ranks" = 1 ]; then noun=rank; fi
    echo "local: starts $n_ranks $noun, $why" >&2
    # No binding by the launcher: bind_rank.sh knows where the GPUs are.
    exec "$mpiexec" --bind-to none -n "$n_ranks" "$here/bind_rank.sh" "$python" -m "landscape_mpi.$command" "$@"
}

stop() {
    echo "local: $*" >&2
    exit 2
}

check_command() {
    local known
    known=$(cd "$package" && grep -l '^ *run_on_ranks(' ./*.py | sed 's|^\./||; s|\.py$||' | paste -sd' ')
    case " $known " in
        *" $1 "*) ;;
        *) stop "$1 is not a command that runs on ranks; these are: $known. Start any other with python -m landscape_mpi.NAME" ;;
    esac
}

# Sets python, the folder of its landscape_mpi, and the mpiexec that goes with it: the one beside it if MPI
# came from PyPI.
find_python() {
    local candidate
    for candidate in python "$here/../.venv/bin/python"; do
        if python=$(command -v "$candidate") && package=$("$python" -c "$find_package" 2> /dev/null); then
            mpiexec=$(dirname "$python")/mpiexec
            if [ ! -x "$mpiexec" ]; then mpiexec=mpiexec; fi
            command -v "$mpiexec" > /dev/null || stop "there is no mpiexec on PATH. Load the MPI for which mpi4py was built."
            return
        fi
    done
    stop "no Python here has landscape_mpi and mpi4py. Run make setup, or activate the environment that has them."
}

readonly find_package='import os, landscape_mpi, mpi4py; print(os.path.dirname(landscape_mpi.__file__))'

# Sets n_ranks and why.
count_ranks() {
    local n_gpus=0
    case " $* " in
        *" --device cpu "* | *" --device=cpu "*) ;;
        *) find_gpus && n_gpus=${#gpus[@]} ;;
    esac
    if [ -n "${RANKS:-}" ]; then
        [[ $RANKS =~ ^[1-9][0-9]*$ ]] || stop "RANKS=$RANKS is not a number of ranks. Pass e.g. RANKS=2"
        n_ranks=$RANKS why="as RANKS requests"
    elif [ "$n_gpus" -gt 0 ]; then
        n_ranks=$n_gpus why="one on each GPU"
    else
        n_ranks=$(count_cores) why="one on each core"
    fi
}

# Counts the cores that this process may use. Two threads of one core would share what a rank needs most.
count_cores() {
    local allowed cores
    allowed=$(nproc)
    cores=$(lscpu --parse=Core,Socket | grep -v '^#' | sort -u | wc -l)
    echo $((cores < allowed ? cores : allowed))
}

main "$@"
